"""The same int8 network without the rotation by 180°: PAD ops and kernels as they were trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from export.tflite.quantization import Quantization
from export.tflite.write import QuantizedGraph
from mcofa.graph import DType, Graph, Op, OpKind, Tensor


def with_explicit_pads(rotated: QuantizedGraph) -> QuantizedGraph:
    """Undo the rotation of ``rotated``, whose network pads by kernel_size // 2 on every side.

    A PAD op comes before each convolution whose padding SAME does not give.
    """
    explicit = _Explicit(rotated)
    for op in rotated.graph.ops:
        explicit.add(op)
    return explicit.finish()


class _Explicit:
    """Numbers tensors anew; ``index_of`` holds the new number of each old one."""

    def __init__(self, rotated: QuantizedGraph) -> None:
        self.rotated = rotated
        self.tensors: list[Tensor] = []
        self.quantizations: list[Quantization | None] = []
        self.constants: dict[int, npt.NDArray[Any]] = {}
        self.ops: list[Op] = []
        self.index_of = {index: self._copy(index) for index in rotated.graph.inputs}

    def add(self, op: Op) -> None:
        for index in op.inputs[1:]:
            if self.rotated.graph.tensors[index].constant:
                self.index_of[index] = self._copy(index)
        inputs, padding = tuple(self.index_of[index] for index in op.inputs), op.padding
        if op.kind in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D):
            filter_ = self.constants[inputs[1]]
            self.constants[inputs[1]] = filter_[:, ::-1, ::-1]
            sides = self.tensors[inputs[0]].shape[1:3]
            if op.stride == (2, 2) and any(side % 2 == 0 for side in sides):
                inputs, padding = (self._pad(inputs[0], filter_.shape[1]), *inputs[1:]), "VALID"
        self.index_of[op.outputs[0]] = output = self._copy(op.outputs[0])
        self.ops.append(dataclasses.replace(op, inputs=inputs, outputs=(output,), padding=padding))

    def finish(self) -> QuantizedGraph:
        graph = Graph(tuple(self.tensors), tuple(self.ops), (0,), self.ops[-1].outputs)
        return QuantizedGraph(graph, tuple(self.quantizations), self.constants)

    def _pad(self, source: int, kernel: int) -> int:
        before = kernel // 2
        _, rows, columns, channels = self.tensors[source].shape
        # No window of stride 2 reaches the last pixel of padding of an even side.
        afters = [before - (side % 2 == 0) for side in (rows, columns)]
        widths = np.array([(0, 0), *((before, after) for after in afters), (0, 0)], np.int32)
        amounts = self._add(Tensor((4, 2), DType.INT32, constant=True, scales=0), None)
        self.constants[amounts] = widths
        shape = (1, rows + before + afters[0], columns + before + afters[1], channels)
        output = self._add(Tensor(shape), self.quantizations[source])
        self.ops.append(Op(OpKind.PAD, (source, amounts), (output,)))
        return output

    def _copy(self, index: int) -> int:
        copy = self._add(self.rotated.graph.tensors[index], self.rotated.quantizations[index])
        if index in self.rotated.constants:
            self.constants[copy] = self.rotated.constants[index]
        return copy

    def _add(self, tensor: Tensor, quantization: Quantization | None) -> int:
        self.tensors.append(tensor)
        self.quantizations.append(quantization)
        return len(self.tensors) - 1

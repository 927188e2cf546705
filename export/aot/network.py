"""A .tflite file with everything that generating C needs: the graph, its numbers, its constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from export.tflite.parse import GARBAGE_ERRORS, parse_tflite
from mcofa.engines.aot.executed import executed
from mcofa.engines.aot.kernels import check_supported
from mcofa.errors import FileFormatError
from mcofa.graph import DType, Graph, OpKind


@dataclass(frozen=True, slots=True)
class Scaling:
    """A number is ``scales[channel] · (integer - zero_point)``; one scale serves every channel."""

    scales: npt.NDArray[np.float32]
    zero_point: int

    @property
    def scale(self) -> float:
        """The first scale, which is the only one of activations."""
        return float(self.scales[0])


@dataclass(frozen=True, slots=True)
class Network:
    """What is executed of a file.

    ``scalings`` and ``constants`` are by tensor, ``betas`` of SOFTMAX ops by op.
    """

    data: bytes
    graph: Graph
    scalings: Mapping[int, Scaling]
    constants: Mapping[int, npt.NDArray[Any]]
    betas: Mapping[int, float]


def read_network(data: bytes, name: str) -> Network:
    """Return the network in the .tflite file ``data``; ``name`` is used in messages only.

    Raises:
        FileFormatError: not a .tflite that can be read, or one without quantization where it is needed.
        UnsupportedOpError: names all the ops that are unknown, or that no kernel runs.
    """
    in_file = parse_tflite(data, name)
    graph, positions = (found := executed(in_file)).graph, found.positions
    check_supported(graph)
    model = schema.Model.GetRootAs(data, 0)
    subgraph = model.Subgraphs(0)
    try:
        scalings = {
            index: scaling
            for index in range(len(graph.tensors))
            if (scaling := _scaling(subgraph.Tensors(index).Quantization())) is not None
        }
        constants = {
            index: _constant(model, subgraph, index, tensor.dtype).reshape(tensor.shape)
            for index, tensor in enumerate(in_file.tensors)
            if tensor.constant
        }
        betas = {
            position: _beta(subgraph.Operators(positions[position]))
            for position, op in enumerate(graph.ops)
            if op.kind is OpKind.SOFTMAX
        }
    except GARBAGE_ERRORS as error:
        raise FileFormatError(name, f"corrupt .tflite: {error}", "export it again") from error
    _check_scaled(graph, scalings, name)
    return Network(data, graph, scalings, constants, betas)


def _scaling(quantization: Any) -> Scaling | None:
    if quantization is None or not quantization.ScaleLength() or not quantization.ZeroPointLength():
        return None
    return Scaling(np.array(quantization.ScaleAsNumpy(), np.float32), int(quantization.ZeroPointAsNumpy()[0]))


def _constant(model: Any, subgraph: Any, index: int, dtype: DType) -> npt.NDArray[Any]:
    stored = model.Buffers(subgraph.Tensors(index).Buffer()).DataAsNumpy()
    values = np.dtype(dtype.value).newbyteorder("<")
    return np.frombuffer(stored.tobytes(), values)[: stored.nbytes // values.itemsize]


def _beta(operator: Any) -> float:
    union = operator.BuiltinOptions()
    options = schema.SoftmaxOptions()
    options.Init(union.Bytes, union.Pos)
    return float(options.Beta())


def _check_scaled(graph: Graph, scalings: Mapping[int, Scaling], name: str) -> None:
    for position, op in enumerate(graph.ops):
        for index in (*op.inputs, *op.outputs):
            dtype = graph.tensors[index].dtype
            if index >= 0 and dtype in (DType.INT8, DType.UINT8) and index not in scalings:
                detail = f"tensor {index} of op {position} ({op.kind}) is {dtype} without a scale"
                raise FileFormatError(name, detail, "convert the model to int8 with full quantization")
            if index in scalings and not scalings[index].scales.all():
                detail = f"tensor {index} of op {position} ({op.kind}) has a scale of 0"
                raise FileFormatError(name, detail, "convert the model to int8 again")

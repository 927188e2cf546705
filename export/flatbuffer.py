"""Graph, quantization and constants → the bytes of a lean .tflite file.

The same input gives the same bytes, and their number depends on the graph alone, not on
weights or ranges. Left out is whatever neither LiteRT nor TFLM needs: names, descriptions,
minima and maxima, metadata, the quantization of biases. Written once is what the graph makes
equal: shapes, options, the zero points of filters of equal width, and quantizations that are
the same object. (LiteRT refuses fewer zero points than scales.) Constants start at multiples
of 16 bytes, as the schema's ``force_align`` asks.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, as generated in ai-edge-litert.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from export.quantize import Quantization
from mcofa.graph import Graph, Op, OpKind, Tensor

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_BUFFER_ALIGNMENT_BYTES = 16
_LARGEST_DEPRECATED_CODE = 127

_OP_VERSIONS = {
    OpKind.ADD: 2,
    OpKind.AVERAGE_POOL_2D: 2,
    OpKind.CONV_2D: 3,
    OpKind.DEPTHWISE_CONV_2D: 3,
    OpKind.HARD_SWISH: 1,
    OpKind.MUL: 2,
}
"""First version of each op that takes int8. Source: tensorflow/lite/tools/versioning/op_version.cc."""


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedGraph:
    """A graph with what it takes to run it.

    ``quantizations`` has one entry for each tensor, None where ``scales`` is 0, and the same
    object for tensors that share it; ``constants`` holds the data of the constant tensors, by tensor index.
    """

    graph: Graph
    quantizations: tuple[Quantization | None, ...]
    constants: Mapping[int, npt.NDArray[Any]]


def write_tflite(network: QuantizedGraph) -> bytes:
    """Return the .tflite file of ``network``.

    Raises:
        KeyError: an op of a kind that the exporter does not write.
    """
    return _Writer(network).write()


class _Writer:
    """Writes back to front, as flatbuffers are: children before the tables that point to them."""

    def __init__(self, network: QuantizedGraph) -> None:
        self.network = network
        self.builder = flatbuffers.Builder(1 << 16)
        self.shared: dict[Hashable, int] = {}

    def write(self) -> bytes:
        graph, builder = self.network.graph, self.builder
        kinds = list(dict.fromkeys(op.kind for op in graph.ops))
        codes = self._tables([self._operator_code(kind) for kind in kinds])
        operators = self._tables([self._operator(op, kinds.index(op.kind)) for op in graph.ops])
        constants = sorted(self.network.constants)
        buffer_of = {index: 1 + position for position, index in enumerate(constants)}
        tensors = self._tables(
            [
                self._tensor(tensor, quantization, buffer_of.get(index, 0))
                for index, (tensor, quantization) in enumerate(
                    zip(graph.tensors, self.network.quantizations, strict=True)
                )
            ]
        )
        inputs, outputs = self._integers(graph.inputs), self._integers(graph.outputs)
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators)
        subgraphs = self._tables([schema.SubGraphEnd(builder)])
        # Buffer 0 is empty: the schema reserves it for tensors without data.
        buffers = self._tables(
            [self._buffer(b""), *(self._buffer(_little_endian(self.network.constants[i])) for i in constants)]
        )
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, _SCHEMA_VERSION)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddBuffers(builder, buffers)
        builder.Finish(schema.ModelEnd(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _operator_code(self, kind: OpKind) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        schema.OperatorCodeStart(self.builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(self.builder, min(code, _LARGEST_DEPRECATED_CODE))
        schema.OperatorCodeAddVersion(self.builder, _OP_VERSIONS[kind])
        schema.OperatorCodeAddBuiltinCode(self.builder, code)
        return int(schema.OperatorCodeEnd(self.builder))

    def _operator(self, op: Op, code_index: int) -> int:
        inputs, outputs = self._integers(op.inputs), self._integers(op.outputs)
        option_class, fields = _options(op)
        key = option_class, tuple(fields.items())
        options = self._share(key, lambda: self._options_table(option_class, fields))
        builder = self.builder
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code_index)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if option_class:
            schema.OperatorAddBuiltinOptionsType(builder, getattr(schema.BuiltinOptions, option_class))
            schema.OperatorAddBuiltinOptions(builder, options)
        return int(schema.OperatorEnd(builder))

    def _options_table(self, option_class: str, fields: Mapping[str, int]) -> int:
        if not option_class:
            return 0
        getattr(schema, f"{option_class}Start")(self.builder)
        for field, value in fields.items():
            getattr(schema, f"{option_class}Add{field}")(self.builder, value)
        return int(getattr(schema, f"{option_class}End")(self.builder))

    def _tensor(self, tensor: Tensor, quantization: Quantization | None, buffer: int) -> int:
        shape = self._integers(tensor.shape)
        quantized = 0 if quantization is None else self._quantization(quantization)
        schema.TensorStart(self.builder)
        schema.TensorAddShape(self.builder, shape)
        schema.TensorAddType(self.builder, getattr(schema.TensorType, tensor.dtype.name))
        schema.TensorAddBuffer(self.builder, buffer)
        if quantization is not None:
            schema.TensorAddQuantization(self.builder, quantized)
        return int(schema.TensorEnd(self.builder))

    def _quantization(self, quantization: Quantization) -> int:
        return self._share(("quantization", id(quantization)), lambda: self._quantization_table(quantization))

    def _quantization_table(self, quantization: Quantization) -> int:
        scales = self.builder.CreateNumpyVector(np.array(quantization.scales, np.float32))
        zero_points = self._zero_points(quantization)
        schema.QuantizationParametersStart(self.builder)
        schema.QuantizationParametersAddScale(self.builder, scales)
        schema.QuantizationParametersAddZeroPoint(self.builder, zero_points)
        schema.QuantizationParametersAddQuantizedDimension(self.builder, quantization.axis or 0)
        return int(schema.QuantizationParametersEnd(self.builder))

    def _zero_points(self, quantization: Quantization) -> int:
        """Write one zero point for each scale; all those of filters are 0 and can be shared."""
        count = len(quantization.scales)
        zero_points = np.full(count, quantization.zero_point, np.int64)
        if quantization.axis is None:
            return int(self.builder.CreateNumpyVector(zero_points))
        return self._share(("zeros", count), lambda: self.builder.CreateNumpyVector(zero_points))

    def _integers(self, values: Sequence[int]) -> int:
        array = np.array(values, np.int32)
        return self._share(("integers", tuple(values)), lambda: self.builder.CreateNumpyVector(array))

    def _buffer(self, data: bytes) -> int:
        content = self._aligned_bytes(data) if data else 0
        schema.BufferStart(self.builder)
        if data:
            schema.BufferAddData(self.builder, content)
        return int(schema.BufferEnd(self.builder))

    def _aligned_bytes(self, data: bytes) -> int:
        builder = self.builder
        builder.StartVector(1, len(data), _BUFFER_ALIGNMENT_BYTES)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        return int(builder.EndVector())

    def _tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _share(self, key: Hashable, create: Callable[[], int]) -> int:
        """Return the offset of what ``create`` writes, written once for each key."""
        if key not in self.shared:
            self.shared[key] = int(create())
        return self.shared[key]


def _options(op: Op) -> tuple[str, dict[str, int]]:
    """Return the schema's option table of an op and its fields; defaults are not written by the builder."""
    activation = {"FusedActivationFunction": getattr(schema.ActivationFunctionType, op.activation)}
    window = {
        "Padding": getattr(schema.Padding, op.padding),
        "StrideH": op.stride[0],
        "StrideW": op.stride[1],
        **activation,
    }
    match op.kind:
        case OpKind.CONV_2D:
            return "Conv2DOptions", window
        case OpKind.DEPTHWISE_CONV_2D:
            return "DepthwiseConv2DOptions", {**window, "DepthMultiplier": 1}
        case OpKind.AVERAGE_POOL_2D:
            return "Pool2DOptions", {**window, "FilterHeight": op.window[0], "FilterWidth": op.window[1]}
        case OpKind.ADD:
            return "AddOptions", activation
        case OpKind.MUL:
            return "MulOptions", activation
        case _:
            return "", {}


def _little_endian(values: npt.NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()

"""Graph, quantization and constants → the bytes of a lean .tflite file.

The same input gives the same bytes, and their number depends on the graph alone, not on
weights or ranges. Left out is whatever neither LiteRT nor TFLM needs: names, descriptions,
minima and maxima, metadata, the quantization of biases. Written once is what the graph makes
equal: shapes, options, the zero points of filters of equal width, and quantizations that are
the same object. (LiteRT refuses fewer zero points than scales.) What is shared comes first, and
every table starts aligned, so that an op takes the same bytes in every file: that is how
``mcofa.engines.tflm.model_file`` predicts sizes. Constants start at multiples of 16 bytes, as the schema's
``force_align`` asks.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, as generated in ai-edge-litert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from export.tflite.quantization import Quantization
from mcofa.graph import Graph, Op, OpKind, Tensor

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_TABLE_ALIGNMENT_BYTES = 4
_QUANTIZATION_ALIGNMENT_BYTES = 8
_SECTION_ALIGNMENT_BYTES = 16
_BUFFER_ALIGNMENT_BYTES = 16
_LARGEST_DEPRECATED_CODE = 127

_OP_VERSIONS = {
    OpKind.ADD: 2,
    OpKind.AVERAGE_POOL_2D: 2,
    OpKind.CONV_2D: 3,
    OpKind.DEPTHWISE_CONV_2D: 3,
    OpKind.HARD_SWISH: 1,
    OpKind.MEAN: 2,
    OpKind.MUL: 2,
    OpKind.PAD: 2,
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
        self.written: dict[Hashable, int] = {}

    def write(self) -> bytes:
        graph, builder = self.network.graph, self.builder
        kinds = list(dict.fromkeys(op.kind for op in graph.ops))
        # Buffer 0 is empty: the schema reserves it for tensors without data.
        empty_buffer = self._buffer(b"")
        self._write_shared(graph)
        codes = self._tables([self._operator_code(kind) for kind in kinds])
        operators = self._tables([self._operator(op, kinds.index(op.kind)) for op in graph.ops])
        constants = sorted(self.network.constants)
        buffer_of = {index: 1 + position for position, index in enumerate(constants)}
        self._align(_SECTION_ALIGNMENT_BYTES)
        tensors = self._tables(
            [
                self._tensor(tensor, quantization, buffer_of.get(index, 0))
                for index, (tensor, quantization) in enumerate(
                    zip(graph.tensors, self.network.quantizations, strict=True)
                )
            ]
        )
        inputs, outputs = self._integers(graph.inputs), self._integers(graph.outputs)
        self._align()
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators)
        subgraphs = self._tables([schema.SubGraphEnd(builder)])
        self._align(_SECTION_ALIGNMENT_BYTES)
        buffers = self._tables(
            [empty_buffer, *(self._buffer(_little_endian(self.network.constants[i])) for i in constants)]
        )
        self._align()
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, _SCHEMA_VERSION)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddBuffers(builder, buffers)
        builder.Finish(schema.ModelEnd(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _write_shared(self, graph: Graph) -> None:
        """Write zero points of filters, shared quantizations, shapes and options, in order of first use."""
        quantizations = [found for found in self.network.quantizations if found is not None]
        for quantization in quantizations:
            if quantization.axis is not None:
                self._zero_points(quantization)
        uses = Counter(map(id, quantizations))
        for quantization in quantizations:
            if uses[id(quantization)] > 1:
                self._quantization(quantization)
        self._align(_QUANTIZATION_ALIGNMENT_BYTES)
        for tensor in graph.tensors:
            self._shape(tensor)
        for op in graph.ops:
            self._builtin_options(op)

    def _operator_code(self, kind: OpKind) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        self._align()
        schema.OperatorCodeStart(self.builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(self.builder, min(code, _LARGEST_DEPRECATED_CODE))
        schema.OperatorCodeAddVersion(self.builder, _OP_VERSIONS[kind])
        schema.OperatorCodeAddBuiltinCode(self.builder, code)
        return int(schema.OperatorCodeEnd(self.builder))

    def _operator(self, op: Op, code_index: int) -> int:
        inputs, outputs = self._integers(op.inputs), self._integers(op.outputs)
        option_class, options = self._builtin_options(op)
        builder = self.builder
        self._align()
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code_index)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if option_class:
            schema.OperatorAddBuiltinOptionsType(builder, getattr(schema.BuiltinOptions, option_class))
            schema.OperatorAddBuiltinOptions(builder, options)
        return int(schema.OperatorEnd(builder))

    def _builtin_options(self, op: Op) -> tuple[str, int]:
        option_class, fields = _options(op)
        key = option_class, tuple(fields.items())
        return option_class, self._share(key, lambda: self._options_table(option_class, fields))

    def _options_table(self, option_class: str, fields: Mapping[str, int]) -> int:
        if not option_class:
            return 0
        self._align()
        getattr(schema, f"{option_class}Start")(self.builder)
        for field, value in fields.items():
            getattr(schema, f"{option_class}Add{field}")(self.builder, value)
        return int(getattr(schema, f"{option_class}End")(self.builder))

    def _tensor(self, tensor: Tensor, quantization: Quantization | None, buffer: int) -> int:
        self._align(_QUANTIZATION_ALIGNMENT_BYTES)
        shape = self._shape(tensor)
        quantized = 0 if quantization is None else self._quantization(quantization)
        self._align()
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
        self._align(_QUANTIZATION_ALIGNMENT_BYTES)
        scales = self.builder.CreateNumpyVector(np.array(quantization.scales, np.float32))
        zero_points = self._zero_points(quantization)
        self._align()
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

    def _shape(self, tensor: Tensor) -> int:
        return self._share(("shape", tensor.shape), lambda: self._integer_vector(tensor.shape))

    def _integers(self, values: Sequence[int]) -> int:
        return self._share(("integers", tuple(values)), lambda: self._integer_vector(values))

    def _integer_vector(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.int32)))

    def _buffer(self, data: bytes) -> int:
        content = self._aligned_bytes(data) if data else 0
        self._align()
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

    def _align(self, alignment_bytes: int = _TABLE_ALIGNMENT_BYTES) -> None:
        self.builder.Prep(alignment_bytes, 0)

    def _tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _share(self, key: Hashable, create: Callable[[], int]) -> int:
        """Return the offset of what ``create`` writes, written once for each key."""
        if key not in self.written:
            self.written[key] = int(create())
        return self.written[key]


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
        case OpKind.MEAN:
            return "ReducerOptions", {"KeepDims": True}
        case OpKind.ADD:
            return "AddOptions", activation
        case OpKind.MUL:
            return "MulOptions", activation
        case _:
            return "", {}


def _little_endian(values: npt.NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()

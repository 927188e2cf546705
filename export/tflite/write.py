"""Graph, quantization and constants → the bytes of a lean .tflite file.

The same input gives the same bytes, and their number depends on the graph alone, not on
weights or ranges. Left out is whatever neither LiteRT nor TFLM needs: names, descriptions,
minima and maxima, metadata, the quantization of biases. Written once is what the graph makes
equal: shapes, options, the zero points of filters of equal width, and quantizations that are
the same object. (LiteRT refuses fewer zero points than scales.) What is shared comes first, and
every table starts aligned, so that an op takes the same bytes in every file: that is how
``mcofa.engines.tflm.model_file`` predicts sizes. Tables, fields and alignments are described in
``mcofa.files.tflite_layout`` and ``mcofa.ops.options``, for both.
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
from mcofa.errors import UnsupportedOpError
from mcofa.files import tflite_layout as layout
from mcofa.files.flatbuffer import Table
from mcofa.graph import Graph, Op, OpKind, Tensor
from mcofa.ops import OPERATORS
from mcofa.ops.options import option_values


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
        UnsupportedOpError: an op of a kind that the exporter does not write.
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
        self._align(layout.SECTION_ALIGNMENT_BYTES)
        tensors = self._tables(
            [
                self._tensor(tensor, quantization, buffer_of.get(index, 0))
                for index, (tensor, quantization) in enumerate(
                    zip(graph.tensors, self.network.quantizations, strict=True)
                )
            ]
        )
        subgraph = self._table(
            layout.SUBGRAPH,
            Tensors=tensors,
            Inputs=self._integers(graph.inputs),
            Outputs=self._integers(graph.outputs),
            Operators=operators,
        )
        subgraphs = self._tables([subgraph])
        self._align(layout.SECTION_ALIGNMENT_BYTES)
        buffers = self._tables(
            [empty_buffer, *(self._buffer(_little_endian(self.network.constants[i])) for i in constants)]
        )
        model = self._table(
            layout.MODEL,
            Version=layout.SCHEMA_VERSION,
            OperatorCodes=codes,
            Subgraphs=subgraphs,
            Buffers=buffers,
        )
        builder.Finish(model, layout.IDENTIFIER)
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
        self._align(layout.TENSOR_ALIGNMENT_BYTES)
        for tensor in graph.tensors:
            self._shape(tensor)
        for op in graph.ops:
            self._builtin_options(op)

    def _operator_code(self, kind: OpKind) -> int:
        operator = OPERATORS[kind]
        if operator.version is None:
            raise UnsupportedOpError(f"the exporter writes no {kind}", "export a network of a search space")
        values = layout.operator_code_values(operator.code, operator.version)
        return self._table(layout.OPERATOR_CODE, **values)

    def _operator(self, op: Op, code_index: int) -> int:
        inputs, outputs = self._integers(op.inputs), self._integers(op.outputs)
        table, options = OPERATORS[op.kind].options, self._builtin_options(op)
        return self._table(
            layout.OPERATOR,
            OpcodeIndex=code_index,
            Inputs=inputs,
            Outputs=outputs,
            BuiltinOptionsType=table.option_code if table else 0,
            BuiltinOptions=options,
        )

    def _builtin_options(self, op: Op) -> int:
        """Write the option table of an op, if it has one, once for equal options."""
        table = OPERATORS[op.kind].options
        if table is None:
            return 0
        values = option_values(table, op)
        key = "options", table.name, tuple(values.values())
        return self._share(key, lambda: self._table(table, **values))

    def _tensor(self, tensor: Tensor, quantization: Quantization | None, buffer: int) -> int:
        self._align(layout.TENSOR_ALIGNMENT_BYTES)
        shape = self._shape(tensor)
        return self._table(
            layout.TENSOR,
            Shape=shape,
            Type=getattr(schema.TensorType, tensor.dtype.name),
            Buffer=buffer,
            Quantization=0 if quantization is None else self._quantization(quantization),
        )

    def _quantization(self, quantization: Quantization) -> int:
        return self._share(("quantization", id(quantization)), lambda: self._quantization_table(quantization))

    def _quantization_table(self, quantization: Quantization) -> int:
        self._align(layout.TENSOR_ALIGNMENT_BYTES)
        scales = self.builder.CreateNumpyVector(np.array(quantization.scales, np.float32))
        return self._table(
            layout.QUANTIZATION,
            Scale=scales,
            ZeroPoint=self._zero_points(quantization),
            QuantizedDimension=quantization.axis or 0,
        )

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
        return self._table(layout.BUFFER, Data=self._aligned_bytes(data) if data else 0)

    def _aligned_bytes(self, data: bytes) -> int:
        builder = self.builder
        builder.StartVector(1, len(data), layout.BUFFER_ALIGNMENT_BYTES)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        return int(builder.EndVector())

    def _align(self, alignment_bytes: int) -> None:
        self.builder.Prep(alignment_bytes, 0)

    def _table(self, table: Table, **values: int) -> int:
        """Write a table; what is at its default is left out. References are offsets of what was written."""
        builder = self.builder
        self._align(layout.TABLE_ALIGNMENT_BYTES)
        builder.StartObject(table.slots)
        for field in table.present(values):
            if field.is_reference:
                builder.PrependUOffsetTRelative(values[field.name])
            elif field.bytes == 1:
                builder.PrependUint8(values[field.name])
            else:
                builder.PrependInt32(values[field.name])
            builder.Slot(field.slot)
        return int(builder.EndObject())

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


def _little_endian(values: npt.NDArray[Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()

"""Size of the .tflite file that the exporter writes for a graph, known before it is written.

The size depends on the graph alone. Tables, fields and alignments are those that the writer follows
(``mcofa.files.tflite_layout``, ``mcofa.ops.options``); here only numbers of bytes are kept. The file has
three sections, each starting at a multiple of 16: what ops share and the ops; tensors; buffers. Within a
section an op takes the same bytes in every file of a search space, and something that ops
share (a shape, an option table, the zero points of a width) takes its bytes once: sizes of
many files are sums over their ops.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mcofa.files import tflite_layout as layout
from mcofa.files.flatbuffer import (
    REFERENCE_BYTES,
    Fields,
    positions,
    round_up,
    table_bytes,
    vector_bytes,
    vtable_bytes,
)
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import GLOBAL_AVERAGES
from mcofa.ops import OPERATORS
from mcofa.ops.options import option_values

_CONVOLUTIONS = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)
_AVERAGES = frozenset(GLOBAL_AVERAGES.values())

_QUANTIZATION = layout.QUANTIZATION.without("QuantizedDimension")
_QUANTIZATION_BY_LAST_AXIS = layout.QUANTIZATION.fields
_ACTIVATION = layout.TENSOR.without("Buffer")
_FILTER = layout.TENSOR.fields
_UNQUANTIZED = layout.TENSOR.without("Quantization")
_EMPTY: Fields = ()
"""The table of the empty buffer."""


@dataclass(frozen=True, slots=True)
class OpBytes:
    """What one op adds to the three sections; ``shared`` holds what it uses and what that takes.

    The first ops of a graph also carry what only the first table of a kind takes.
    """

    operator_bytes: int
    tensor_bytes: int
    buffer_bytes: int
    shared: dict[Hashable, int]


def model_file_bytes(graph: Graph) -> int:
    """Return the bytes of the exporter's file for ``graph``."""
    ops = op_bytes(graph)
    shared: dict[Hashable, int] = {}
    for op in ops:
        shared |= op.shared
    return file_bytes(
        sum(op.operator_bytes for op in ops) + sum(shared.values()),
        sum(op.tensor_bytes for op in ops),
        sum(op.buffer_bytes for op in ops),
    )


Sizes = TypeVar("Sizes", int, npt.NDArray[np.int64])


def file_bytes(operator_bytes: Sizes, tensor_bytes: Sizes, buffer_bytes: Sizes) -> Sizes:
    """Return the size of a file (or of many) from what its ops add to each section."""
    # The empty buffer, the vtable of quantizations, and the lengths of the lists of codes and of ops.
    vtable = round_up(vtable_bytes(_QUANTIZATION), layout.TENSOR_ALIGNMENT_BYTES)
    first = table_bytes(_EMPTY) + vtable + 2 * REFERENCE_BYTES
    operators = _next_section(first + operator_bytes)
    # The lengths of the lists of tensors, of inputs and of subgraphs with their one entry, and the subgraph.
    second = REFERENCE_BYTES + 2 * _references(1) + _with_vtable(layout.SUBGRAPH.fields)
    before_buffers = _next_section(operators + tensor_bytes + second)
    # The list of buffers, which begins with the empty one, the model, and the reference to it.
    third = _references(1) + _with_vtable(layout.MODEL.fields)
    return _next_section(before_buffers + buffer_bytes + third + REFERENCE_BYTES + len(layout.IDENTIFIER))


def _next_section(size_bytes: Sizes) -> Sizes:
    return -(-size_bytes // layout.SECTION_ALIGNMENT_BYTES) * layout.SECTION_ALIGNMENT_BYTES


def op_bytes(graph: Graph) -> list[OpBytes]:
    """Return what each op adds to the exporter's file for ``graph``."""
    first_kind = graph.ops[0].kind
    gates = {op.inputs[1] for op in graph.ops if op.kind is OpKind.MUL}
    vtables: set[tuple[int, ...]] = set()
    buffers = _BufferSection()
    ops = []
    for position, op in enumerate(graph.ops):
        constants = [graph.tensors[t] for t in op.inputs if graph.tensors[t].constant]
        activations = [*(graph.inputs if position == 0 else ()), *op.outputs]
        operator = _operator(op, first_kind)
        shared: dict[Hashable, int] = {("code", op.kind): table_bytes(_code(op.kind)) + REFERENCE_BYTES}
        shared |= _vtable(_EMPTY) | _vtable(_code(op.kind)) | _vtable(operator) | _options(op)
        for tensor in [*constants, *(graph.tensors[t] for t in activations)]:
            shared["shape", tensor.shape] = _integers(len(tensor.shape))
        if op.kind in _CONVOLUTIONS:
            shared["zero points", constants[0].scales] = (
                layout.TENSOR_ALIGNMENT_BYTES + layout.ZERO_POINT_BYTES * constants[0].scales
            )
        if op.outputs[0] in gates:
            shared["quantization of gates"] = _quantization_bytes()
        own = [t for t in activations if t not in gates and op.kind not in _AVERAGES]
        # A single input was listed as the output of the op that made it.
        inputs = _integers(len(op.inputs)) if len(op.inputs) > 1 else 0
        ops.append(
            OpBytes(
                operator_bytes=inputs + _integers(len(op.outputs)) + table_bytes(operator) + REFERENCE_BYTES,
                tensor_bytes=sum(_constant_bytes(tensor, op.kind, vtables) for tensor in constants)
                + sum(_activation_bytes(vtables) for _ in activations)
                + sum(_quantization_bytes() for _ in own),
                buffer_bytes=sum(buffers.add(tensor.bytes) for tensor in constants),
                shared=shared,
            )
        )
    return ops


def _with_vtable(fields: Fields) -> int:
    return table_bytes(fields) + vtable_bytes(fields)


def _vtable(fields: Fields) -> dict[Hashable, int]:
    return {("vtable", positions(fields)): vtable_bytes(fields)}


def _new_vtable_bytes(fields: Fields, seen: set[tuple[int, ...]]) -> int:
    """Bytes of a vtable that no earlier table in ``seen`` has; 0 if one does."""
    new = positions(fields) not in seen
    seen.add(positions(fields))
    return vtable_bytes(fields) if new else 0


def _references(items: int) -> int:
    return vector_bytes(REFERENCE_BYTES, items)


def _integers(items: int) -> int:
    return vector_bytes(layout.INT32_BYTES, items)


def _code(kind: OpKind) -> Fields:
    operator = OPERATORS[kind]
    return layout.OPERATOR_CODE.present(layout.operator_code_values(operator.code, operator.version or 1))


def _operator(op: Op, first_kind: OpKind) -> Fields:
    """An op: the index of its code unless 0, inputs, outputs, option type and options if it has any."""
    index = ("OpcodeIndex",) if op.kind is first_kind else ()
    options = ("BuiltinOptionsType", "BuiltinOptions") if OPERATORS[op.kind].options is None else ()
    return layout.OPERATOR.without(*index, *options)


def _options(op: Op) -> dict[Hashable, int]:
    table = OPERATORS[op.kind].options
    if table is None:
        return {}
    values = option_values(table, op)
    fields = table.present(values)
    return {("options", table.name, tuple(values.values())): table_bytes(fields), **_vtable(fields)}


def _constant_bytes(tensor: Tensor, kind: OpKind, vtables: set[tuple[int, ...]]) -> int:
    """A filter with its scales (its zero points are shared), or a bias or axes, which have none."""
    if tensor.dtype is DType.INT32:
        size = table_bytes(_UNQUANTIZED) + _new_vtable_bytes(_UNQUANTIZED, vtables)
    else:
        depthwise = kind is OpKind.DEPTHWISE_CONV_2D
        quantization = _QUANTIZATION_BY_LAST_AXIS if depthwise else _QUANTIZATION
        size = vector_bytes(layout.SCALE_BYTES, tensor.scales) + table_bytes(quantization)
        size += table_bytes(_FILTER) + _new_vtable_bytes(_FILTER, vtables)
        size += _new_vtable_bytes(quantization, vtables) if depthwise else 0
    return round_up(size, layout.TENSOR_ALIGNMENT_BYTES) + REFERENCE_BYTES


def _activation_bytes(vtables: set[tuple[int, ...]]) -> int:
    size = table_bytes(_ACTIVATION) + _new_vtable_bytes(_ACTIVATION, vtables)
    return round_up(size, layout.TENSOR_ALIGNMENT_BYTES) + REFERENCE_BYTES


def _quantization_bytes() -> int:
    """One scale, one zero point and their table; a multiple of 16 wherever it lies."""
    scale, zero_point = (vector_bytes(size, 1) for size in (layout.SCALE_BYTES, layout.ZERO_POINT_BYTES))
    return scale + zero_point + table_bytes(_QUANTIZATION)


class _BufferSection:
    """Each buffer's data ends at a multiple of 16 from the end of the file; its table follows."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, data_bytes: int) -> int:
        """Lay out a buffer; return what it and its entry in the list of buffers take."""
        before = self._bytes
        aligned = round_up(before + data_bytes, layout.BUFFER_ALIGNMENT_BYTES)
        self._bytes = aligned + REFERENCE_BYTES + table_bytes(layout.BUFFER.fields)
        if before == 0:
            self._bytes += vtable_bytes(layout.BUFFER.fields)
        return self._bytes - before + REFERENCE_BYTES

"""Size of the .tflite file that the exporter writes for a graph, known before it is written.

The size depends on the graph alone. This module follows ``export/tflite/write.py`` with the
layout rules of flatbuffers (back to front; every scalar and vector at a multiple of its
size; equal vtables once) but keeps only numbers of bytes. The file has three sections,
each starting at a multiple of 16: what ops share and the ops; tensors; buffers. Within a
section an op takes the same bytes in every file of a search space, and something that ops
share (a shape, an option table, the zero points of a width) takes its bytes once: sizes of
many files are sums over their ops.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import GLOBAL_AVERAGES

_REFERENCE_BYTES = 4
_IDENTIFIER_BYTES = 4
_SECTION_ALIGNMENT_BYTES = 16
_TENSOR_ALIGNMENT_BYTES = 8
_CONVOLUTIONS = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)
_AVERAGES = frozenset(GLOBAL_AVERAGES.values())

_Fields = tuple[tuple[int, int], ...]
"""A table's fields: slot in the schema and bytes, in the order in which they are written."""

_QUANTIZATION: _Fields = ((2, 4), (3, 4))
_QUANTIZATION_BY_LAST_AXIS: _Fields = (*_QUANTIZATION, (6, 4))
_ACTIVATION: _Fields = ((0, 4), (1, 1), (4, 4))
_FILTER: _Fields = ((0, 4), (1, 1), (2, 4), (4, 4))
_UNQUANTIZED: _Fields = ((0, 4), (1, 1), (2, 4))
_BUFFER: _Fields = ((0, 4),)
_SUBGRAPH: _Fields = ((0, 4), (1, 4), (2, 4), (3, 4))
_MODEL: _Fields = ((0, 4), (1, 4), (2, 4), (4, 4))


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
    first = _table(()) + 16 + 2 * _REFERENCE_BYTES
    operators = -(-(first + operator_bytes) // _SECTION_ALIGNMENT_BYTES) * _SECTION_ALIGNMENT_BYTES
    # The lengths of the lists of tensors, of inputs and of subgraphs with their one entry, and the subgraph.
    second = _REFERENCE_BYTES + 2 * _vector(4, 1) + _table(_SUBGRAPH) + _vtable_bytes(_SUBGRAPH)
    before_buffers = operators + tensor_bytes + second
    before_buffers = -(-before_buffers // _SECTION_ALIGNMENT_BYTES) * _SECTION_ALIGNMENT_BYTES
    # The list of buffers, which begins with the empty one, the model, and the reference to it.
    third = _vector(4, 1) + _table(_MODEL) + _vtable_bytes(_MODEL)
    size = before_buffers + buffer_bytes + third + _REFERENCE_BYTES + _IDENTIFIER_BYTES
    return -(-size // _SECTION_ALIGNMENT_BYTES) * _SECTION_ALIGNMENT_BYTES


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
        shared: dict[Hashable, int] = {("code", op.kind): _table(_code(op.kind)) + _REFERENCE_BYTES}
        shared |= _vtable(()) | _vtable(_code(op.kind)) | _vtable(operator) | _options(op)
        for tensor in [*constants, *(graph.tensors[t] for t in activations)]:
            shared["shape", tensor.shape] = _vector(4, len(tensor.shape))
        if op.kind in _CONVOLUTIONS:
            shared["zero points", constants[0].scales] = _TENSOR_ALIGNMENT_BYTES + 8 * constants[0].scales
        if op.outputs[0] in gates:
            shared["quantization of gates"] = _quantization_bytes()
        own = [t for t in activations if t not in gates and op.kind not in _AVERAGES]
        # A single input was listed as the output of the op that made it.
        inputs = _vector(4, len(op.inputs)) if len(op.inputs) > 1 else 0
        ops.append(
            OpBytes(
                operator_bytes=inputs + _vector(4, len(op.outputs)) + _table(operator) + _REFERENCE_BYTES,
                tensor_bytes=sum(_constant_bytes(tensor, op.kind, vtables) for tensor in constants)
                + sum(_activation_bytes(vtables) for _ in activations)
                + sum(_quantization_bytes() for _ in own),
                buffer_bytes=sum(buffers.add(tensor.bytes) for tensor in constants),
                shared=shared,
            )
        )
    return ops


def _table(fields: _Fields) -> int:
    """Bytes of a table that starts aligned: its fields and the reference to its vtable."""
    return _positions(fields)[0]


@functools.cache
def _positions(fields: _Fields) -> tuple[int, ...]:
    """What a vtable holds: the table's size, then each slot's position in it (0: absent)."""
    size, ends = 0, {}
    for slot, field_bytes in fields:
        size = _round_up(size, field_bytes) + field_bytes
        ends[slot] = size
    size = _round_up(size, _REFERENCE_BYTES) + _REFERENCE_BYTES
    return size, *(size - ends[slot] if slot in ends else 0 for slot in range(max(ends, default=-1) + 1))


def _vtable_bytes(fields: _Fields) -> int:
    """Bytes of a table's vtable, up to the next aligned start."""
    return _round_up(2 * (1 + len(_positions(fields))), _REFERENCE_BYTES)


def _vtable(fields: _Fields) -> dict[Hashable, int]:
    return {("vtable", _positions(fields)): _vtable_bytes(fields)}


def _new_vtable_bytes(fields: _Fields, seen: set[tuple[int, ...]]) -> int:
    """Bytes of a vtable that no earlier table in ``seen`` has; 0 if one does."""
    positions = _positions(fields)
    new = positions not in seen
    seen.add(positions)
    return _vtable_bytes(fields) if new else 0


def _vector(item_bytes: int, items: int) -> int:
    return _REFERENCE_BYTES + item_bytes * items


def _code(kind: OpKind) -> _Fields:
    """An operator code: deprecated and new code unless 0 (ADD), version unless 1 (HARD_SWISH)."""
    deprecated: _Fields = () if kind is OpKind.ADD else ((0, 1),)
    version: _Fields = () if kind is OpKind.HARD_SWISH else ((2, 4),)
    code: _Fields = () if kind is OpKind.ADD else ((3, 4),)
    return *deprecated, *version, *code


def _operator(op: Op, first_kind: OpKind) -> _Fields:
    """An op: the index of its code unless 0, inputs, outputs, option type and options if it has any."""
    index: _Fields = () if op.kind is first_kind else ((0, 4),)
    options: _Fields = () if _option_fields(op) is None else ((3, 1), (4, 4))
    return *index, (1, 4), (2, 4), *options


def _options(op: Op) -> dict[Hashable, int]:
    fields = _option_fields(op)
    if fields is None:
        return {}
    key = ("options", op.kind, op.padding, op.stride, op.window, op.activation)
    return {key: _table(fields), **_vtable(fields)}


def _option_fields(op: Op) -> _Fields | None:
    """The fields of an op's option table that differ from the schema's defaults."""
    padding: _Fields = () if op.padding == "SAME" else ((0, 1),)
    slot = {OpKind.CONV_2D: 3, OpKind.DEPTHWISE_CONV_2D: 4, OpKind.AVERAGE_POOL_2D: 5}.get(op.kind, 0)
    activation: _Fields = () if op.activation == "NONE" else ((slot, 1),)
    match op.kind:
        case OpKind.CONV_2D:
            return *padding, (1, 4), (2, 4), *activation
        case OpKind.DEPTHWISE_CONV_2D:
            return *padding, (1, 4), (2, 4), *activation, (3, 4)
        case OpKind.AVERAGE_POOL_2D:
            return *padding, (1, 4), (2, 4), *activation, (4, 4), (3, 4)
        case OpKind.MEAN:
            return ((0, 1),)
        case OpKind.ADD | OpKind.MUL:
            return activation
        case _:
            return None


def _constant_bytes(tensor: Tensor, kind: OpKind, vtables: set[tuple[int, ...]]) -> int:
    """A filter with its scales (its zero points are shared), or a bias or axes, which have none."""
    if tensor.dtype is DType.INT32:
        size = _table(_UNQUANTIZED) + _new_vtable_bytes(_UNQUANTIZED, vtables)
    else:
        depthwise = kind is OpKind.DEPTHWISE_CONV_2D
        quantization = _QUANTIZATION_BY_LAST_AXIS if depthwise else _QUANTIZATION
        size = _vector(4, tensor.scales) + _table(quantization) + _table(_FILTER)
        size += _new_vtable_bytes(_FILTER, vtables)
        size += _new_vtable_bytes(quantization, vtables) if depthwise else 0
    return _round_up(size, _TENSOR_ALIGNMENT_BYTES) + _REFERENCE_BYTES


def _activation_bytes(vtables: set[tuple[int, ...]]) -> int:
    size = _table(_ACTIVATION) + _new_vtable_bytes(_ACTIVATION, vtables)
    return _round_up(size, _TENSOR_ALIGNMENT_BYTES) + _REFERENCE_BYTES


def _quantization_bytes() -> int:
    """One scale, one zero point (8 bytes) and their table; a multiple of 16 wherever it lies."""
    return _vector(4, 1) + _vector(8, 1) + _table(_QUANTIZATION)


class _BufferSection:
    """Each buffer's data ends at a multiple of 16 from the end of the file; its table follows."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, data_bytes: int) -> int:
        """Lay out a buffer; return what it and its entry in the list of buffers take."""
        before = self._bytes
        self._bytes = _round_up(before + data_bytes, 16) + _REFERENCE_BYTES + _table(_BUFFER)
        if before == 0:
            self._bytes += _vtable_bytes(_BUFFER)
        return self._bytes - before + _REFERENCE_BYTES


def _round_up(size_bytes: int, alignment: int) -> int:
    return -(-size_bytes // alignment) * alignment

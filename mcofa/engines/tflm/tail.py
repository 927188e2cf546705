"""The tail of the arena, which is persistent, and what lies below it while TFLM starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.engines.tflm.head import ONLINE, offline_offsets, planned_tensors
from mcofa.engines.tflm.ops import OpMemory
from mcofa.engines.tflm.targets import Structs, int_array_bytes, requests_per_op, structs
from mcofa.graph import Graph, Tensor
from mcofa.memory.plan import aligned
from mcofa.ops.record import INT32_BYTES
from mcofa.ops.target import Target

ARENA_ALIGNMENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tail:
    """The persistent part of the arena.

    ``planning_bytes`` is the tail while the head is planned; ``prepared_bytes`` holds
    the tail after each op's Prepare. ``breakdown`` sums up to ``total_bytes``.
    """

    total_bytes: int
    planning_bytes: int
    prepared_bytes: tuple[int, ...]
    breakdown: dict[str, int]


class _TailCursor:
    """A tail that grows downward: each allocation is added, then aligned."""

    def __init__(self) -> None:
        self.offset_bytes = 0
        self.breakdown: dict[str, int] = {}

    def allocate(self, category: str, size_bytes: int, alignment: int) -> None:
        end = aligned(self.offset_bytes + size_bytes, alignment)
        self.breakdown[category] = self.breakdown.get(category, 0) + end - self.offset_bytes
        self.offset_bytes = end


def tail(graph: Graph, ops: Sequence[OpMemory], on: Target, *, recording: bool) -> Tail:
    """Return the tail of a plain or a recording interpreter, allocation by allocation.

    Order: allocators and planner, eval tensors, nodes, builtin data per op, OpData per
    op, arrays of each Prepare, scratch handles, variable tensors, inputs and outputs.
    """
    cursor = _TailCursor()
    _allocate_fixed(cursor, structs(on.abi), recording=recording)
    _allocate_model(cursor, graph, ops, structs(on.abi))
    prepared = _allocate_kernel_arrays(cursor, ops)
    handles = sum(len(op.scratch_bytes) for op in ops)
    if handles:
        sizes = structs(on.abi)
        cursor.allocate("scratch handles", handles * sizes.scratch_handle, sizes.pointer)
    for tensor, offset in zip(graph.tensors, offline_offsets(graph), strict=True):
        if tensor.variable and offset == ONLINE:
            cursor.allocate("variables", tensor.bytes, ARENA_ALIGNMENT_BYTES)
    planning_bytes = cursor.offset_bytes
    for indices in (graph.inputs, graph.outputs):
        _allocate_ends(cursor, [graph.tensors[i] for i in indices], structs(on.abi))
    return Tail(cursor.offset_bytes, planning_bytes, prepared, cursor.breakdown)


def _allocate_fixed(cursor: _TailCursor, sizes: Structs, *, recording: bool) -> None:
    """What every model costs: the allocators, the planner and one subgraph."""
    arena_allocator, micro_allocator = (
        (sizes.recording_single_arena_allocator, sizes.recording_micro_allocator)
        if recording
        else (sizes.single_arena_allocator, sizes.micro_allocator)
    )
    for size in (
        arena_allocator,
        sizes.planner,
        micro_allocator,
        sizes.builtin_data_allocator,
        sizes.subgraph_allocations,
    ):
        cursor.allocate("fixed", size, sizes.pointer)


def _allocate_model(cursor: _TailCursor, graph: Graph, ops: Sequence[OpMemory], sizes: Structs) -> None:
    """One eval tensor per tensor, one node per op, then every op's builtin data and OpData."""
    cursor.allocate("eval tensors", len(graph.tensors) * sizes.eval_tensor, sizes.pointer)
    cursor.allocate("nodes", len(ops) * sizes.node_and_registration, sizes.pointer)
    for op in ops:
        if op.builtin_data_bytes:
            cursor.allocate("builtin data", op.builtin_data_bytes, op.builtin_data_align)
    for op in ops:
        if op.op_data_bytes:
            cursor.allocate("op data", op.op_data_bytes, ARENA_ALIGNMENT_BYTES)


def _allocate_kernel_arrays(cursor: _TailCursor, ops: Sequence[OpMemory]) -> tuple[int, ...]:
    """The arrays of each op's Prepare; returns the tail after each op."""
    prepared = []
    for op in ops:
        for size in op.kernel_arrays_bytes:
            cursor.allocate("kernel arrays", size, ARENA_ALIGNMENT_BYTES)
        prepared.append(cursor.offset_bytes)
    return tuple(prepared)


def _allocate_ends(cursor: _TailCursor, tensors: Sequence[Tensor], sizes: Structs) -> None:
    """Pointers to the inputs (or outputs), then a tensor and its quantization for each."""
    cursor.allocate("input and output tensors", len(tensors) * sizes.pointer, ARENA_ALIGNMENT_BYTES)
    for tensor in tensors:
        cursor.allocate("input and output tensors", sizes.tensor, sizes.pointer)
        if tensor.scales:
            cursor.allocate("input and output tensors", sizes.affine_quantization, sizes.pointer)
            cursor.allocate("input and output tensors", int_array_bytes(tensor.scales), INT32_BYTES)


def planning_bytes(graph: Graph, ops: Sequence[OpMemory], plain: Tail, on: Target) -> int:
    """Return the arena needed while the head is planned.

    The scratch requests and the planner's tables lie below the tail: 12·(nS + 12) + 4 +
    24·(T + nS), then 40 per planned buffer (32-bit Arm).
    """
    sizes = structs(on.abi)
    scratch = sum(len(op.scratch_bytes) for op in ops)
    planned = len(planned_tensors(graph)) + scratch
    requests = sizes.scratch_request * (scratch + requests_per_op())
    infos = sizes.subgraph_offset + sizes.allocation_info * (len(graph.tensors) + scratch)
    return aligned(plain.planning_bytes) + aligned(requests + infos) + sizes.planner_buffer * planned


def preparing_bytes(ops: Sequence[OpMemory], plain: Tail, on: Target) -> int:
    """Return the arena needed while ops are prepared: the largest over all ops.

    At each op: the tail after its arrays, 12·(scratch so far + 12), its temporary tensors.
    """
    request = structs(on.abi).scratch_request
    needed, scratch = 0, 0
    for op, tail_bytes in zip(ops, plain.prepared_bytes, strict=True):
        requests = request * (scratch + requests_per_op())
        needed = max(needed, tail_bytes + requests + op.temporaries_bytes)
        scratch += len(op.scratch_bytes)
    return needed

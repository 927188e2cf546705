"""The tail of the arena, which is persistent, and what lies below it while TFLM starts.

The rules are stated once, for numbers of one graph and for arrays of many. What is counted by
*step* has the steps as its last axis: the ops of one graph, or the blocks of consecutive ops that
many graphs are made of. TFLM's structs are whole words. Allocations that end at their alignment
follow each other without gaps, so that those of a block, or of one kind, may be given as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.engines.tflm.head import ONLINE, offline_offsets, planned_tensors
from mcofa.engines.tflm.ops import OpMemory
from mcofa.engines.tflm.targets import int_array_bytes, structs
from mcofa.graph import Graph
from mcofa.memory.plan import aligned
from mcofa.ops.record import INT32_BYTES
from mcofa.ops.target import Target
from mcofa.tflm_versions import Structs

ARENA_ALIGNMENT_BYTES = 16

Integers = npt.NDArray[np.int64]
Amount = int | Integers


@dataclass(frozen=True, slots=True)
class Contents:
    """What a graph puts into the tail, or many graphs: then amounts are (graphs,).

    ``builtin_data`` and ``op_data_bytes`` list allocations in order, the former with alignments.
    ``preparing_bytes``: the most that a step's own kernel arrays, scratch requests and temporary
    tensors take while one of its ops is prepared; ``prepared_bytes``: the kernel arrays and scratch
    requests that it leaves; both count arrays with their rounding up to 16. ``first_array_bytes``: the
    graph's first kernel array, which alone may start at an end that is not a multiple of 16, by
    step, 0 before it. What follows holds for all graphs.
    """

    tensors: Amount
    ops: Amount
    builtin_data: Sequence[tuple[Amount, int]]
    op_data_bytes: Sequence[Amount]
    kernel_arrays_bytes: Amount
    first_array_bytes: Integers
    preparing_bytes: Integers
    prepared_bytes: Integers
    scratch_buffers: Amount
    planned_buffers: Amount
    variables_bytes: Sequence[int]
    scales_of_ends: tuple[Sequence[int], Sequence[int]]
    subgraphs: int = 1
    resource_variables: int = 0


class TailShare(NamedTuple):
    """What ops of a graph bring to ``Contents``: numbers for some consecutive ops, arrays for many such."""

    tensors: Amount
    ops: Amount
    builtin_data_bytes: Amount
    op_data_bytes: Amount
    preparing_bytes: Amount
    prepared_bytes: Amount
    scratch_buffers: Amount

    def kernel_arrays_bytes(self, on: Target) -> Amount:
        """Return the kernel arrays: what is prepared but for the scratch requests."""
        return self.prepared_bytes - structs(on.abi, on.tflm).scratch_request * self.scratch_buffers


def tail_share(graph: Graph, ops: Sequence[OpMemory], span: range, on: Target) -> TailShare:
    """Return what the ops of ``graph`` in ``span`` bring; the inputs of the graph are no op's."""
    sizes = structs(on.abi, on.tflm)
    tensors = arrays = scratch = preparing = 0
    for i in span:
        op, memory = graph.ops[i], ops[i]
        tensors += len(op.outputs) + sum(t >= 0 and graph.tensors[t].constant for t in op.inputs)
        arrays += sum(aligned(size) for size in memory.kernel_arrays_bytes)
        preparing = max(preparing, arrays + sizes.scratch_request * scratch + memory.temporaries_bytes)
        scratch += len(memory.scratch_bytes)
    return TailShare(
        tensors=tensors,
        ops=len(span),
        builtin_data_bytes=sum(aligned(ops[i].builtin_data_bytes, sizes.pointer) for i in span),
        op_data_bytes=sum(aligned(ops[i].op_data_bytes) for i in span),
        preparing_bytes=preparing,
        prepared_bytes=arrays + sizes.scratch_request * scratch,
        scratch_buffers=scratch,
    )


def share_bytes(share: TailShare, on: Target) -> Amount:
    """Return the bytes of the tail that a share stands for."""
    sizes = structs(on.abi, on.tflm)
    return (
        share.tensors * sizes.eval_tensor
        + share.ops * sizes.node_and_registration
        + share.builtin_data_bytes
        + share.op_data_bytes
        + share.kernel_arrays_bytes(on)
        + share.scratch_buffers * sizes.scratch_handle
    )


def graph_contents(graph: Graph, ops: Sequence[OpMemory], on: Target) -> Contents:
    """Return what one graph puts into the tail, every allocation as TFLM makes it."""
    order = graph.prepared_order
    shares = [tail_share(graph, ops, range(i, i + 1), on) for i in order]
    by_step = TailShare(*np.array(shares, np.int64).reshape(-1, len(TailShare._fields)).T)
    ops = [ops[i] for i in order]
    arrays = [(step, size) for step, op in enumerate(ops) for size in op.kernel_arrays_bytes]
    first_step, first_bytes = arrays[0] if arrays else (len(ops), 0)
    scratch = sum(len(op.scratch_bytes) for op in ops)
    return Contents(
        tensors=len(graph.tensors),
        ops=len(ops),
        builtin_data=[(op.builtin_data_bytes, op.builtin_data_align) for op in ops if op.builtin_data_bytes],
        op_data_bytes=[op.op_data_bytes for op in ops if op.op_data_bytes],
        kernel_arrays_bytes=sum(aligned(size) for _, size in arrays),
        first_array_bytes=np.where(np.arange(len(ops)) < first_step, 0, first_bytes),
        preparing_bytes=np.asarray(by_step.preparing_bytes),
        prepared_bytes=np.asarray(by_step.prepared_bytes),
        scratch_buffers=scratch,
        planned_buffers=len(planned_tensors(graph)) + scratch,
        variables_bytes=[
            tensor.bytes
            for tensor, offset in zip(graph.tensors, offline_offsets(graph), strict=True)
            if tensor.variable and offset == ONLINE
        ],
        scales_of_ends=(
            [graph.tensors[i].scales for i in graph.inputs],
            [graph.tensors[i].scales for i in graph.outputs],
        ),
        subgraphs=graph.subgraphs,
        resource_variables=graph.resource_variables,
    )


def tail_ends(contents: Contents, on: Target, *, recording: bool, before_bytes: int = 0) -> dict[str, Amount]:
    """Return where each kind of allocation ends, of a plain or a recording interpreter, in their order.

    Order: allocators and planner, eval tensors, nodes, builtin data per op, OpData per
    op, arrays of each Prepare, scratch handles, variable tensors, inputs and outputs.
    ``before_bytes`` are taken before by models in the same arena: they made allocators and planner.
    """
    sizes = structs(on.abi, on.tflm)
    ends: dict[str, Amount] = {}
    end: Amount = before_bytes or _allocators_bytes(sizes, recording=recording)
    end = _with_resource_variables(end, contents.resource_variables, sizes)
    end = end + sizes.builtin_data_allocator + contents.subgraphs * sizes.subgraph_allocations
    ends["fixed"] = end
    ends["eval tensors"] = end = end + contents.tensors * sizes.eval_tensor
    ends["nodes"] = end = end + contents.ops * sizes.node_and_registration
    for size, alignment in contents.builtin_data:
        end = aligned(end + size, alignment)
    ends["builtin data"] = end
    for size in contents.op_data_bytes:
        end = aligned(end + size, ARENA_ALIGNMENT_BYTES)
    ends["op data"] = end
    first = int(contents.first_array_bytes.max(initial=0))
    ends["kernel arrays"] = end = _before_arrays(end, first) + contents.kernel_arrays_bytes
    ends["scratch handles"] = end = _after(
        end, contents.scratch_buffers * sizes.scratch_handle, sizes.pointer
    )
    for size in contents.variables_bytes:
        end = aligned(end + size, ARENA_ALIGNMENT_BYTES)
    ends["variables"] = end
    for scales in contents.scales_of_ends:
        end = _with_ends(end, scales, sizes)
    ends["input and output tensors"] = end
    return ends


def _with_resource_variables(end: Amount, variables: int, sizes: Structs) -> Amount:
    """What ``MicroResourceVariables`` takes: a pointer and two integers, then five words a variable."""
    if not variables:
        return end
    end = aligned(end + sizes.pointer + 2 * INT32_BYTES, ARENA_ALIGNMENT_BYTES)
    return aligned(end + 5 * sizes.pointer * variables, ARENA_ALIGNMENT_BYTES)


def _after(end: Amount, size_bytes: Amount, alignment: int) -> Amount:
    """The end of an allocation; for 0 bytes none is made."""
    return np.where(size_bytes, aligned(end + size_bytes, alignment), end)


def _allocators_bytes(sizes: Structs, *, recording: bool) -> int:
    """What an arena costs, whatever is in it: the allocators and the planner."""
    allocators = (
        (sizes.recording_single_arena_allocator, sizes.recording_micro_allocator)
        if recording
        else (sizes.single_arena_allocator, sizes.micro_allocator)
    )
    return sum(allocators) + sizes.planner


def _before_arrays(end: Amount, first_bytes: Amount) -> Amount:
    """Where the kernel arrays start, as if the first one, too, took a multiple of 16 bytes."""
    return _after(end, first_bytes, ARENA_ALIGNMENT_BYTES) - aligned(first_bytes)


def _with_ends(end: Amount, scales: Sequence[int], sizes: Structs) -> Amount:
    """Pointers to the inputs (or outputs), then a tensor and its quantization for each."""
    end = aligned(end + len(scales) * sizes.pointer, ARENA_ALIGNMENT_BYTES)
    for count in scales:
        quantization_bytes = sizes.affine_quantization + int_array_bytes(count) if count else 0
        end = aligned(end + sizes.tensor, sizes.pointer) + quantization_bytes
    return end


def planning_bytes(contents: Contents, ends: dict[str, Amount], on: Target) -> Amount:
    """Return the arena needed while the head is planned.

    The scratch requests and the planner's tables lie below the tail: 12·(nS + 12) + 4 per
    subgraph + 24·(T + nS), then 40 per planned buffer (32-bit Arm).
    """
    sizes = structs(on.abi, on.tflm)
    requests = sizes.scratch_request * (contents.scratch_buffers + on.tflm.scratch_requests_per_op)
    offsets = contents.subgraphs * sizes.subgraph_offset
    infos = offsets + sizes.allocation_info * (contents.tensors + contents.scratch_buffers)
    tables = sizes.planner_buffer * contents.planned_buffers
    return aligned(ends["variables"]) + aligned(requests + infos) + tables


def preparing_bytes(contents: Contents, ends: dict[str, Amount], on: Target) -> Amount:
    """Return the arena needed while ops are prepared: the largest over all ops.

    At each op: the tail after its arrays, 12·(scratch so far + 12), its temporary tensors.
    """
    before = np.cumsum(contents.prepared_bytes, axis=-1) - contents.prepared_bytes
    start = _before_arrays(np.asarray(ends["op data"])[..., None], contents.first_array_bytes)
    most: Integers = (start + before + contents.preparing_bytes).max(-1, initial=0)
    return most + structs(on.abi, on.tflm).scratch_request * on.tflm.scratch_requests_per_op

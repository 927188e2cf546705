"""The head of the arena: activations and scratch buffers, when each is live and where TFLM puts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcofa.engines.tflm.ops import OpMemory
from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, Plan, aligned, peak, plan_around
from mcofa.ops import OPERATORS

ONLINE = -1
"""The offline offset of a tensor that TFLM places itself."""


@dataclass(frozen=True, slots=True)
class HeadPeak:
    """Where the head is fullest: the op running then (−1: before the first), what is live."""

    op_index: int
    live_bytes: int
    tensors: tuple[int, ...]
    scratch_bytes: int


def head_plan(graph: Graph, buffers: Sequence[Buffer]) -> Plan:
    """Return where TFLM puts the ``buffers``, which are those of ``planned_buffers``.

    Tensors with an offline offset lie there; everything else, scratch always, is placed
    greedily around them.
    """
    offsets = offline_offsets(graph)
    fixed = {at: offsets[i] for at, i in enumerate(planned_tensors(graph)) if offsets[i] != ONLINE}
    return plan_around(buffers, fixed)


def planned_buffers(graph: Graph, ops: Sequence[OpMemory]) -> tuple[Buffer, ...]:
    """Return what TFLM hands to its planner: tensors by index, then the scratch of each op.

    Inputs exist from step 0, op *i* is step *i* + 1, a tensor lives from its producer to
    its last use and a graph output to the end. A tensor that nothing produces is planned
    from step −1, as TFLM does.
    """
    lifetimes = _lifetimes(graph)
    tensors = [Buffer(graph.tensors[i].bytes, *lifetimes[i]) for i in planned_tensors(graph)]
    order = graph.prepared_order[: len(ops)]
    scratch = [Buffer(size, i + 1, i + 1) for i in order for size in ops[i].scratch_bytes]
    return (*tensors, *scratch)


def planned_tensors(graph: Graph) -> tuple[int, ...]:
    """Return the tensors that lie in the head: not constants, not empty ones, not what an op keeps.

    Variables lie in the tail, unless they have an offline offset.
    """
    kept = {index for op in graph.ops if OPERATORS[op.kind].tflm.keeps_output for index in op.outputs}
    return tuple(
        index
        for index, (tensor, offset) in enumerate(zip(graph.tensors, offline_offsets(graph), strict=True))
        if (offset != ONLINE if tensor.variable else not (tensor.constant or index in kept) and tensor.bytes)
    )


def offline_offsets(graph: Graph) -> tuple[int, ...]:
    """Return where each tensor must lie in the head; ``ONLINE`` where TFLM places it."""
    return (ONLINE,) * len(graph.tensors) if graph.offline_offsets is None else graph.offline_offsets


def _lifetimes(graph: Graph) -> list[tuple[int, int]]:
    """First and last step of every tensor, marked in the order in which TFLM does.

    Source: tensorflow/lite/micro/micro_allocation_info.cc, TFLM 90b983c2b3f1.
    """
    first = [-1] * len(graph.tensors)
    last = [-1] * len(graph.tensors)

    def create(indices: Iterable[int], step: int) -> None:
        for index in indices:
            first[index] = step if first[index] == -1 else first[index]
            last[index] = step

    create(graph.inputs, 0)
    for step, op in enumerate(graph.ops, start=1):
        create(op.outputs, step)
        for index in op.inputs:
            if index >= 0:
                last[index] = step
    create(graph.outputs, len(graph.ops))
    return list(zip(first, last, strict=True))


def head_peak(graph: Graph, buffers: Sequence[Buffer]) -> HeadPeak:
    """Return the step with the most live bytes, as an op and its live tensors."""
    fullest = peak(buffers)
    tensors = planned_tensors(graph)
    return HeadPeak(
        op_index=max(fullest.step - 1, -1),
        live_bytes=fullest.bytes,
        tensors=tuple(tensors[i] for i in fullest.members if i < len(tensors)),
        scratch_bytes=sum(aligned(buffers[i].bytes) for i in fullest.members if i >= len(tensors)),
    )

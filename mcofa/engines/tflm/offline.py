"""An offline memory plan for a graph, where TFLM's own greedy one wastes memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcofa.engines.tflm import (
    ONLINE,
    Arena,
    Target,
    account,
    check_supported,
    op_memory,
    planned_buffers,
    planned_tensors,
)
from mcofa.graph import Graph
from mcofa.memory.offline import plan_offline


@dataclass(frozen=True, slots=True)
class PlannedGraph:
    """A graph with the offline plan that saves memory on one target, or as it was.

    ``graph`` is the given one when nothing is saved; then ``after`` equals ``before``.
    ``lower_bound_bytes`` holds for every plan of the head, scratch included;
    ``proven_optimal`` says that ``after.head_bytes`` is not above it.
    """

    graph: Graph
    before: Arena
    after: Arena
    lower_bound_bytes: int

    @property
    def proven_optimal(self) -> bool:
        """Whether no plan gives a smaller head."""
        return self.after.head_bytes <= self.lower_bound_bytes

    @property
    def saved_bytes(self) -> int:
        """What the plan saves: of the minimum arena, on x86-64 of the arena used."""
        return arena_bytes(self.before) - arena_bytes(self.after)


def plan_graph(graph: Graph, on: Target, time_limit_seconds: float) -> PlannedGraph:
    """Return ``graph`` with an offline plan for ``on`` if that makes its arena smaller.

    A plan that the graph already carries is kept unless the new one is better. Variables
    stay in the tail. On another target, whose scratch differs, the plan is valid but its
    head may be larger than without it. The limit is that of ``plan_offline``.

    Raises:
        UnsupportedOpError: names all the ops of the graph that have no rule.
        McofaError: CP-SAT is needed and ortools is not installed.
    """
    check_supported(graph, on)
    unplanned = replace(graph, offline_offsets=None)
    buffers = planned_buffers(unplanned, [op_memory(graph, op, on) for op in graph.ops])
    found = plan_offline(buffers, time_limit_seconds)
    offsets = [ONLINE] * len(graph.tensors)
    for index, offset in zip(planned_tensors(unplanned), found.plan.offsets, strict=False):
        offsets[index] = offset
    before = account(graph, on)
    planned = replace(graph, offline_offsets=tuple(offsets))
    after = account(planned, on)
    if arena_bytes(after) >= arena_bytes(before):
        return PlannedGraph(graph, before, before, found.lower_bound_bytes)
    return PlannedGraph(planned, before, after, found.lower_bound_bytes)


def arena_bytes(arena: Arena) -> int:
    """Return the minimum arena, or what the wheel uses where that is unknown (x86-64)."""
    return arena.minimum_bytes or arena.head_bytes + arena.recording_tail_bytes

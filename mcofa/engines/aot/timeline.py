"""Where the generated C keeps every tensor of a graph while each op runs."""

from __future__ import annotations

from mcofa.engines.aot.arena import storages
from mcofa.graph import Graph
from mcofa.memory.plan import peak, plan_greedy
from mcofa.memory.timeline import Timeline, placed_buffers, timeline_rows
from mcofa.ops.target import Target


def aot_timeline(graph: Graph, on: Target) -> Timeline:
    """Return the memory of ``graph`` on the target ``on``, op by op, by the greedy plan.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
    """
    stored = storages(graph, on)
    buffers = [storage.buffer for storage in stored]
    plan = plan_greedy(buffers)
    placed = placed_buffers(graph, buffers, [storage.tensors for storage in stored], plan)
    return Timeline(
        place=f"{on.name}, generated C",
        rows=timeline_rows(graph, placed),
        buffers=placed,
        head_bytes=plan.total_bytes,
        peak=peak(buffers),
        arena_bytes=plan.total_bytes,
    )

"""Where TFLM keeps every tensor of a graph while each op runs."""

from __future__ import annotations

from mcofa.engines.tflm.arena import account
from mcofa.engines.tflm.head import head_plan, planned_buffers, planned_tensors
from mcofa.engines.tflm.ops import op_memory
from mcofa.graph import Graph
from mcofa.memory.plan import peak
from mcofa.memory.timeline import Timeline, placed_buffers, timeline_rows
from mcofa.ops.target import Target
from mcofa.tflm_versions import DEFAULT_VERSION


def tflm_timeline(graph: Graph, on: Target) -> Timeline:
    """Return the memory of ``graph`` on the target ``on``, op by op.

    On x86-64, where the minimum is not known, the arena is head and tail of a recording interpreter.

    Raises:
        UnsupportedOpError: names all the ops of the graph that have no rule.
    """
    arena = account(graph, on)
    buffers = planned_buffers(graph, [op_memory(graph, op, on) for op in graph.ops])
    tensors = [(index,) for index in planned_tensors(graph)]
    scratch: list[tuple[int, ...]] = [()] * (len(buffers) - len(tensors))
    placed = placed_buffers(graph, buffers, [*tensors, *scratch], head_plan(graph, buffers))
    with_tail_bytes = arena.head_bytes + arena.recording_tail_bytes
    return Timeline(
        place=f"{on.name}, {on.kernels} kernels{_other_version(on)}",
        rows=timeline_rows(graph, placed),
        buffers=placed,
        head_bytes=arena.head_bytes,
        peak=peak(buffers),
        arena_bytes=with_tail_bytes if arena.minimum_bytes is None else arena.minimum_bytes,
        persistent=tuple((name, size) for name, size in arena.breakdown.items() if name != "head"),
        persistent_of=f"a {'recording' if arena.tail_bytes is None else 'plain'} interpreter",
        decided_by=str(arena.minimum_cause or ""),
    )


def _other_version(on: Target) -> str:
    return "" if on.tflm.name == DEFAULT_VERSION else f", TFLM {on.tflm.name}"

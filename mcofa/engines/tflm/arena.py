"""The whole arena of a graph on a target: head, tail, and the smallest in which the model starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mcofa.engines.engine import JointArena
from mcofa.engines.tflm.head import HeadPeak, head_peak, head_plan, planned_buffers
from mcofa.engines.tflm.ops import check_supported, op_memory
from mcofa.engines.tflm.tail import (
    ARENA_ALIGNMENT_BYTES,
    Amount,
    Contents,
    graph_contents,
    planning_bytes,
    preparing_bytes,
    tail_ends,
)
from mcofa.graph import Graph
from mcofa.memory.plan import aligned
from mcofa.ops.target import Target


class MinimumCause(StrEnum):
    """What decides the smallest arena in which the model starts."""

    RESIDENT = "head and tail"
    PLANNING = "tables of the memory planner"
    PREPARING = "temporary tensors while an op is prepared"


@dataclass(frozen=True, slots=True)
class Arena:
    """Predicted arena of one graph on one target, in bytes.

    ``tail_bytes`` and ``arena_used_bytes`` are those of a plain interpreter,
    ``recording_tail_bytes`` of a recording one. ``minimum_bytes`` is what the firmware
    must reserve: the largest of ``resident_bytes``, ``planning_bytes`` and
    ``preparing_bytes``, rounded up to 16; ``minimum_cause`` says which. What the wheel
    (``x86-64``) does not give is None there. ``breakdown`` adds up to the tail (the
    recording one on x86-64) plus the head.
    """

    target: Target
    head_bytes: int
    recording_tail_bytes: int
    tail_bytes: int | None
    arena_used_bytes: int | None
    minimum_bytes: int | None
    minimum_cause: MinimumCause | None
    resident_bytes: int | None
    planning_bytes: int | None
    preparing_bytes: int | None
    breakdown: dict[str, int]
    head_peak: HeadPeak


def account(graph: Graph, on: Target) -> Arena:
    """Return the arena that TFLM needs for ``graph`` on the target ``on``.

    Raises:
        UnsupportedOpError: names all the ops of the graph that have no rule.
    """
    check_supported(graph, on)
    ops = [op_memory(graph, op, on) for op in graph.ops]
    buffers = planned_buffers(graph, ops)
    head_bytes = head_plan(graph, buffers).total_bytes
    contents = graph_contents(graph, ops, on)
    fullest = head_peak(graph, buffers)
    recording = _breakdown(tail_ends(contents, on, recording=True))
    recording_tail_bytes = sum(recording.values())
    if on.abi == "x86-64":
        return Arena(
            target=on,
            head_bytes=head_bytes,
            recording_tail_bytes=recording_tail_bytes,
            tail_bytes=None,
            arena_used_bytes=None,
            minimum_bytes=None,
            minimum_cause=None,
            resident_bytes=None,
            planning_bytes=None,
            preparing_bytes=None,
            breakdown={"head": head_bytes, **recording},
            head_peak=fullest,
        )
    plain = _breakdown(tail_ends(contents, on, recording=False))
    tail_bytes = sum(plain.values())
    causes = {cause: int(needed) for cause, needed in causes_of(contents, head_bytes, on).items()}
    minimum_cause = max(causes, key=lambda cause: causes[cause])
    return Arena(
        target=on,
        head_bytes=head_bytes,
        recording_tail_bytes=recording_tail_bytes,
        tail_bytes=tail_bytes,
        arena_used_bytes=head_bytes + tail_bytes,
        minimum_bytes=aligned(causes[minimum_cause], ARENA_ALIGNMENT_BYTES),
        minimum_cause=minimum_cause,
        resident_bytes=causes[MinimumCause.RESIDENT],
        planning_bytes=causes[MinimumCause.PLANNING],
        preparing_bytes=causes[MinimumCause.PREPARING],
        breakdown={"head": head_bytes, **plain},
        head_peak=fullest,
    )


def joint_account(graphs: Sequence[Graph], on: Target) -> JointArena:
    """Return the arena that TFLM needs for ``graphs``, whose interpreters share one allocator.

    They are allocated in this order: the heads lie over each other, each tail below the one before.
    Without a minimum on x86-64, where it is head and tails of recording interpreters.

    Raises:
        UnsupportedOpError: names all the ops of a graph that have no rule.
    """
    is_host = on.abi == "x86-64"
    heads_bytes, ends_bytes, needed_bytes = [], [0], [0]
    for graph in graphs:
        check_supported(graph, on)
        ops = [op_memory(graph, op, on) for op in graph.ops]
        contents = graph_contents(graph, ops, on)
        heads_bytes.append(head_plan(graph, planned_buffers(graph, ops)).total_bytes)
        ends = tail_ends(contents, on, recording=is_host, before_bytes=ends_bytes[-1])
        if not is_host:
            causes = causes_of(contents, heads_bytes[-1], on, ends_bytes[-1])
            needed_bytes.append(max(map(int, causes.values())))
        ends_bytes.append(int(ends["input and output tensors"]))
    head_bytes = max(heads_bytes)
    return JointArena(
        arena_bytes=aligned(max(head_bytes + ends_bytes[-1], *needed_bytes), ARENA_ALIGNMENT_BYTES),
        shared_bytes=head_bytes,
        own_bytes=tuple(int(size) for size in np.diff(ends_bytes)),
    )


def causes_of(
    contents: Contents, head_bytes: Amount, on: Target, before_bytes: int = 0
) -> dict[MinimumCause, Amount]:
    """Return what each cause needs of the arena; of what they need, the largest is the minimum.

    ``contents`` and ``head_bytes`` are those of one graph or of many; ``before_bytes`` are in the tail
    already.
    """
    ends = tail_ends(contents, on, recording=False, before_bytes=before_bytes)
    return {
        MinimumCause.RESIDENT: head_bytes + ends["input and output tensors"],
        MinimumCause.PLANNING: planning_bytes(contents, ends, on),
        MinimumCause.PREPARING: preparing_bytes(contents, ends, on),
    }


def _breakdown(ends: dict[str, Amount]) -> dict[str, int]:
    """The bytes of each kind of allocation that there is, from where they end."""
    kinds = list(ends)
    starts = [0, *ends.values()]
    sizes = {kind: int(ends[kind]) - int(start) for kind, start in zip(kinds, starts, strict=False)}
    return {kind: size for kind, size in sizes.items() if size}

"""Where planned buffers lie in the arena's head: the planner of TFLM, a bound and a validator.

A better planner, which needs a solver, is in ``offline_planner``.

Units and conventions, once for the whole module: sizes and offsets are bytes, offsets
count from the start of the head, times are steps of the inference, and a buffer is
live from ``first_step`` to ``last_step``, both included.

::

    step      0   1   2   3
    input     ███████             Buffer(bytes, 0, 1)
    hidden        ███████         Buffer(bytes, 1, 2)
    scratch           ███         Buffer(bytes, 2, 2)
    output            ███████     Buffer(bytes, 2, 3)
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

HEAD_ALIGNMENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that must stay intact from ``first_step`` to ``last_step``, both included."""

    bytes: int
    first_step: int
    last_step: int

    def __post_init__(self) -> None:
        """Reject a buffer that cannot exist.

        Raises:
            ValueError: negative size, or an end before the start.
        """
        if self.bytes < 0 or self.first_step > self.last_step:
            raise ValueError(f"no such buffer: {self.bytes} B from {self.first_step} to {self.last_step}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One offset per buffer, in the buffers' order, and the bytes that all of them span."""

    offsets: tuple[int, ...]
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The first step at which the most bytes are live, and the buffers (by index) live then."""

    step: int
    bytes: int
    members: tuple[int, ...]


@overload
def aligned(size_bytes: int, alignment: int = ...) -> int: ...
@overload
def aligned(size_bytes: Integers, alignment: int = ...) -> Integers: ...
def aligned(size_bytes: int | Integers, alignment: int = HEAD_ALIGNMENT_BYTES) -> int | Integers:
    """Round ``size_bytes``, one size or an array, up to a multiple of ``alignment``, a power of two."""
    return (size_bytes + (alignment - 1)) & -alignment


def plan_greedy(buffers: Sequence[Buffer]) -> Plan:
    """Place ``buffers`` exactly as TFLM's GreedyMemoryPlanner does without offline offsets.

    Sizes are rounded up to 16 bytes. Buffers are placed by descending size, equal
    sizes in reverse order of insertion, each at the lowest offset where it fits
    between the buffers already placed that are live at the same time.

    Source: tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc, TFLM 90b983c2b3f1.
    """
    return plan_around(buffers, {})


def plan_around(buffers: Sequence[Buffer], fixed_offsets: Mapping[int, int]) -> Plan:
    """Place ``buffers`` exactly as TFLM does when some of them have offline offsets.

    ``fixed_offsets`` are those offsets, by buffer index. They are taken as they are, even
    where buffers then overlap; the other buffers go around them as ``plan_greedy`` says.
    """
    sizes = [-aligned(buffer.bytes) for buffer in buffers]
    order = sorted(range(len(buffers) - 1, -1, -1), key=sizes.__getitem__)
    return plan_in_order(buffers, [i for i in order if i not in fixed_offsets], fixed_offsets)


def plan_in_order(
    buffers: Sequence[Buffer], order: Iterable[int], fixed_offsets: Mapping[int, int] | None = None
) -> Plan:
    """Place the buffers of ``order`` one by one, each at the lowest offset where it fits.

    ``fixed_offsets`` hold the offset of every buffer that ``order`` leaves out.
    """
    fixed = fixed_offsets or {}
    offsets = [fixed.get(index, 0) for index in range(len(buffers))]
    placed = sorted(_span(buffers[index], offset) for index, offset in fixed.items())
    for index in order:
        size = aligned(buffers[index].bytes)
        first, last = buffers[index].first_step, buffers[index].last_step
        candidate = 0
        for offset, end, other_first, other_last in placed:
            if other_first > last or first > other_last:
                continue
            if offset - candidate >= size:
                break
            candidate = max(candidate, end)
        offsets[index] = candidate
        bisect.insort(placed, (candidate, candidate + size, first, last))
    return Plan(tuple(offsets), max((end for _, end, _, _ in placed), default=0))


def _span(buffer: Buffer, offset: int) -> tuple[int, int, int, int]:
    return offset, offset + aligned(buffer.bytes), buffer.first_step, buffer.last_step


def peak(buffers: Sequence[Buffer]) -> Peak:
    """Return the step with the most live bytes (sizes rounded up to 16 bytes).

    Live bytes grow only where a buffer starts, so only those steps are looked at.
    """
    best = Peak(0, 0, ())
    for step in sorted({buffer.first_step for buffer in buffers}):
        members = tuple(i for i, b in enumerate(buffers) if b.first_step <= step <= b.last_step)
        live = sum(aligned(buffers[i].bytes) for i in members)
        if live > best.bytes:
            best = Peak(step, live, members)
    return best


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Return the bytes that no plan can go below: the most that are live at one step."""
    return peak(buffers).bytes


def validate(buffers: Sequence[Buffer], plan: Plan) -> None:
    """Check a plan pair by pair, knowing nothing of how it was made.

    Raises:
        ValueError: an offset is missing, negative or not 16-aligned, a buffer ends
            beyond ``plan.total_bytes``, or two buffers live at one step overlap.
    """
    if len(plan.offsets) != len(buffers):
        raise ValueError(f"{len(plan.offsets)} offsets for {len(buffers)} buffers")
    for i, (one, start) in enumerate(zip(buffers, plan.offsets, strict=True)):
        if start < 0 or start % 16:
            raise ValueError(f"buffer {i} at offset {start}: not a 16-aligned offset")
        if start + one.bytes > plan.total_bytes:
            raise ValueError(f"buffer {i} ends at {start + one.bytes}, beyond {plan.total_bytes} bytes")
        for j in range(i):
            other, other_start = buffers[j], plan.offsets[j]
            same_time = not (one.last_step < other.first_step or other.last_step < one.first_step)
            apart = start + one.bytes <= other_start or other_start + other.bytes <= start
            if same_time and not apart:
                raise ValueError(
                    f"buffers {j} and {i} overlap: {other.bytes} B at {other_start}, {one.bytes} B at {start}"
                )

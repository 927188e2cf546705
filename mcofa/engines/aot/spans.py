"""The cut of a network into spans that needs the least arena: exact, for one network or many at once.

Steps are those of ``flow``; everything has one column a network, (steps, networks). A span from step
i up to step j keeps

- whole: every tensor made before j and read from i on, but those inside;
- of a tensor inside, its ring (with the sums it is taken into);
- scratch: the most that one of its ops needs.

The arena is that of the fullest span, so the best cut up to j is the minimum over i of the larger of
the best cut up to i and the span from i to j.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Saved = Callable[[int], Integers]
"""Returns what spans that end before a step save by lying over an input: (first step, networks)."""

NEVER = np.int64(1) << 40
"""Bytes of a span that cannot be executed."""


@dataclass(frozen=True, slots=True)
class StepBytes:
    """What steps keep, each (steps, networks); sizes are multiples of 16.

    ``whole`` and ``inside``: of the step's tensor, for a whole one and for one inside a span. ``scratch``:
    while the step runs. ``first_reader`` and ``last_reader`` are steps; of an output the number of steps, of
    what nothing reads the step itself. ``may_start``, (steps,), says before which steps a cut may be.
    """

    whole: Integers
    inside: Integers
    scratch: Integers
    first_reader: Integers
    last_reader: Integers
    may_start: npt.NDArray[np.bool_]


def span_bytes(steps: StepBytes, saved: Saved) -> list[Integers]:
    """Return the bytes of the spans that end before step 1, 2, …, each (first steps, networks)."""
    count = len(steps.whole)
    made = np.cumsum(steps.whole, 0)
    dead = _dead_before(steps)
    less = steps.whole - steps.inside
    found = []
    for end in range(1, count + 1):
        if end < count and not steps.may_start[end]:
            found.append(np.full((end, steps.whole.shape[1]), NEVER))
            continue
        is_inside = steps.last_reader[:end] < end
        inside = np.where(is_inside, less[:end], 0)
        bytes_ = (
            made[end - 1]
            - dead[:end]
            - _from_the_end(np.add, inside)
            + _from_the_end(np.maximum, steps.scratch[:end])
            - saved(end)
        )
        unread = _from_the_end(np.maximum, steps.first_reader[: end - 1]) >= end
        bytes_[: end - 1][unread] = NEVER
        bytes_[~steps.may_start[:end]] = NEVER
        found.append(bytes_)
    return found


def least_bytes(spans: list[Integers]) -> Integers:
    """Return the fewest bytes that any cut into ``spans`` needs, (networks,)."""
    best = [np.zeros(spans[0].shape[1], np.int64)]
    for costs in spans:
        best.append(np.maximum(np.stack(best), costs).min(0))
    return best[-1]


def best_cut(spans: list[Integers]) -> list[range]:
    """Return the spans of the one network of ``spans``: of those with the fewest bytes, as many as can be.

    So as few steps as can be run row by row.
    """
    limit = least_bytes(spans)[0]
    streamed, came_from = [(0, 0)], [0]
    for end, costs in enumerate(spans, start=1):
        candidates = [
            (streamed[first][0] + (end - first) * (end - first > 1), streamed[first][1] + 1, first)
            for first in np.flatnonzero(costs[:, 0] <= limit).tolist()
            if came_from[first] >= 0
        ]
        steps, count, first = min(candidates, default=(0, 0, -1))
        streamed.append((steps, count))
        came_from.append(first)
    cut = []
    end = len(spans)
    while end:
        cut.append(range(came_from[end], end))
        end = came_from[end]
    return cut[::-1]


def _dead_before(steps: StepBytes) -> Integers:
    """The bytes of whole tensors that were last read before each step, (steps, networks)."""
    count, networks = steps.whole.shape
    dead = np.zeros((count + 2, networks), np.int64)
    np.add.at(dead, (steps.last_reader + 1, np.arange(networks)), steps.whole)
    return np.cumsum(dead, 0)[:count]


def _from_the_end(accumulate: np.ufunc, values: Integers) -> Integers:
    """Accumulate from each step to the last one."""
    return accumulate.accumulate(values[::-1], 0)[::-1]

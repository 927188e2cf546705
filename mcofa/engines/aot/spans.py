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
Saved = Callable[[int, Integers, Integers], Integers]
"""Returns what spans that end before a step save by lying over an input: of their first steps and networks."""

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


class SpanBytes:
    """What the spans of networks keep."""

    def __init__(self, steps: StepBytes, saved: Saved) -> None:
        """Take what the steps keep, and what outputs that lie over inputs save."""
        self._steps = steps
        self._saved = saved
        self._made = np.cumsum(steps.whole, 0)
        self._dead = _dead_before(steps)
        self._less = steps.whole - steps.inside

    def up_to(self, end: int) -> Integers:
        """Return the bytes of all spans that end before step ``end``, (first steps, networks)."""
        found = self._where_nothing_is_saved(end)
        firsts, networks = np.indices(found.shape).reshape(2, -1)
        found[firsts, networks] -= self._saved(end, firsts, networks)
        return found

    def least(self) -> Integers:
        """Return the fewest bytes that any cut needs, (networks,)."""
        count, networks = self._steps.whole.shape
        best = np.zeros((count + 1, networks), self._made.dtype)
        for end in range(1, count + 1):
            found = self._where_nothing_is_saved(end)
            least = np.maximum(best[:end], found).min(0)
            # No span saves more than its output takes, so most cannot become the best one.
            could_be_best = np.maximum(best[:end], found - self._steps.whole[end - 1]) < least
            firsts, of = np.nonzero(could_be_best)
            if len(firsts):
                found[firsts, of] -= self._saved(end, firsts, of)
                least = np.maximum(best[:end], found).min(0)
            best[end] = least
        return best[-1]

    def _where_nothing_is_saved(self, end: int) -> Integers:
        steps = self._steps
        count, networks = steps.whole.shape
        if end < count and not steps.may_start[end]:
            return np.full((end, networks), NEVER)
        inside = np.where(steps.last_reader[:end] < end, self._less[:end], 0)
        found = (
            self._made[end - 1]
            - self._dead[:end]
            - _from_the_end(np.add, inside)
            + _from_the_end(np.maximum, steps.scratch[:end])
        )
        unread = _from_the_end(np.maximum, steps.first_reader[: end - 1]) >= end
        found[: end - 1][unread] = NEVER
        found[~steps.may_start[:end]] = NEVER
        return found


def best_cut(spans: SpanBytes, steps: int) -> list[range]:
    """Return the spans of one network of ``steps``: of the cuts that need the fewest bytes, one that streams least.

    As few steps as can be are in spans of several, and of those cuts it is one with the fewest spans.
    """
    limit = spans.least()[0]
    streamed, came_from = [(0, 0)], [0]
    for end in range(1, steps + 1):
        costs = spans.up_to(end)
        candidates = [
            (streamed[first][0] + (end - first) * (end - first > 1), streamed[first][1] + 1, first)
            for first in np.flatnonzero(costs[:, 0] <= limit).tolist()
            if came_from[first] >= 0
        ]
        steps, count, first = min(candidates, default=(0, 0, -1))
        streamed.append((steps, count))
        came_from.append(first)
    cut = []
    end = steps
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

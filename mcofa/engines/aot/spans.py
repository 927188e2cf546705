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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Saved = Callable[[int, Integers, Integers], Integers]
"""Returns what spans that end before a step save by lying over an input, by first step and network."""

NEVER = 1 << 30
"""Bytes of a span that cannot be executed."""


@dataclass(frozen=True, slots=True)
class StepBytes:
    """What steps keep, each (steps, networks); sizes are multiples of 16.

    ``whole`` and ``inside``: of the step's tensor, for a whole one and for one inside a span. ``scratch``:
    while the step runs. ``last_reader``: of an output the number of steps, of what nothing reads the step
    itself. The first ``alone`` steps are spans of their own; ``glued`` are further steps before which there
    is no cut. ``first_reader``, None if it is the next step everywhere, is the number of steps for what
    nothing reads.
    """

    whole: Integers
    inside: Integers
    scratch: Integers
    last_reader: Integers
    alone: int
    glued: tuple[int, ...] = ()
    first_reader: Integers | None = None


class SpanBytes:
    """What the spans of networks keep."""

    def __init__(self, steps: StepBytes, saved: Saved) -> None:
        """Take what the steps keep, and what outputs that lie over inputs save."""
        self._steps = steps
        self._saved = saved

    def up_to_each(self) -> Iterator[Integers]:
        """Yield the bytes of all spans that end before step 1, 2, …, (first steps, networks)."""
        for end, found in enumerate(self._where_nothing_is_saved(), start=1):
            firsts, networks = (index.ravel() for index in np.indices(found.shape))
            found[firsts, networks] -= self._saved(end, firsts, networks)
            yield found

    def least(self) -> Integers:
        """Return the fewest bytes that any cut needs, (networks,)."""
        count, networks = self._steps.whole.shape
        best = np.zeros((count + 1, networks), self._steps.whole.dtype)
        for end, found in enumerate(self._where_nothing_is_saved(), start=1):
            least = np.maximum(best[:end], found).min(0)
            # No span saves more than its output takes, so most cannot become the best one.
            could_be_best = np.maximum(best[:end], found - self._steps.whole[end - 1]) < least
            firsts, of = np.nonzero(could_be_best)
            if len(firsts):
                saved = found[firsts, of] - self._saved(end, firsts, of)
                found[firsts, of] = saved
                least = np.maximum(best[:end], found).min(0)
            best[end] = least
        fewest: Integers = best[-1]
        return fewest

    def least_touching(self, parts: Sequence[range]) -> list[int]:
        """Return, of one network, the fewest bytes that any cut needs in its spans with steps of each part.

        What spans without such a step keep does not count. A part is a range of steps.
        """
        starts, stops = np.array([(part.start, part.stop) for part in parts], np.int64).T
        best = np.zeros((len(self._steps.whole) + 1, len(parts)), np.int64)
        for end, found in enumerate(self._where_nothing_is_saved(), start=1):
            counts = ((np.arange(end)[:, None] < stops) & (end > starts)) | (found >= NEVER)
            least = np.maximum(best[:end], np.where(counts, found, 0)).min(0)
            at_best = np.maximum(best[:end], found - self._steps.whole[end - 1])
            firsts = np.flatnonzero((counts & (at_best < least)).any(1))
            if len(firsts):
                found[firsts, 0] -= self._saved(end, firsts, np.zeros_like(firsts))
            best[end] = np.maximum(best[:end], np.where(counts, found, 0)).min(0)
        return [int(fewest) for fewest in best[-1]]

    def _where_nothing_is_saved(self) -> Iterator[Integers]:
        """The bytes of spans, without what is saved, by their end; sums and maxima grow with it."""
        steps = self._steps
        count = len(steps.whole)
        made = np.cumsum(steps.whole, 0, dtype=steps.whole.dtype)
        less = steps.whole - steps.inside
        kept = -_dead_before(steps)
        scratch = np.zeros_like(steps.whole)
        first_reader = None if steps.first_reader is None else np.zeros_like(steps.whole)
        for end in range(1, count + 1):
            np.maximum(scratch[:end], steps.scratch[end - 1], out=scratch[:end])
            dying = steps.last_reader[:end] == end - 1
            for step in np.flatnonzero(dying.any(1)).tolist():
                kept[: step + 1] -= np.where(dying[step], less[step], 0)
            found = kept[:end] + scratch[:end]
            found += made[end - 1]
            if first_reader is not None and steps.first_reader is not None and end > 1:
                np.maximum(first_reader[: end - 1], steps.first_reader[end - 2], out=first_reader[: end - 1])
                found[: end - 1][first_reader[: end - 1] >= end] = NEVER
            if end <= steps.alone:
                found[: end - 1] = NEVER
            else:
                found[: steps.alone] = NEVER
            found[[step for step in steps.glued if step < end]] = NEVER
            if end in steps.glued:
                found[:] = NEVER
            yield found


def best_cut(spans: SpanBytes, limit: int) -> list[range]:
    """Return the spans of one network: of the cuts that need at most ``limit`` bytes, one that streams least.

    As few steps as can be are in spans of several, and of those cuts it is one with the fewest spans.
    """
    streamed, came_from = [(0, 0)], [0]
    for end, costs in enumerate(spans.up_to_each(), start=1):
        candidates = [
            (streamed[first][0] + (end - first) * (end - first > 1), streamed[first][1] + 1, first)
            for first in np.flatnonzero(costs[:, 0] <= limit).tolist()
            if came_from[first] >= 0
        ]
        steps, count, first = min(candidates, default=(0, 0, -1))
        streamed.append((steps, count))
        came_from.append(first)
    cut = []
    end = len(came_from) - 1
    while end:
        cut.append(range(came_from[end], end))
        end = came_from[end]
    return cut[::-1]


def _dead_before(steps: StepBytes) -> Integers:
    """The bytes of whole tensors that were last read before each step, (steps, networks)."""
    count, networks = steps.whole.shape
    dead = np.zeros((count + 2, networks), steps.whole.dtype)
    np.add.at(dead, (steps.last_reader + 1, np.arange(networks)), steps.whole)
    return np.cumsum(dead, 0, dtype=steps.whole.dtype)[:count]

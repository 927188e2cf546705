"""Arenas of many networks at once: the cut of ``spans`` over steps that come from tables of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcofa.engines.aot.block_steps import AT_ONCE_ROWS, StepFields, absent_step
from mcofa.engines.aot.spans import Integers, SpanBytes, StepBytes
from mcofa.memory.plan import aligned


class SpanPlanner:
    """Finds the best cuts of networks, each given as a sequence of blocks."""

    def __init__(self, planned: Sequence[tuple[int, StepFields]], streams_input: bool) -> None:
        self._streams_input = streams_input
        self._least = np.array([0, *(least for least, _ in planned)], np.int32)
        blocks = [steps for _, steps in planned]
        self._counts = np.array([0, *(len(block.whole) for block in blocks)], np.int32)
        self._starts = np.cumsum(self._counts, dtype=np.int32) - self._counts
        columns = zip(*blocks, absent_step(), strict=True)
        self._table = StepFields(*(np.concatenate(column).astype(np.int32) for column in columns))

    def head_bytes(self, blocks: npt.NDArray[np.intp]) -> Integers:
        """Return the arenas, (archs,), of networks of ``blocks``, (archs, blocks of an arch)."""
        if not len(blocks):
            return np.zeros(0, np.int64)
        networks = _Networks(self._steps(blocks), self._streams_input)
        return SpanBytes(networks.step_bytes(), networks.saved).least(self._least[blocks].max(1))

    def _steps(self, blocks: npt.NDArray[np.intp]) -> StepFields:
        """The steps of each network, (steps, networks), filled up with the absent one."""
        counts = self._counts[blocks]
        per_network = counts.sum(1)
        lengths = counts.ravel()
        ends = np.cumsum(lengths)
        listed = np.repeat(self._starts[blocks].ravel() - (ends - lengths), lengths) + np.arange(ends[-1])
        index = np.full((len(blocks), per_network.max()), len(self._table.whole) - 1, np.int64)
        index[np.arange(index.shape[1]) < per_network[:, None]] = listed
        index = np.ascontiguousarray(index.T)
        steps = StepFields(*(column[index] for column in self._table))
        following = StepFields(*(np.concatenate([column[1:], column[-1:]]) for column in steps))
        is_output = np.zeros(index.shape, bool)
        is_output[per_network - 1, np.arange(len(blocks))] = True
        ends_block = (steps.ends == 1) & ~is_output
        last = np.arange(len(index))[:, None] + np.where(ends_block, following.input_last, steps.last)
        return steps._replace(
            inside=np.where(ends_block, following.input_inside, steps.inside),
            last=np.where(is_output, len(index), last),
        )


class _Networks:
    """Networks of equally many steps; ``last`` of their steps counts from the first one."""

    def __init__(self, steps: StepFields, streams_input: bool) -> None:
        self._steps = steps
        self._streams_input = streams_input
        # Row u of a step needs the image up to its row u · scale + ahead, by all strides and windows before.
        scale = np.cumprod(steps.stride, 0)
        before = np.concatenate([np.ones_like(scale[:1]), scale[:-1]])
        self._scale = scale
        self._ahead = np.cumsum(before * (steps.window_rows - 1 - steps.above), 0)

    def step_bytes(self) -> StepBytes:
        """Return what the steps keep, for the cut."""
        steps = self._steps
        alone, glued = (0, (1,)) if self._streams_input else (1, ())
        return StepBytes(steps.whole, steps.inside, steps.scratch, steps.last, alone, glued)

    def saved(self, end: int, firsts: Integers, networks: Integers) -> Integers:
        """Return what spans save whose output lies over an input, as ``sharing.Takeovers`` has it."""
        steps, last = self._steps, end - 1
        output = StepFields(*(column[last, networks] for column in steps))
        within = firsts < last
        head = np.where((output.takes_over == 1) & within, last - 1, last)
        row_apart = np.where(head < last, aligned(steps.row_bytes[last - 1, networks]), 0)
        saved = np.zeros(len(firsts), np.int64)
        left = np.ones(len(firsts), np.bool_)
        begun = StepFields(*(column[firsts, networks] for column in steps))
        for back in (np.ones_like(firsts), begun.skip_1, begun.skip_2):
            source = np.maximum(firsts - back, 0)
            taken = StepFields(*(column[source, networks] for column in steps))
            dies = (firsts >= back) & (back > 0) & (taken.last < end)
            final = np.minimum(taken.last, last)
            first = np.where(back == 1, firsts, final)
            past_final = self._is_past(final, taken, output, last, networks, _SAME_ROW)
            past_first = np.where(
                back == 1, self._is_past(first, taken, output, last, networks, begun), past_final
            )
            past_final |= final == first
            shared = np.minimum(taken.whole, output.whole)
            for writer, apart in ((head, 0), (last, row_apart)):
                at_writer = (steps.in_place[writer, networks] == 1) & _have_equal_rows(
                    steps, writer, taken, networks
                )
                allowed = left & dies
                for reader, past in ((first, past_first), (final, past_final)):
                    allowed &= np.where(reader == writer, at_writer, (reader < writer) & past)
                saved = np.where(allowed, shared - apart, saved)
                left &= ~allowed
        # What only renames its input is nothing but its input; it is a span of its own.
        source = np.maximum(firsts - 1, 0)
        taken = StepFields(*(column[source, networks] for column in steps))
        renames = (output.renames == 1) & ~within & (taken.last == last)
        equal = taken.rows * taken.row_bytes == output.rows * output.row_bytes
        return np.where(renames & equal, output.whole, np.where(last > 0, saved, 0))

    def _is_past(
        self,
        reader: Integers,
        taken: StepFields,
        output: StepFields,
        last: int,
        networks: Integers,
        window: StepFields | _Window,
    ) -> npt.NDArray[np.bool_]:
        """Whether ``reader`` reads beyond what is written of ``output``, whichever row that is.

        When row y is written, the reader has made scale · y + made_first rows. What it still needs and what
        is written are linear in y up to the last row before which it is done, so both ends decide.
        """
        scale = self._scale[last, networks] // self._scale[reader, networks]
        made_first = (self._ahead[last, networks] - self._ahead[reader, networks]) // self._scale[
            reader, networks
        ] + 1
        reader_rows = self._steps.rows[reader, networks]
        last_open = np.minimum(output.rows - 1, -(-(reader_rows - made_first) // scale) - 1)

        def is_beyond(row: Integers | int) -> npt.NDArray[np.bool_]:
            unread = (scale * row + made_first) * window.stride - window.above
            return np.asarray(unread * taken.row_bytes >= (row + 1) * output.row_bytes)

        by_rows = window.window_rows < AT_ONCE_ROWS
        return np.asarray((made_first >= reader_rows) | (by_rows & is_beyond(0) & is_beyond(last_open)))


@dataclass(frozen=True, slots=True)
class _Window:
    """The window of what reads the same row."""

    window_rows: int = 1
    stride: int = 1
    above: int = 0


_SAME_ROW = _Window()


def _have_equal_rows(
    steps: StepFields, writer: Integers | int, taken: StepFields, networks: Integers
) -> npt.NDArray[np.bool_]:
    return np.asarray(
        (steps.rows[writer, networks] == taken.rows) & (steps.row_bytes[writer, networks] == taken.row_bytes)
    )

"""Arenas of many networks at once: the cut of ``spans`` over steps that come from tables of blocks.

Few cuts matter: what crosses one is kept by the span before it. So only those are looked at that fewer
bytes cross than the best cut in two needs, and those of all networks are lined up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.engines.aot.block_steps import AT_ONCE_ROWS, Needed, StepFields, absent_step, joined
from mcofa.engines.aot.spans import NEVER, Integers
from mcofa.memory.plan import aligned

Booleans = npt.NDArray[np.bool_]

_CHUNK_NETWORKS = 1_024
"""Networks planned at once: their arrays stay in the processor's cache."""


class SpanPlanner:
    """Finds the best cuts of networks, each given as a sequence of blocks."""

    def __init__(self, planned: Sequence[tuple[int, StepFields]], streams_input: bool) -> None:
        self._streams_input = streams_input
        self._least = np.array([0, *(least for least, _ in planned)], np.int32)
        blocks = [steps for _, steps in planned]
        self._counts = np.array([0, *(len(block.rows) for block in blocks)], np.int32)
        self._starts = np.cumsum(self._counts, dtype=np.int32) - self._counts
        self._table = joined([*blocks, absent_step()])

    def head_bytes(self, blocks: npt.NDArray[np.intp]) -> Integers:
        """Return the arenas, (archs,), of networks of ``blocks``, (archs, blocks of an arch)."""
        # Networks of about as many steps are planned together.
        order = np.argsort(self._counts[blocks].sum(1), kind="stable")
        found = np.zeros(len(blocks), np.int64)
        for start in range(0, len(blocks), _CHUNK_NETWORKS):
            of = order[start : start + _CHUNK_NETWORKS]
            networks = _Networks(self._table, *self._steps(blocks[of]), self._streams_input)
            found[of] = networks.least(self._least[blocks[of]].max(1))
        return found

    def _steps(self, blocks: npt.NDArray[np.intp]) -> tuple[Integers, Integers]:
        """Rows of the table, (steps, networks), filled up with the absent step; and each network's last."""
        counts = self._counts[blocks]
        per_network = counts.sum(1)
        lengths = counts.ravel()
        ends = np.cumsum(lengths)
        listed = np.repeat(self._starts[blocks].ravel() - (ends - lengths), lengths) + np.arange(ends[-1])
        rows = np.full((len(blocks), per_network.max()), len(self._table.rows) - 1, np.int64)
        rows[np.arange(rows.shape[1]) < per_network[:, None]] = listed
        return np.ascontiguousarray(rows.T), per_network - 1


class _Lined(NamedTuple):
    """Cuts of networks before some of their steps, ``before``: each field (cuts, networks).

    A span keeps ``begun`` of the cut that it begins with and ``ended`` of that which it ends with, besides
    ``skipped`` bytes of each tensor ``skipped_step`` that the latter skips, where the span made it. ``over``
    is how much the output of a span that begins here may lie over at most, ``output`` the output of one that
    ends here. ``scratch`` is that of the steps up to the next cut.
    """

    before: Integers
    begun: Integers
    ended: Integers
    over: Integers
    output: Integers
    scratch: Integers
    skipped: tuple[Integers, ...]
    skipped_step: tuple[Integers, ...]


class _Cuts:
    """All cuts of networks, (steps, networks)."""

    def __init__(self, table: StepFields, rows: Integers, last: Integers, first: int) -> None:
        self._table = table
        self._rows = rows
        self._last = last
        self._first = first
        self._every = np.arange(rows.shape[1])
        step = np.arange(len(rows), dtype=np.int32)[:, None]
        before, *skipped = table.needed
        self._crossing = sum(tensor.whole for tensor in table.needed)[rows]
        self._crossing[step > last] = NEVER
        if first == 0:
            self._crossing[1] = NEVER
        inside = np.cumsum(before.inside[rows], 0, dtype=np.int32)
        self._output = before.whole[rows]
        self._ended = self._output.copy()
        self._ended[1:] += inside[:-1]
        self._begun = self._crossing - inside
        self._skipped = tuple((tensor.whole - tensor.inside)[rows] for tensor in skipped)
        self._skipped_step = tuple(step - tensor.back[rows] for tensor in skipped)
        self._scratch = table.scratch[rows]
        self.before_blocks = table.begins[rows] == 1

    def best_in_two(self) -> Integers:
        """Return what the best cut of each network in two needs, without what outputs may save."""
        most_scratch = self._scratch.max(0)
        first_span = self._begun[self._first] + self._ended + most_scratch
        for skipped, made in zip(self._skipped, self._skipped_step, strict=True):
            first_span += skipped * (made >= self._first)
        last_span = self._begun + self._ended[self._last, self._every] + most_scratch
        last_span[self._last, self._every] = 0
        limit: Integers = np.maximum(first_span, last_span)[self._first + 1 :].min(0)
        return limit

    def useful(self, known: Integers) -> Booleans:
        """Return the cuts that may be part of the best ones, if no network needs less than ``known``.

        From some cut on, one span up to the end keeps no more. So there is at most one cut there, and none
        that ends a span which keeps more, without its output, than another would with it.
        """
        step = np.arange(len(self._rows))[:, None]
        to_end = self._begun + self._ended[self._last, self._every] + self._scratch.max(0)
        is_free = np.logical_and.accumulate(((to_end <= known) | (step >= self._last))[::-1], 0)[::-1]
        with_output = self._ended + sum(self._skipped)
        fewest = np.where(is_free & (self._crossing < NEVER), with_output, NEVER).min(0)
        return np.asarray(~is_free | (self._ended - self._output < fewest))

    def crossed_by_fewer(self, limit: Integers, of_those: Booleans | bool) -> _Lined:
        """Return the first and the last cut, and between them those that fewer bytes than ``limit`` cross."""
        kept = (self._crossing < limit) & of_those
        kept[: self._first] = False
        kept[self._first] = True
        kept[self._last, self._every] = True
        count, networks = kept.shape
        flat = np.flatnonzero(kept.T)
        of, at = np.divmod(flat, count)
        counts = kept.sum(0)
        ends = np.cumsum(counts)
        before = np.broadcast_to(self._last, (counts.max(), networks)).copy()
        place = np.arange(len(of)) - np.repeat(ends - counts, counts)
        before[place, of] = at
        index = before * networks + self._every

        def at_cuts(values: Integers) -> Integers:
            found: Integers = values.ravel()[index]
            return found

        scratch = np.zeros(index.shape, np.int32)
        scratch[place, of] = np.maximum.reduceat(np.ascontiguousarray(self._scratch.T).ravel(), flat)
        return _Lined(
            before=before.astype(np.int32),
            begun=at_cuts(self._begun),
            ended=at_cuts(self._ended),
            over=np.maximum.reduce([tensor.whole for tensor in self._table.needed])[at_cuts(self._rows)],
            output=at_cuts(self._output),
            scratch=scratch,
            skipped=tuple(map(at_cuts, self._skipped)),
            skipped_step=tuple(map(at_cuts, self._skipped_step)),
        )


class _Networks:
    """Networks by rows of the table of steps, (steps, networks); in the last step the caller reads."""

    def __init__(self, table: StepFields, rows: Integers, last: Integers, streams_input: bool) -> None:
        self._table = table
        self._rows = rows
        self._last = last
        self._first = 0 if streams_input else 1
        # Row u of a step needs the image up to its row u · scale + ahead, by all strides and windows before.
        self._scale: Integers = np.cumprod(table.stride[rows], 0, dtype=table.stride.dtype)
        ahead = (table.window_rows - 1 - table.above)[rows]
        ahead[1:] *= self._scale[:-1]
        self._ahead: Integers = np.cumsum(ahead, 0, dtype=ahead.dtype)

    def least(self, known: Integers) -> Integers:
        """Return the fewest bytes that any cut into spans needs, (networks,): at least ``known``."""
        cuts = _Cuts(self._table, self._rows, self._last, self._first)
        limit = cuts.best_in_two()
        useful = cuts.useful(known)
        for kept in (useful & cuts.before_blocks, useful):
            limit = self._least_of(cuts.crossed_by_fewer(limit, kept), limit, known)
        return limit.astype(np.int64)

    def _least_of(self, cuts: _Lined, limit: Integers, known: Integers) -> Integers:
        """Return what the best of ``cuts`` needs, or ``limit`` if that is less."""
        best = np.empty_like(cuts.before)
        best[0] = np.maximum(known, cuts.over[0])
        scratch = np.zeros_like(cuts.before)
        low = 0
        for end in range(1, len(best)):
            np.maximum(scratch[low:end], cuts.scratch[end - 1], out=scratch[low:end])
            # What longer spans keep besides their outputs is no less.
            kept = cuts.ended[end] - cuts.output[end]
            while low < end - 1 and (cuts.begun[low] + kept >= limit).all():
                low += 1
            spans = cuts.begun[low:end] + cuts.ended[end]
            spans += scratch[low:end]
            for skipped, made in zip(cuts.skipped, cuts.skipped_step, strict=True):
                if skipped[end].any():
                    spans += skipped[end] * (made[end] >= cuts.before[low:end])
            least = np.minimum(np.maximum(best[low:end], spans).min(0), limit)
            most_saved = np.minimum(cuts.over[low:end], cuts.output[end])
            could_be_best = np.maximum(best[low:end], spans - most_saved) < least
            firsts, of = np.divmod(np.flatnonzero(could_be_best), could_be_best.shape[1])
            if len(firsts):
                of_spans = spans[firsts, of]
                firsts += low
                saved = self._saved(cuts.before[firsts, of], cuts.before[end, of], of)
                with_saved = np.maximum(best[firsts, of], of_spans - saved)
                np.minimum.at(least, of, with_saved.astype(least.dtype))
            best[end] = least
        fewest: Integers = best[-1]
        return fewest

    def _saved(self, firsts: Integers, ends: Integers, networks: Integers) -> Integers:
        """Return what spans save whose output lies over an input, as ``sharing.Takeovers`` has it."""
        table, last = self._table, ends - 1
        begins, makes, after = (self._rows[step, networks] for step in (firsts, last, ends))
        output = Needed(*(column[after].astype(np.int64) for column in table.needed[0]))
        written = _Written(
            last,
            self._scale[last, networks],
            self._ahead[last, networks],
            output.rows,
            output.row_bytes,
        )
        has_head = (table.takes_over[makes] == 1) & (firsts < last)
        head = last - has_head
        row_apart = np.where(has_head, aligned(output.row_bytes), 0)
        in_place = table.in_place[makes] == 1
        head_in_place = np.where(has_head, table.in_place[self._rows[head, networks]] == 1, in_place)
        saved = np.zeros(len(firsts), np.int64)
        left = np.ones(len(firsts), np.bool_)
        for tensor in table.needed:
            taken = Needed(*(column[begins].astype(np.int64) for column in tensor))
            final = firsts + taken.last
            dies = left & (taken.back > 0) & (final < ends)
            if not dies.any():
                continue
            final = np.minimum(final, last)
            first = np.where(taken.back == 1, firsts, final)
            same_rows = (taken.rows == output.rows) & (taken.row_bytes == output.row_bytes)
            past_final = self._is_past(final, taken, written, networks, None)
            past_first = past_final
            if tensor is table.needed[0]:
                past_first = self._is_past(first, taken, written, networks, begins)
                past_final = np.where(final == first, past_first, past_final)
            shared = np.minimum(taken.whole, output.whole)
            for writer, works_in_place, apart in ((head, head_in_place, 0), (last, in_place, row_apart)):
                allowed = dies & left
                for reader, past in ((first, past_first), (final, past_final)):
                    allowed &= np.where(
                        reader == writer, works_in_place & same_rows, (reader < writer) & past
                    )
                saved = np.where(allowed, shared - apart, saved)
                left &= ~allowed
        alone = np.flatnonzero(firsts == last)
        saved[alone] += self._saved_over_input(makes[alone])
        return saved

    def _saved_over_input(self, steps: Integers) -> Integers:
        """Return what steps, rows of the table, save that run alone and write over what they read."""
        (taken, *_), needed = self._table.needed, self._table.over_input[steps]
        return np.where((needed < NEVER) & (taken.last[steps] == 0), taken.whole[steps] - needed, 0)

    def _is_past(
        self, reader: Integers, taken: Needed, written: _Written, networks: Integers, begins: Integers | None
    ) -> Booleans:
        """Whether ``reader`` reads beyond what is written, whichever row that is.

        It reads ``taken`` with the window of row ``begins`` of the table, or its own row if that is None.
        When row y is written, the reader has made scale · y + made_first rows. What it still needs and what
        is written are linear in y up to the last row before which it is done, so both ends decide.
        """
        table = self._table
        reader_scale = self._scale[reader, networks]
        scale = written.scale // reader_scale
        made_first = (written.ahead - self._ahead[reader, networks]) // reader_scale + 1
        reader_rows = table.rows[self._rows[reader, networks]]
        last_open = np.minimum(written.rows - 1, -(-(reader_rows - made_first) // scale) - 1)
        stride, above = (1, 0) if begins is None else (table.stride[begins], table.above[begins])

        def is_beyond(row: Integers | int) -> Booleans:
            unread = (scale * row + made_first) * stride - above
            return np.asarray(unread * taken.row_bytes >= (row + 1) * written.row_bytes)

        beyond = is_beyond(0) & is_beyond(last_open)
        if begins is not None:
            beyond &= table.window_rows[begins] < AT_ONCE_ROWS
        return np.asarray((made_first >= reader_rows) | beyond)


class _Written(NamedTuple):
    """The outputs of spans: of step ``last``, with its scale and ahead, and its rows."""

    last: Integers
    scale: Integers
    ahead: Integers
    rows: Integers
    row_bytes: Integers

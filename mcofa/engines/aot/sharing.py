"""Which rows may lie where other rows lie: inside a span, and a span's output over one of its inputs."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcofa.engines.aot.flow import Flow
from mcofa.engines.aot.rings import is_inside
from mcofa.ops.rows import RowWindow

Counts = npt.NDArray[np.int64]


def heir(flow: Flow, step: int) -> int | None:
    """Return the step in whose rows those of ``step`` are made where it is inside a span; None without one.

    It is an op that works in place, asks for ``step`` last and is its only reader: between a row of
    ``step`` and the one made of it, nothing else is done.
    """
    if len(flow.readers[step]) != 1 or step in flow.outputs:
        return None
    (reader,) = flow.readers[step]
    made, taken = flow.steps[reader], flow.steps[step]
    last = made.reads[-1].source == step
    row_by_row = taken.op >= 0 and (not taken.at_once or taken.rows == 1)
    return reader if made.in_place and last and _have_equal_rows(flow, step, reader) and row_by_row else None


@dataclass(frozen=True, slots=True)
class Takeover:
    """That the output of a span lies where the tensor of step ``source`` did.

    ``apart`` is the step whose rows must then have a place of their own, as ``source`` is still read
    when they are made; None without one. ``scratch_bytes`` are needed for it.
    """

    source: int
    apart: int | None = None
    scratch_bytes: int = 0


class Takeovers:
    """The outputs of a flow's spans that may lie where one of their inputs does, which is no smaller.

    What counts is that nothing is overwritten that is still needed: when row y of the output is written, its
    end must lie before the first row of the input that some op still reads, or that very place must be
    read by an op that works in place.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._made_when_written = functools.cache(self._count_made_when_written)
        self._is_allowed = functools.cache(self._find_whether_allowed)

    def of(self, span: range) -> Takeover | None:
        """Return what the output of ``span`` lies over, of several tensors the latest."""
        flow, last = self._flow, span[-1]
        made = flow.steps[last]
        if made.op < 0 or (flow.last_reader(last) in span and flow.readers[last]):
            return None
        chain = self._chain(span)
        if len(span) == 1 and (made.renames or made.over_input_bytes is not None):
            (read,) = made.reads
            ends = flow.last_reader(read.source) == last
            is_over = ends and flow.steps[read.source].bytes == made.bytes
            return Takeover(read.source, scratch_bytes=made.over_input_bytes or 0) if is_over else None
        for source in range(span.start - 1, -1, -1):
            if span.start <= flow.last_reader(source) <= last:
                readers = tuple(reader for reader in flow.readers[source] if reader >= span.start)
                for at, writer in enumerate(chain):
                    if self._is_allowed(source, readers, writer):
                        return Takeover(source, chain[at - 1] if at else None)
        return None

    def _chain(self, span: range) -> list[int]:
        """The steps of ``span`` that make rows in the rows of its last step, which is the last of them."""
        chain = [span[-1]]
        while reads := self._flow.steps[chain[0]].reads:
            source = reads[-1].source
            if not is_inside(self._flow, source, span) or heir(self._flow, source) != chain[0]:
                break
            chain.insert(0, source)
        return chain

    def _find_whether_allowed(self, source: int, readers: tuple[int, ...], writer: int) -> bool:
        """Whether ``writer`` may write over ``source``, which ``readers`` read."""
        made = self._made_when_written(writer)
        return all(
            self._reads_in_place(writer, source)
            if reader == writer
            else reader in made and self._is_past(reader, source, made[reader], writer)
            for reader in readers
        )

    def _reads_in_place(self, writer: int, source: int) -> bool:
        return self._flow.steps[writer].in_place and _have_equal_rows(self._flow, source, writer)

    def _count_made_when_written(self, writer: int) -> dict[int, Counts]:
        """How many rows each step that ``writer`` needs has made when the writer writes row 0, 1, …."""
        flow = self._flow
        rows = flow.steps[writer].rows
        counts = {writer: np.full(1, rows) if flow.steps[writer].at_once else np.arange(1, rows + 1)}
        for step in range(writer, -1, -1):
            for read in flow.steps[step].reads if step in counts else ():
                needed = _needed(read.window, flow.steps[read.source].rows, counts[step])
                counts[read.source] = np.maximum(needed, counts.get(read.source, 0))
        return counts

    def _is_past(self, reader: int, source: int, made: Counts, writer: int) -> bool:
        """Whether ``reader``, which has made so many rows when row 0, 1, … is written, reads beyond it."""
        steps = self._flow.steps
        (window,) = (read.window for read in steps[reader].reads if read.source == source)
        done = made >= steps[reader].rows
        if window is None:
            return bool(done.all())
        written = (
            steps[writer].bytes
            if steps[writer].at_once
            else np.arange(1, len(made) + 1) * steps[writer].row_bytes
        )
        unread = (made * window.stride - window.above) * steps[source].row_bytes
        return bool((done | (unread >= written)).all())


def _have_equal_rows(flow: Flow, one: int, other: int) -> bool:
    a, b = flow.steps[one], flow.steps[other]
    return (a.rows, a.row_bytes) == (b.rows, b.row_bytes)


def _needed(window: RowWindow | None, rows: int, made: Counts) -> Counts:
    """How many of a tensor's rows there must be to make so many rows of what reads it with ``window``."""
    needed: int | Counts = rows
    if window is not None:
        needed = np.clip((made - 1) * window.stride - window.above + window.rows, 0, rows)
    return np.where(made > 0, needed, 0)

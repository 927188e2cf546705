"""How many rows of the tensors inside a span are kept: the execution itself, without the numbers.

The last step of a span is asked for its rows in turn. A step that is asked for rows asks for the rows
that it needs, in the order of its reads, makes one row, and so on. A row is kept until no step reads it
any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.engines.aot.flow import Flow, Read


def is_inside(flow: Flow, step: int, span: range) -> bool:
    """Return whether the tensor of ``step`` is made and last read in ``span``."""
    return step in span and flow.readers[step] != () and flow.last_reader(step) in span


def ring_rows(flow: Flow, span: range) -> Mapping[int, int]:
    """Return how many rows of each tensor inside ``span`` are kept, by step.

    Every step of the span but the last must be read by one of the span.
    """
    return _Execution(flow, span).run()


class _Execution:
    """Counts rows: ``made`` of each step, and of those ``taken`` into sums by a reader."""

    def __init__(self, flow: Flow, span: range) -> None:
        self.flow = flow
        self.span = span
        self.made = dict.fromkeys(span, 0)
        self.taken = {(step, read.source): 0 for step in span for read in flow.steps[step].reads}
        self.inside = {step for step in span if is_inside(flow, step, span)}
        self.rings = dict.fromkeys(sorted(self.inside), 1)

    def run(self) -> Mapping[int, int]:
        self._make(self.span[-1])
        for step in self.span:
            if step not in self.inside:
                self._make(step)
        return self.rings

    def _make(self, step: int) -> None:
        """Make all rows of ``step``, and of others what that needs."""
        waiting = [(step, self.flow.steps[step].rows)]
        while waiting:
            step, rows = waiting[-1]
            if self.made[step] >= rows:
                waiting.pop()
            elif (needed := self._needed(step)) is not None:
                waiting.append(needed)
            else:
                self._make_row(step)

    def _needed(self, step: int) -> tuple[int, int] | None:
        """The first step of which the next row of ``step`` misses rows, and how many there must be."""
        for read in self.flow.steps[step].reads:
            if read.source not in self.span:
                continue
            rows = self.flow.steps[read.source].rows
            if self._sums(read):
                while self.taken[step, read.source] < min(self.made[read.source], rows):
                    self.taken[step, read.source] += 1
                needed = rows if self.taken[step, read.source] == rows else self.taken[step, read.source] + 1
            else:
                needed = rows if read.window is None else read.window.end(self.made[step], rows)
            if self.made[read.source] < needed:
                return read.source, needed
        return None

    def _sums(self, read: Read) -> bool:
        return read.sums_bytes is not None and read.source in self.inside

    def _make_row(self, step: int) -> None:
        made = self.flow.steps[step]
        self.made[step] += made.rows if made.at_once else 1
        if step in self.inside:
            oldest = min(self._oldest_needed(reader, step) for reader in self.flow.readers[step])
            self.rings[step] = max(self.rings[step], self.made[step] - oldest)

    def _oldest_needed(self, reader: int, step: int) -> int:
        """The first row of ``step`` that ``reader`` will still read, at most the newest."""
        newest = self.made[step] - 1
        if self.made[reader] >= self.flow.steps[reader].rows:
            return newest
        (read,) = (read for read in self.flow.steps[reader].reads if read.source == step)
        if self._sums(read):
            return min(self.taken[reader, step], newest)
        return 0 if read.window is None else min(read.window.first(self.made[reader]), newest)

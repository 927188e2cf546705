"""An execution of a plan that knows of every byte of the arena which row of which tensor it holds.

It follows the words of the plan alone: spans, offsets and rows. Each row that an op makes is written with its
name, and each row that it reads must still bear its own.
"""

from __future__ import annotations

import numpy as np

from mcofa.engines.aot.flow import Flow, flow_of
from mcofa.engines.aot.plan import AotPlan
from mcofa.graph import Graph

LOST = 0


def execute(graph: Graph, plan: AotPlan) -> None:
    """Run ``plan``, and fail where a row is read that was overwritten."""
    _Execution(graph, plan).run()


class _Execution:
    def __init__(self, graph: Graph, plan: AotPlan) -> None:
        self.graph = graph
        self.plan = plan
        self.flow: Flow = flow_of(graph)
        self.arena = np.zeros(plan.arena_bytes, np.int64)
        self.offset = {
            tensor: offset
            for storage, offset in zip(plan.storages, plan.offsets, strict=True)
            for tensor in storage.tensors
        }
        self.sums = {
            storage.sums_of: slice(offset, offset + storage.buffers[0].bytes)
            for storage, offset in zip(plan.storages, plan.offsets, strict=True)
            if storage.sums_of is not None
        }
        self.scratch = {
            storage.buffers[0].first_step: slice(offset, offset + storage.buffers[0].bytes)
            for storage, offset in zip(plan.storages, plan.offsets, strict=True)
            if not storage.tensors and storage.sums_of is None
        }
        self.made = [0] * len(self.flow.steps)
        self.taken: dict[int, int] = {}
        self.span = range(0)
        self.step_of_span = 0

    def run(self) -> None:
        inputs = self.flow.inputs
        if not self.plan.streams_input:
            for step in range(inputs):
                self._write_rows(step, self.flow.steps[step].rows)
        for at, ops in enumerate(self.plan.spans, start=1):
            first = ops.start + inputs
            if at == 1 and self.plan.streams_input:
                first = 0
            self.span, self.step_of_span = range(first, ops.stop + inputs), at
            if len(self.span) == 1 and self._lies_over_input(first):
                self._make_over_input(first)
            self._make(self.span[-1], self.flow.steps[self.span[-1]].rows)
            for step in self.span:
                if self.flow.last_reader(step) >= self.span.stop:
                    self._make(step, self.flow.steps[step].rows)
        for tensor in self.graph.outputs:
            step = next(i for i, made in enumerate(self.flow.steps) if made.tensor == tensor)
            self._check(step, 0, self.flow.steps[step].rows)

    def _make(self, step: int, rows: int) -> None:
        while self.made[step] < rows:
            self._make_row(step)

    def _make_row(self, step: int) -> None:
        made = self.flow.steps[step]
        row = self.made[step]
        for read in made.reads:
            available = self.flow.steps[read.source].rows
            if made.op in self.sums:
                self._take_into_sums(step, read.source)
                continue
            needed = available if read.window is None else read.window.end(row, available)
            if read.source in self.span:
                self._make(read.source, needed)
        for read in made.reads:
            available = self.flow.steps[read.source].rows
            if made.op in self.sums:
                self._check_bytes(self.sums[made.op], -1 - made.op)
            elif read.window is None:
                self._check(read.source, 0, available)
            else:
                self._check(read.source, read.window.first(row), read.window.end(row, available))
        if self.step_of_span in self.scratch and made.op >= 0:
            self.arena[self.scratch[self.step_of_span]] = LOST
        self._write_rows(step, made.rows if made.at_once else 1)

    def _lies_over_input(self, step: int) -> bool:
        made = self.flow.steps[step]
        over = {self.offset[self.flow.steps[read.source].tensor] for read in made.reads}
        return made.over_input_bytes is not None and self.offset[made.tensor] in over

    def _make_over_input(self, step: int) -> None:
        """Read all, then write all: what has to be kept of a row that is overwritten is in the scratch."""
        made = self.flow.steps[step]
        (read,) = made.reads
        self._check(read.source, 0, self.flow.steps[read.source].rows)
        assert made.over_input_bytes is not None
        place = self.scratch[self.step_of_span]
        assert place.stop - place.start >= made.over_input_bytes
        self.arena[place] = LOST
        self._check(read.source, 0, self.flow.steps[read.source].rows)
        self._write_rows(step, made.rows)

    def _take_into_sums(self, step: int, source: int) -> None:
        op = self.flow.steps[step].op
        for row in range(self.flow.steps[source].rows):
            self._make(source, row + 1)
            self._check(source, row, row + 1)
            if row:
                self._check_bytes(self.sums[op], -1 - op)
            self.arena[self.sums[op]] = -1 - op

    def _place(self, step: int, row: int) -> slice:
        made = self.flow.steps[step]
        first = self.offset[made.tensor] + row % self.plan.rows[made.tensor] * made.row_bytes
        assert first + made.row_bytes <= len(self.arena)
        return slice(first, first + made.row_bytes)

    def _name(self, step: int, row: int) -> int:
        return 1 + (step << 20) + row

    def _write_rows(self, step: int, rows: int) -> None:
        for row in range(self.made[step], self.made[step] + rows):
            self.arena[self._place(step, row)] = self._name(step, row)
        self.made[step] += rows

    def _check(self, step: int, first: int, end: int) -> None:
        for row in range(first, end):
            assert row < self.made[step], f"row {row} of step {step} is read before it is made"
            self._check_bytes(self._place(step, row), self._name(step, row))

    def _check_bytes(self, place: slice, name: int) -> None:
        assert (self.arena[place] == name).all(), f"{name} is overwritten before it is read"

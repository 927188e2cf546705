"""Where engine ``aot`` keeps what: the spans of a network, and the buffers of its arena."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcofa.engines.aot.flow import flow_of
from mcofa.engines.aot.kernels import check_supported
from mcofa.engines.aot.placement import place_stacks
from mcofa.engines.aot.rings import ring_rows
from mcofa.engines.aot.sharing import Takeover, Takeovers, heir
from mcofa.engines.aot.spans import Integers, SpanBytes, StepBytes, best_cut
from mcofa.errors import UnstreamableInputError
from mcofa.graph import Graph, Op
from mcofa.memory.plan import Buffer, aligned
from mcofa.ops import OPERATORS, Target
from mcofa.ops.rows import height


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory that begins at one offset, while its size changes: ``buffers`` follow one another in time.

    Tensors lie in it one in another's place, the first one first. Without tensors it is scratch of a span's
    ops, or with ``sums_of`` the sums into which that op takes rows.
    """

    buffers: tuple[Buffer, ...]
    tensors: tuple[int, ...] = ()
    sums_of: int | None = None


@dataclass(frozen=True, slots=True)
class AotPlan:
    """How a network runs: its spans, each a range of ops, and what lies where in the arena.

    Span i is step i + 1 of the buffers; in step 0 there are only the inputs. ``rows`` says of each tensor
    how many of its rows are kept: fewer than it has where it is inside a span. With ``streams_input`` the
    image is inside the first one.
    """

    spans: tuple[range, ...]
    storages: tuple[Storage, ...]
    offsets: tuple[int, ...]
    rows: Mapping[int, int]
    arena_bytes: int
    streams_input: bool

    def is_over_input(self, op: Op) -> bool:
        """Return whether the output of ``op``, which runs alone, lies in the place of its input."""
        return any({op.inputs[0], op.outputs[0]} <= set(storage.tensors) for storage in self.storages)


def plan_aot(graph: Graph, on: Target, streams_input: bool = False) -> AotPlan:
    """Return how ``graph`` runs on ``on`` with the smallest arena.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
        UnstreamableInputError: the input has no rows to be given one by one.
    """
    check_supported(graph)
    rules = StreamingRules(graph, on, streams_input)
    inputs = rules.flow.inputs
    spans, slower = rules.span_bytes(), rules.span_bytes(over_input=True)
    limit = int(slower.least()[0])
    if limit < spans.least()[0]:
        spans = slower
    cut = [span for span in best_cut(spans, limit) if span.stop > inputs]
    storages, rows = _storages(rules, cut, limit)
    plan = place_stacks([storage.buffers for storage in storages])
    return AotPlan(
        spans=tuple(range(max(span.start - inputs, 0), span.stop - inputs) for span in cut),
        storages=tuple(storages),
        offsets=plan.offsets,
        rows=rows,
        arena_bytes=plan.total_bytes,
        streams_input=streams_input,
    )


class StreamingRules:
    """What a network keeps in which span: one statement for the bytes of spans and for their buffers.

    Raises:
        UnstreamableInputError: the input has no rows to be given one by one.
    """

    def __init__(self, graph: Graph, on: Target, streams_input: bool) -> None:
        if streams_input:
            _check_streamable(graph)
        self.flow = flow_of(graph)
        self.streams_input = streams_input
        self.takeovers = Takeovers(self.flow)
        self.scratch = [0] * self.flow.inputs + [
            OPERATORS[op.kind].aot.scratch_bytes(graph, op, on) for op in graph.ops
        ]

    def span_bytes(self, over_input: bool = False) -> SpanBytes:
        """Return what each span keeps; with ``over_input``, also in ways that take longer."""
        return SpanBytes(self.step_bytes(), functools.partial(self._saved, over_input))

    def step_bytes(self) -> StepBytes:
        """Return what each step keeps; inputs that are not streamed are spans of their own."""
        flow = self.flow
        steps = range(len(flow.steps))
        rings = self.kept_rows(steps)
        whole = [aligned(step.bytes) for step in flow.steps]
        return StepBytes(
            whole=_column(whole),
            inside=_column(
                [self._inside_bytes(step, rings[step]) if step in rings else whole[step] for step in steps]
            ),
            scratch=_column([aligned(size) for size in self.scratch]),
            last_reader=_column([flow.last_reader(step) for step in steps]),
            alone=0 if self.streams_input else flow.inputs,
            glued=(1,) if self.streams_input else (),
            first_reader=_column([min(flow.readers[step], default=len(steps)) for step in steps]),
        )

    def kept_rows(self, span: range) -> Mapping[int, int]:
        """Return how many rows of each step inside ``span`` are kept: all, where sums would take as much."""
        kept = {}
        for step, rows in ring_rows(self.flow, span).items():
            made = self.flow.steps[step]
            sums = [aligned(size) for size in self._possible_sums(step).values()]
            keeps_all = sums and rows * made.row_bytes + sum(sums) >= made.bytes
            kept[step] = made.rows if keeps_all else rows
        return kept

    def takeover(self, span: range, limit: int) -> Takeover | None:
        """Return what the output of ``span`` lies over; where it then takes longer, only if it must."""
        found = self.takeovers.of(span)
        is_slower = found is not None and found.scratch_bytes > 0
        return None if is_slower and self._apart_bytes(span[-1]) <= limit else found

    def _apart_bytes(self, step: int) -> int:
        """What is kept while ``step`` runs alone and its output lies over no input."""
        live = (made for made in range(step + 1) if self.flow.last_reader(made) >= step)
        return sum(aligned(self.flow.steps[made].bytes) for made in live) + aligned(self.scratch[step])

    def sums(self, step: int, rows: int) -> Mapping[int, int]:
        """Return the ops that take the tensor of ``step`` row by row into sums, with their bytes."""
        return self._possible_sums(step) if rows < self.flow.steps[step].rows else {}

    def _possible_sums(self, step: int) -> Mapping[int, int]:
        return {
            self.flow.steps[reader].op: read.sums_bytes
            for reader in self.flow.readers[step]
            for read in self.flow.steps[reader].reads
            if read.source == step and read.sums_bytes is not None
        }

    def _inside_bytes(self, step: int, rows: int) -> int:
        """What a ring takes, none in the rows of another, with the sums it is taken into."""
        if heir(self.flow, step) is not None:
            return 0
        return aligned(rows * self.flow.steps[step].row_bytes) + sum(
            map(aligned, self.sums(step, rows).values())
        )

    def _saved(self, over_input: bool, end: int, firsts: Integers, _networks: Integers) -> Integers:
        spans = (range(first, end) for first in firsts.tolist())
        return np.array([self._saved_bytes(span, over_input) for span in spans], np.int64)

    def _saved_bytes(self, span: range, over_input: bool) -> int:
        found = self.takeovers.of(span)
        if found is None or (found.scratch_bytes and not over_input):
            return 0
        apart = 0 if found.apart is None else aligned(self.flow.steps[found.apart].row_bytes)
        shared = min(self.flow.steps[span[-1]].bytes, self.flow.steps[found.source].bytes)
        return aligned(shared) - apart - aligned(found.scratch_bytes)


def _check_streamable(graph: Graph) -> None:
    if len(graph.inputs) != 1:
        raise UnstreamableInputError(
            f"the model has {len(graph.inputs)} inputs: which row comes next is not clear"
        )
    image = graph.tensors[graph.inputs[0]]
    if height(image) == 1 or graph.inputs[0] in graph.outputs:
        shape = "×".join(map(str, image.shape))
        raise UnstreamableInputError(f"the input, {shape}, has no rows that could be given one by one")


def _storages(
    rules: StreamingRules, cut: Sequence[range], limit: int
) -> tuple[list[Storage], dict[int, int]]:
    """The storages of tensors by their first step, then what spans need besides; and the rows of tensors."""
    flow = rules.flow
    number = dict.fromkeys(range(flow.inputs), 0)
    number.update((step, at) for at, span in enumerate(cut, start=1) for step in span)
    rows = {step: made.rows for step, made in enumerate(flow.steps)}
    host = {step: step for step in rows}
    besides: list[Storage] = []
    for at, span in enumerate(cut, start=1):
        found = rules.takeover(span, limit)
        if found:
            host[span[-1]] = host[found.source]
        rings = rules.kept_rows(span)
        for step in reversed(rings):
            shared = heir(flow, step)
            if shared is None or (found and found.apart == step):
                host[step], rows[step] = step, rings[step]
            else:
                host[step], rows[step] = host[shared], rows[shared]
            besides += [
                Storage((Buffer(size, at, at),), sums_of=op)
                for op, size in rules.sums(step, rings[step]).items()
            ]
        scratch = max(rules.scratch[step] for step in span) + (found.scratch_bytes if found else 0)
        if scratch:
            besides.append(Storage((Buffer(scratch, at, at),)))
    groups: dict[int, list[int]] = {}
    for step in sorted(rows):
        groups.setdefault(host[step], []).append(step)
    storages = []
    for group in groups.values():
        live = [
            Buffer(
                rows[step] * flow.steps[step].row_bytes,
                number[step],
                number.get(flow.last_reader(step), len(cut) + 1),
            )
            for step in group
        ]
        storages.append(Storage(_in_turn(live), tuple(flow.steps[step].tensor for step in group)))
    return [*storages, *besides], {flow.steps[step].tensor: kept for step, kept in rows.items()}


def _in_turn(live: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """What tensors that lie at one offset take in each step, as buffers that follow one another."""
    steps = range(min(b.first_step for b in live), max(b.last_step for b in live) + 1)
    sizes = [max(b.bytes for b in live if b.first_step <= step <= b.last_step) for step in steps]
    turns: list[Buffer] = []
    for step, size in zip(steps, sizes, strict=True):
        if turns and turns[-1].bytes == size:
            turns[-1] = Buffer(size, turns[-1].first_step, step)
        else:
            turns.append(Buffer(size, step, step))
    return tuple(turns)


def _column(values: Sequence[int]) -> Integers:
    return np.array(values, np.int64)[:, None]

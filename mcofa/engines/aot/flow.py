"""A graph as engine ``aot`` executes it: who makes which rows from which rows.

*Steps* are the graph's inputs, then its ops, in order; a step stands for the one tensor that it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcofa.graph import Graph, Op
from mcofa.memory.plan import aligned
from mcofa.ops import OPERATORS
from mcofa.ops.rows import SAME_ROW, RowWindow, height, needed_rows


@dataclass(frozen=True, slots=True)
class Read:
    """That a step reads the tensor of an earlier step, ``source``.

    ``window`` is None where every row is needed for any. ``sums_bytes`` says how large the sums are
    into which the step can take the rows one by one instead, if it can.
    """

    source: int
    window: RowWindow | None
    sums_bytes: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """What makes ``tensor``, whose rows have ``row_bytes`` each: op ``op``, or the caller (−1).

    ``reads`` are in the order in which the step asks for rows: the deepest last, so that as few rows as
    can be of the others wait for them. With ``at_once`` it makes all rows together. With ``in_place`` a row
    may lie where a row of the same size does that it is made from; where the step only ``renames`` its input,
    there is nothing to do then. ``over_input_bytes`` is the scratch with which a step that runs alone writes
    its tensor over the one it reads, None where it cannot.
    """

    tensor: int
    op: int
    rows: int
    row_bytes: int
    reads: tuple[Read, ...] = ()
    at_once: bool = False
    in_place: bool = False
    renames: bool = False
    over_input_bytes: int | None = None

    @property
    def bytes(self) -> int:
        """All the rows."""
        return self.rows * self.row_bytes


@dataclass(frozen=True, slots=True)
class Flow:
    """The steps of a graph, the steps that read each, and which are the caller's to read."""

    steps: tuple[Step, ...]
    readers: tuple[tuple[int, ...], ...]
    outputs: frozenset[int]

    @property
    def inputs(self) -> int:
        """How many steps are inputs; they are the first ones."""
        return sum(step.op < 0 for step in self.steps)

    def last_reader(self, step: int) -> int:
        """Return the last step that needs the tensor of ``step``, itself if none does.

        For an output it is the number of steps.
        """
        return len(self.steps) if step in self.outputs else max(self.readers[step], default=step)


def flow_of(graph: Graph) -> Flow:
    """Return the flow of ``graph``."""
    made_by: dict[int, int] = {}
    depth: dict[int, int] = {}
    steps: list[Step] = []
    for index in graph.inputs:
        made_by[index], depth[index] = len(steps), 0
        steps.append(_step(graph, index, -1))
    for position, op in enumerate(graph.ops):
        sources = sorted({index for index in op.inputs if index in made_by}, key=depth.__getitem__)
        depth[op.outputs[0]] = 1 + max((depth[index] for index in sources), default=0)
        steps.append(_op_step(graph, op, position, sources, made_by))
        made_by[op.outputs[0]] = len(steps) - 1
    readers: list[list[int]] = [[] for _ in steps]
    for at, step in enumerate(steps):
        for read in step.reads:
            readers[read.source].append(at)
    return Flow(tuple(steps), tuple(map(tuple, readers)), frozenset(made_by[i] for i in graph.outputs))


def _step(graph: Graph, index: int, op: int) -> Step:
    tensor = graph.tensors[index]
    rows = height(tensor)
    return Step(index, op, rows, tensor.bytes // rows)


def _op_step(graph: Graph, op: Op, position: int, sources: Iterable[int], made_by: Mapping[int, int]) -> Step:
    rules = OPERATORS[op.kind].aot
    window = rules.rows(graph, op)
    reads = tuple(
        Read(
            made_by[index],
            needed_rows(graph, op, index, window) if window else None,
            rules.sums(graph, op),
        )
        for index in sources
    )
    made = _step(graph, op.outputs[0], position)
    return Step(
        made.tensor,
        position,
        made.rows,
        made.row_bytes,
        reads,
        at_once=window is None,
        in_place=rules.in_place and window == SAME_ROW,
        renames=rules.in_place_is_nothing,
        over_input_bytes=over_input_bytes(graph, op),
    )


def over_input_bytes(graph: Graph, op: Op) -> int | None:
    """Return the scratch with which ``op`` writes over its input, None where that saves nothing."""
    way = OPERATORS[op.kind].aot.over_input
    needed = way.scratch_bytes(graph, op) if way else None
    if needed is None or aligned(needed) >= aligned(graph.tensors[op.outputs[0]].bytes):
        return None
    return needed

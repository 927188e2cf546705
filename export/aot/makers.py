"""Functions that make the rows of a span: one a tensor, each asking others for the rows that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from export.aot.memory import Memory
from mcofa.engines.aot.flow import Flow, Read, Step
from mcofa.graph import Graph, OpKind
from mcofa.ops import KERNELS, OPERATORS
from mcofa.ops.rows import RowWindow, height, row_bytes

_ROW = re.compile(r"\brow\b")


@dataclass(frozen=True, slots=True)
class Maker:
    """How the rows of ``tensor`` are made: what is done for each, and how many that makes.

    Once its ``statements`` are done, ``rows`` more rows are there, of ``bytes`` from ``output`` on.
    """

    tensor: int
    op: int
    what: str
    statements: tuple[str, ...]
    output: str
    rows: int
    bytes: int
    uses_row: bool


class Makers:
    """The makers of the streamed spans of a network."""

    def __init__(self, graph: Graph, flow: Flow, memory: Memory) -> None:
        self._graph = graph
        self._flow = flow
        self._memory = memory

    def input(self, step: int) -> Maker:
        """Return the maker that lets the caller write a row of the image."""
        made = self._flow.steps[step]
        place = self._memory.pointer(made.tensor, "row")
        return self._maker(step, "the input", [f"network_read_row(row, (int8_t*)({place}));"])

    def op(
        self, step: int, span: range, number: int, kernel: str, leading: str, constants: Mapping[int, str]
    ) -> Maker:
        """Return the maker of an op's output, which calls ``kernel``.

        ``span`` is a range of steps, the ``number``-th one; ``leading`` are the first arguments of the
        kernel, and ``constants`` the names of operands that are constant.
        """
        made = self._flow.steps[step]
        op = self._graph.ops[made.op]
        if made.op in self._memory.sums:
            return self._maker(step, str(op.kind), list(self._taking(made, kernel, leading)))
        statements = [self._ask(read, made) for read in made.reads if read.source in span]
        arguments = [leading]
        window = None if made.at_once else OPERATORS[op.kind].aot.rows(self._graph, op)
        if window is not None and KERNELS[kernel].by_row:
            arguments += ["row", *self._ring(op.inputs[0])]
        else:
            for index in op.inputs[: OPERATORS[op.kind].aot.operands]:
                arguments.append(self._operand(index, made, constants))
        arguments.append(self._memory.pointer(made.tensor, "0" if made.at_once else "row"))
        if KERNELS[kernel].takes_scratch:
            arguments.append(self._memory.scratch(number))
        name = f"{kernel}_row" if window is not None and KERNELS[kernel].by_row else kernel
        call = f"{name}({', '.join(arguments)});"
        if op.kind is OpKind.PAD and window is not None:
            statements += self._padded(made, window, call, leading)
        else:
            statements.append(call)
        return self._maker(step, str(op.kind), statements)

    def _maker(self, step: int, what: str, statements: list[str]) -> Maker:
        made = self._flow.steps[step]
        kept = self._memory.kept_rows(made.tensor)
        return Maker(
            tensor=made.tensor,
            op=made.op,
            what=f"{what}, {kept} of {made.rows} rows kept" if kept < made.rows else what,
            statements=tuple(statements),
            output=self._memory.pointer(made.tensor, "0" if made.at_once else "row"),
            rows=made.rows if made.at_once else 1,
            bytes=made.bytes if made.at_once else made.row_bytes,
            uses_row=any(_ROW.search(statement) for statement in statements),
        )

    def _ask(self, read: Read, made: Step) -> str:
        source = self._flow.steps[read.source]
        return f"make_{source.tensor}(span, {_needed(read.window, source.rows, made.rows)});"

    def _ring(self, index: int) -> list[str]:
        return [self._memory.pointer(index), str(self._memory.kept_rows(index))]

    def _operand(self, index: int, made: Step, constants: Mapping[int, str]) -> str:
        tensor = self._graph.tensors[index]
        if index in constants:
            by_row = height(tensor) == made.rows > 1
            return f"{constants[index]} + row * {row_bytes(tensor)}" if by_row else constants[index]
        (read,) = {read for read in made.reads if self._flow.steps[read.source].tensor == index}
        return self._memory.pointer(index, _first_row(read.window))

    def _padded(self, made: Step, window: RowWindow, call: str, leading: str) -> Iterator[str]:
        (read,) = made.reads
        rows = self._flow.steps[read.source].rows
        output = self._memory.pointer(made.tensor, "row")
        yield f"if (row >= {window.above} && row < {window.above + rows}) {{"
        yield f"  {call}"
        yield "} else {"
        yield f"  memset({output}, {leading.removeprefix('&')}.fill, {made.row_bytes});"
        yield "}"

    def _taking(self, made: Step, kernel: str, leading: str) -> Iterator[str]:
        """Take the input row by row into sums."""
        (read,) = made.reads
        source = self._flow.steps[read.source]
        offset, size = self._memory.sums[made.op]
        largest = kernel == "nn_reduce_max"
        sums = f"memory + {offset}" if largest else f"(int32_t*)(void*)(memory + {offset})"
        output = self._memory.pointer(made.tensor)
        yield f"memset(memory + {offset}, {'INT8_MIN' if largest else 0}, {size});"
        yield f"for (int32_t taken = 0; taken < {source.rows}; ++taken) {{"
        yield f"  make_{source.tensor}(span, taken + 1);"
        yield f"  {kernel}_add({leading}, {self._memory.pointer(source.tensor, 'taken')}, {sums});"
        yield "}"
        yield (
            f"memcpy({output}, {sums}, {size});"
            if largest
            else f"{kernel}_finish({leading}, {sums}, {output});"
        )


def _first_row(window: RowWindow | None) -> str:
    """The row of an input that an op of one row reads."""
    if window is None or not window.stride:
        return "0"
    row = "row" if window.stride == 1 else f"row * {window.stride}"
    return row if not window.above else f"{row} - {window.above}"


def _needed(window: RowWindow | None, rows: int, made: int) -> str:
    """How many rows there must be, of ``rows``, to make row ``row`` of ``made``."""
    if window is None or not window.stride:
        return str(rows)
    more = window.rows - window.above
    needed = "row" if window.stride == 1 else f"row * {window.stride}"
    needed = f"{needed} + {more}" if more > 0 else f"{needed} - {-more}" if more else needed
    return f"nn_smaller({needed}, {rows})" if (made - 1) * window.stride + more > rows else needed

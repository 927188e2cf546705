"""The picture of docs/aot.md: a span of three ops at the moment when a row of its output is written.

`span_picture.py FILE.svg` draws it. How many rows are kept is what engine aot plans for these ops.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mcofa.draw.svg import GRID, INK, PAPER, QUIET, Picture
from mcofa.engines.aot.flow import Flow, Read, flow_of
from mcofa.engines.aot.rings import ring_rows
from mcofa.graph import DType, Graph, Op, OpKind, Tensor

ROW = 3
"""The row of the output that is being written."""

_NAMES = ("image", "tensor A", "tensor B", "output")
_OPS = ("convolution 3×3", "depthwise 3×3, stride 2", "convolution 1×1")
_LEFT_PX, _TOP_PX, _COLUMN_PX, _WIDTH_PX, _HEIGHT_PX = 24, 76, 196, 92, 256
_MEMORY_PX = _TOP_PX + _HEIGHT_PX + 62
_PLACE_PX = 23
_KEPT, _WHOLE, _NEW = "#a7dcd3", "#bcd6ee", "#0f766e"


def network() -> Graph:
    """An image of 16×16, and three convolutions."""
    shapes = ((1, 16, 16, 3), (1, 16, 16, 8), (1, 8, 8, 8), (1, 8, 8, 16))
    filters = ((8, 3, 3, 3), (1, 3, 3, 8), (16, 1, 1, 8))
    tensors = [Tensor(shape) for shape in shapes]
    ops = []
    kinds = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D, OpKind.CONV_2D)
    for at, (kind, window) in enumerate(zip(kinds, filters, strict=True)):
        channels = shapes[at + 1][3]
        constants = len(tensors), len(tensors) + 1
        tensors.append(Tensor(window, constant=True, scales=channels))
        tensors.append(Tensor((channels,), DType.INT32, constant=True, scales=channels))
        stride = shapes[at][1] // shapes[at + 1][1]
        ops.append(Op(kind, (at, *constants), (at + 1,), stride=(stride, stride)))
    return Graph(tuple(tensors), tuple(ops), (0,), (3,))


def made_rows(flow: Flow, row: int) -> list[int]:
    """Return how many rows of each tensor there are when ``row`` of the last one is written."""
    made = [0] * len(flow.steps)
    made[-1] = row + 1
    for step in reversed(flow.steps[1:]):
        (read,) = step.reads
        _, made[read.source] = _window(flow, read, made[read.source + 1] - 1)
    return made


def draw() -> str:
    """Return the picture as one SVG document."""
    flow = flow_of(network())
    steps = range(len(flow.steps))
    kept = {step: flow.steps[step].rows for step in steps} | dict(ring_rows(flow, steps))
    made = made_rows(flow, ROW)
    title = f"A span of three ops while row {ROW} of its output is written"
    picture = Picture(820, _MEMORY_PX + 78, title)
    picture.text(_LEFT_PX, 24, title, 15, font_weight="bold")
    for step in steps:
        _column(picture, step, flow.steps[step].rows, kept[step], made[step])
    for step in steps[1:]:
        _arrow(picture, flow, step, made[step] - 1)
    words = "In memory at that moment: row r of a tensor of which R rows are kept lies in place r % R"
    picture.text(_LEFT_PX, _MEMORY_PX - 12, words, 12)
    for step in steps:
        _places(picture, step, flow.steps[step].rows, kept[step], made[step])
    _legend(picture)
    return str(picture)


def _x(step: int) -> float:
    return _LEFT_PX + step * _COLUMN_PX


def _row_px(rows: int) -> float:
    return _HEIGHT_PX / rows


def _window(flow: Flow, read: Read, row: int) -> tuple[int, int]:
    """The rows of what is read that ``row`` needs: the first one, and how many there must be."""
    assert read.window
    return read.window.first(row), read.window.end(row, flow.steps[read.source].rows)


def _fill(row: int, rows: int, kept: int, made: int) -> str:
    if row == made - 1:
        return _NEW
    if row >= made:
        return PAPER
    if kept == rows:
        return _WHOLE
    return _KEPT if row >= made - kept else GRID


def _column(picture: Picture, step: int, rows: int, kept: int, made: int) -> None:
    x, height = _x(step), _row_px(rows)
    words = f"{rows} rows, all kept" if kept == rows else f"{rows} rows, {kept} kept"
    picture.text(x, _TOP_PX - 24, _NAMES[step], 12, font_weight="bold")
    picture.text(x, _TOP_PX - 9, words, fill=QUIET)
    for row in range(rows):
        y = _TOP_PX + row * height
        fill = _fill(row, rows, kept, made)
        dashes = {"stroke_dasharray": "2 2"} if row >= made else {}
        picture.rect(x, y + 0.5, _WIDTH_PX, height - 1, fill=fill, stroke=QUIET, stroke_width=0.5, **dashes)
        ink = {"fill": PAPER} if fill == _NEW else {"fill": QUIET} if row >= made or fill == GRID else {}
        picture.text(x + _WIDTH_PX / 2, y + height / 2 + 3.5, str(row), 10, text_anchor="middle", **ink)


def _arrow(picture: Picture, flow: Flow, step: int, row: int) -> None:
    """From the rows that are read to the row that is made of them."""
    (read,) = flow.steps[step].reads
    first, end = _window(flow, read, row)
    from_px, to_px = _row_px(flow.steps[read.source].rows), _row_px(flow.steps[step].rows)
    left, right = _x(step - 1) + _WIDTH_PX + 3, _x(step) - 3
    lines = picture.group(stroke=_NEW, stroke_width=1.2)
    lines.line(left, _TOP_PX + first * from_px + 1, right, _TOP_PX + row * to_px + 1)
    lines.line(left, _TOP_PX + end * from_px - 1, right, _TOP_PX + (row + 1) * to_px - 1)
    for number, words in enumerate(_OPS[step - 1].split(", ")):
        y = _TOP_PX + _HEIGHT_PX + 16 + 13 * number
        picture.text((left + right) / 2, y, words, 10, text_anchor="middle", fill=INK)


def _places(picture: Picture, step: int, rows: int, kept: int, made: int) -> None:
    """Draw memory: which row lies in each place of a tensor."""
    there = {row % kept: row for row in range(made)}
    for place in range(kept):
        x = _x(step) + place * _PLACE_PX
        row = there.get(place, rows)
        fill = _fill(row, rows, kept, made)
        dashes = {"stroke_dasharray": "2 2"} if row >= made else {}
        picture.rect(x, _MEMORY_PX, _PLACE_PX - 1, 22, fill=fill, stroke=QUIET, stroke_width=0.5, **dashes)
        if row < made:
            ink = {"fill": PAPER} if fill == _NEW else {}
            picture.text(x + (_PLACE_PX - 1) / 2, _MEMORY_PX + 15, str(row), 10, text_anchor="middle", **ink)


def _legend(picture: Picture) -> None:
    entries = ((_NEW, "written last"), (_KEPT, "kept in a ring"), (_WHOLE, "kept in a whole tensor"))
    others = ((GRID, "overwritten: no op reads it any more"), (PAPER, "not made yet"))
    x, y = float(_LEFT_PX), _MEMORY_PX + 58
    for fill, words in (*entries, *others):
        picture.rect(x, y - 9, 11, 11, fill=fill, stroke=QUIET, stroke_width=0.5)
        picture.text(x + 16, y, words)
        x += 16 + 5.4 * len(words) + 18


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")

"""The chart of both tables: accuracy against a limit, one line a supernet, as one SVG document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.draw.svg import GRID, PAPER, Picture

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 420, 60, 20, 40, 50
_FONT_PX = 13
_DASHES = "5 4"
_COLOURS = {"MIT OFA": "#0072b2", "CompOFA": "#e69f00", "MC-OFA": "#009e73"}


@dataclass(frozen=True)
class Line:
    """Points of one supernet, from left to right: (place between 0 and 1, accuracy in percent).

    ``std_points`` are the deviations drawn as bars; a line without them is dashed and unmarked. Points that
    are ``hollow`` are rings on a dashed line.
    """

    supernet: str
    points: Sequence[tuple[float, float]]
    std_points: Sequence[float] = ()
    hollow: bool = False


@dataclass(frozen=True)
class Note:
    """Words in the chart that begin at ``place`` (between 0 and 1) and stand at an accuracy in percent."""

    words: str
    place: float
    top1_percent: float


def accuracy_chart(
    title: str,
    x_title: str,
    x_ticks: Sequence[tuple[float, str]],
    percents: tuple[int, int],
    lines: Sequence[Line],
    notes: Sequence[Note] = (),
) -> str:
    """Draw ``lines`` over the accuracies from the lower to the higher of ``percents``.

    ``x_ticks`` are (place between 0 and 1, label).
    """
    low, high = percents

    def x(place: float) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def y(top1: float) -> float:
        return _TOP + (high - top1) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    picture = Picture(_WIDTH, _HEIGHT, title)
    for tick in range(low, high + 1):
        picture.line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), stroke=GRID)
        picture.text(_LEFT - 8, y(tick) + 4, str(tick), _FONT_PX, text_anchor="end")
    for place, label in x_ticks:
        picture.text(x(place), _HEIGHT - _BOTTOM + 20, label, _FONT_PX, text_anchor="middle")
    picture.text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, x_title, _FONT_PX, text_anchor="middle")
    picture.text(_LEFT, 16, title, _FONT_PX)
    legend: list[str] = []
    for line in lines:
        colour = _COLOURS[line.supernet]
        if line.supernet not in legend:
            picture.text(_LEFT + 90 * len(legend) + 20, 34, line.supernet, _FONT_PX, fill=colour)
            legend.append(line.supernet)
        placed = [(x(place), y(top1)) for place, top1 in line.points]
        if not line.std_points:
            picture.polyline(placed, stroke=colour, stroke_dasharray=_DASHES)
            continue
        dashes = {"stroke_dasharray": _DASHES} if line.hollow else {}
        dot = {"fill": PAPER, "stroke": colour} if line.hollow else {"fill": colour}
        picture.polyline(placed, stroke=colour, stroke_width=2, **dashes)
        for (place, top1), std in zip(line.points, line.std_points, strict=True):
            picture.line(x(place), y(top1 - std), x(place), y(top1 + std), stroke=colour)
            picture.circle(x(place), y(top1), 4, **dot)
    for note in notes:
        picture.text(x(note.place), y(note.top1_percent), note.words, _FONT_PX)
    return str(picture)

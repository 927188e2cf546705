"""Curves over the steps of a training phase, side by side panels in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.draw.svg import GRID, QUIET, Picture

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#a0aec0"
_LEFT_PX, _TOP_PX, _PLOT_WIDTH_PX, _PLOT_HEIGHT_PX, _GAP_PX = 60, 50, 380, 220, 80
_GRID_LINES = 5
_LEGEND_STEP_PX = 170


@dataclass(frozen=True, slots=True)
class Curve:
    """A name for the legend, a colour, and (step, value) from the first step to the last."""

    name: str
    colour: str
    points: Sequence[tuple[int, float]]


def curves_svg(title: str, panels: Sequence[Sequence[Curve]]) -> str:
    """Return one SVG document; the curves of a panel share a scale, those without points are left out."""
    step_px = _LEFT_PX + _PLOT_WIDTH_PX + _GAP_PX // 2
    picture = Picture(len(panels) * step_px, _TOP_PX + _PLOT_HEIGHT_PX + 60, title)
    picture.text(_LEFT_PX, 22, title, 14, font_weight="bold")
    for number, curves in enumerate(panels):
        drawn = [curve for curve in curves if curve.points]
        if drawn:
            _panel(picture, _LEFT_PX + number * step_px, drawn)
    return str(picture)


def _panel(picture: Picture, left: int, curves: Sequence[Curve]) -> None:
    last_step = max(step for curve in curves for step, _ in curve.points)
    low = min(value for curve in curves for _, value in curve.points)
    high = max(value for curve in curves for _, value in curve.points)
    high = high if high > low else low + 1

    def place(step: int, value: float) -> tuple[float, float]:
        return (
            left + _PLOT_WIDTH_PX * step / last_step,
            _TOP_PX + _PLOT_HEIGHT_PX * (1 - (value - low) / (high - low)),
        )

    base = _TOP_PX + _PLOT_HEIGHT_PX
    for number in range(_GRID_LINES + 1):
        value = low + (high - low) * number / _GRID_LINES
        step = last_step * number // _GRID_LINES
        x, y = place(step, value)
        picture.line(left, y, left + _PLOT_WIDTH_PX, y, stroke=GRID)
        picture.text(left - 6, y + 4, f"{value:.3g}", text_anchor="end", fill=QUIET)
        picture.text(x, base + 18, f"{step:,}", text_anchor="middle", fill=QUIET)
    picture.text(left + _PLOT_WIDTH_PX / 2, base + 38, "step", text_anchor="middle", fill=QUIET)
    for number, curve in enumerate(curves):
        picture.polyline([place(step, value) for step, value in curve.points], stroke=curve.colour)
        picture.text(left + number * _LEGEND_STEP_PX, _TOP_PX - 8, curve.name, fill=curve.colour)

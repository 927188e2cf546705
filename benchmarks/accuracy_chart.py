"""The chart of both tables: accuracy against a limit, one line a supernet, as one SVG document."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 420, 60, 20, 40, 50
_TEXT, _GRID = "#333", "#ddd"

_COLOURS = {"MIT OFA": "#0072b2", "CompOFA": "#e69f00", "MC-OFA": "#009e73"}


@dataclass(frozen=True)
class Line:
    """Points of one supernet, from left to right: (place between 0 and 1, accuracy in percent).

    ``std_points`` are the deviations drawn as bars; a line without them is dashed and unmarked.
    """

    supernet: str
    points: Sequence[tuple[float, float]]
    std_points: Sequence[float] = ()


def accuracy_chart(
    title: str,
    x_title: str,
    x_ticks: Sequence[tuple[float, str]],
    percents: tuple[int, int],
    lines: Sequence[Line],
) -> str:
    """Draw ``lines`` over the accuracies from the lower to the higher of ``percents``.

    ``x_ticks`` are (place between 0 and 1, label).
    """
    low, high = percents

    def x(place: float) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def y(top1: float) -> float:
        return _TOP + (high - top1) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}")
    svg.set("font-family", "sans-serif")
    svg.set("font-size", "13")
    ET.SubElement(svg, "rect", width=f"{_WIDTH}", height=f"{_HEIGHT}", fill="white")
    for tick in range(low, high + 1):
        _polyline(svg, [(_LEFT, y(tick)), (_WIDTH - _RIGHT, y(tick))], _GRID)
        _text(svg, str(tick), _LEFT - 8, y(tick) + 4, "end")
    for place, label in x_ticks:
        _text(svg, label, x(place), _HEIGHT - _BOTTOM + 20)
    _text(svg, x_title, (_LEFT + _WIDTH) / 2, _HEIGHT - 8)
    _text(svg, title, _LEFT, 16, "start")
    legend: list[str] = []
    for line in lines:
        colour = _COLOURS[line.supernet]
        if line.supernet not in legend:
            _text(svg, line.supernet, _LEFT + 90 * len(legend) + 20, 34, "start", colour)
            legend.append(line.supernet)
        placed = [(x(place), y(top1)) for place, top1 in line.points]
        if not line.std_points:
            _polyline(svg, placed, colour, {"stroke-dasharray": "5 4"})
            continue
        _polyline(svg, placed, colour, {"stroke-width": "2"})
        for (place, top1), std in zip(line.points, line.std_points, strict=True):
            _polyline(svg, [(x(place), y(top1 - std)), (x(place), y(top1 + std))], colour)
            centre = {"cx": f"{x(place):.1f}", "cy": f"{y(top1):.1f}"}
            ET.SubElement(svg, "circle", {**centre, "r": "4", "fill": colour})
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _text(
    svg: ET.Element, content: str, x: float, y: float, anchor: str = "middle", fill: str = _TEXT
) -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": fill}
    ET.SubElement(svg, "text", attributes).text = content


def _polyline(
    svg: ET.Element, points: Sequence[tuple[float, float]], stroke: str, more: dict[str, str] | None = None
) -> None:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ET.SubElement(svg, "polyline", {"points": path, "fill": "none", "stroke": stroke, **(more or {})})

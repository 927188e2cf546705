"""The curves of a training phase as one SVG document, needing no style sheet or script."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from mcofa.supernet.training.curves import Point

_INK, _QUIET, _GRID = "#1a202c", "#4a5568", "#e2e8f0"
_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#a0aec0"
_LEFT_PX, _TOP_PX, _PLOT_WIDTH_PX, _PLOT_HEIGHT_PX, _GAP_PX = 60, 50, 380, 220, 80
_GRID_LINES = 5
_SMOOTHED_POINTS = 25

Line = tuple[str, str, list[tuple[int, float]]]


def curves_svg(title: str, points: Sequence[Point]) -> str:
    """Draw loss and accuracies over the steps; what is seen on training batches as a running mean."""
    width = 2 * (_LEFT_PX + _PLOT_WIDTH_PX) + _GAP_PX
    height = _TOP_PX + _PLOT_HEIGHT_PX + 60
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "font-family": "Helvetica, Arial, sans-serif",
            "role": "img",
        },
    )
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "rect", {"width": str(width), "height": str(height), "fill": "white"})
    _text(root, _LEFT_PX, 22, title, "bold")
    loss = _smoothed([(p.step, p.loss) for p in points if p.loss is not None])
    train = _smoothed([(p.step, p.train_top1_percent) for p in points if p.train_top1_percent is not None])
    smallest = [(p.step, p.smallest_top1_percent) for p in points if p.smallest_top1_percent is not None]
    largest = [(p.step, p.largest_top1_percent) for p in points if p.largest_top1_percent is not None]
    accuracies: list[Line] = [
        ("training batches, %", _GREY, train),
        ("validation, largest subnet, %", _BLUE, largest),
        ("validation, smallest subnet, %", _ORANGE, smallest),
    ]
    _panel(root, _LEFT_PX, [("loss on training batches", _BLUE, loss)])
    _panel(root, 2 * _LEFT_PX + _PLOT_WIDTH_PX + _GAP_PX // 2, accuracies)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _smoothed(values: list[tuple[int, float]]) -> list[tuple[int, float]]:
    means = []
    for index, (step, _) in enumerate(values):
        window = [value for _, value in values[max(0, index + 1 - _SMOOTHED_POINTS) : index + 1]]
        means.append((step, sum(window) / len(window)))
    return means


def _panel(root: ET.Element, left: int, lines: Sequence[Line]) -> None:
    drawn = [line for line in lines if line[2]]
    if not drawn:
        return
    last_step = max(step for _, _, values in drawn for step, _ in values)
    low = min(value for _, _, values in drawn for _, value in values)
    high = max(value for _, _, values in drawn for _, value in values)
    high = high if high > low else low + 1

    def place(step: int, value: float) -> tuple[float, float]:
        return (
            left + _PLOT_WIDTH_PX * step / last_step,
            _TOP_PX + _PLOT_HEIGHT_PX * (1 - (value - low) / (high - low)),
        )

    for number in range(_GRID_LINES + 1):
        value = low + (high - low) * number / _GRID_LINES
        step = last_step * number // _GRID_LINES
        x, y = place(step, value)
        ends = {"x1": f"{left}", "x2": f"{left + _PLOT_WIDTH_PX}", "y1": f"{y:.1f}", "y2": f"{y:.1f}"}
        ET.SubElement(root, "line", {**ends, "stroke": _GRID})
        _text(root, left - 6, y + 4, f"{value:.3g}", anchor="end")
        _text(root, x, _TOP_PX + _PLOT_HEIGHT_PX + 18, f"{step:,}", anchor="middle")
    _text(root, left + _PLOT_WIDTH_PX / 2, _TOP_PX + _PLOT_HEIGHT_PX + 38, "step", anchor="middle")
    for number, (name, colour, values) in enumerate(drawn):
        path = " ".join("{:.1f},{:.1f}".format(*place(step, value)) for step, value in values)
        ET.SubElement(root, "polyline", {"points": path, "fill": "none", "stroke": colour})
        _text(root, left + number * 170, _TOP_PX - 8, name, colour=colour)


def _text(
    root: ET.Element,
    x: float,
    y: float,
    words: str,
    weight: str = "normal",
    *,
    anchor: str = "start",
    colour: str = _QUIET,
) -> None:
    style = {"font-size": "11" if weight == "normal" else "14", "font-weight": weight}
    fill = _INK if weight == "bold" else colour
    ET.SubElement(
        root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": fill, **style}
    ).text = words

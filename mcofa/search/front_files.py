"""A Pareto front as CSV and as an SVG picture."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree as ET

import numpy as np

from mcofa.search.front import Front
from mcofa.search.pareto import Floats

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 24, 66, 56
_TEXT = "#222"
_LINE = "#ccc"
_CHOSEN = "#c2410c"
_SHADES = ("#1d4ed8", "#0891b2", "#16a34a", "#ca8a04", "#b45309")
TITLES = {
    "arena_bytes": "arena, KiB",
    "flash_bytes": "flash, KiB",
    "model_bytes": "model file, KiB",
    "latency_ms": "latency (estimate), ms",
    "macs": "MACs, millions",
    "peak_items": "peak items, thousands",
    "top1_percent": "top-1 (predicted), %",
}
_UNITS = {"arena_bytes": 1024, "flash_bytes": 1024, "model_bytes": 1024, "macs": 1e6, "peak_items": 1e3}


def as_csv(front: Front) -> str:
    """Write one row a point: everything predicted, and the arch as text."""
    text = io.StringIO()
    columns = [*front.points[0].predicted(), "arch"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for point in front.points:
        writer.writerow([*point.predicted().values(), str(point.arch)])
    return text.getvalue()


def as_svg(front: Front) -> str:
    """Draw the front; the most accurate point is marked, a third measure is shown by colour."""
    y_name = "top1_percent" if "top1_percent" in front.measures else front.measures[-1]
    x_name, *others = [name for name in front.measures if name != y_name]
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "font-family": "sans-serif",
            "font-size": "12",
            "fill": _TEXT,
        },
    )
    ET.SubElement(svg, "rect", {"width": str(_WIDTH), "height": str(_HEIGHT), "fill": "white"})
    title = f"Pareto front of {len(front.points):,} archs; the large point is the most accurate one"
    _text(svg, title, _LEFT, 20, "start", weight="bold")
    x_axis, y_axis = _axis(front, x_name), _axis(front, y_name)
    for value in x_axis.ticks:
        x = _LEFT + x_axis.share(value) * _plot_width()
        _line(svg, x, _TOP, x, _HEIGHT - _BOTTOM)
        _text(svg, f"{value:g}", x, _HEIGHT - _BOTTOM + 18, "middle")
    for value in y_axis.ticks:
        y = _HEIGHT - _BOTTOM - y_axis.share(value) * _plot_height()
        _line(svg, _LEFT, y, _WIDTH - _RIGHT, y)
        _text(svg, f"{value:g}", _LEFT - 8, y + 4, "end")
    _text(svg, TITLES[x_name], _LEFT + _plot_width() / 2, _HEIGHT - 14, "middle")
    _text(svg, TITLES[y_name], _LEFT, _TOP - 8, "start")
    shades = _shades(svg, front, others[0]) if others else [_SHADES[0]] * len(front.points)
    xs, ys = _column(front, x_name), _column(front, y_name)
    for row in reversed(range(len(front.points))):
        ET.SubElement(
            svg,
            "circle",
            {
                "cx": f"{_LEFT + x_axis.share(xs[row]) * _plot_width():.1f}",
                "cy": f"{_HEIGHT - _BOTTOM - y_axis.share(ys[row]) * _plot_height():.1f}",
                "r": "6" if row == 0 else "3",
                "fill": _CHOSEN if row == 0 else shades[row],
            },
        )
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


class _Axis:
    """Round numbers that hold all values, and where a value lies between the outer two."""

    def __init__(self, values: Floats) -> None:
        low, high = float(values.min()), float(values.max())
        step = _round_step((high - low) or abs(high) or 1)
        first, last = np.floor(low / step), np.ceil(high / step)
        self.ticks = [round(n * step, 10) for n in np.arange(first, max(last, first + 1) + 1)]

    def share(self, value: float) -> float:
        return float((value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0]))


def _round_step(span: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten of which at least four fit into ``span``."""
    power = 10 ** np.floor(np.log10(span / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= span / 4 * (1 + 1e-9)))


def _axis(front: Front, name: str) -> _Axis:
    return _Axis(_column(front, name))


def _column(front: Front, name: str) -> Floats:
    return front.values[:, front.measures.index(name)] / _UNITS.get(name, 1)


def _shades(svg: ET.Element, front: Front, name: str) -> list[str]:
    """Five colours by the quantiles of a measure, with a legend."""
    values = _column(front, name)
    limits = np.quantile(values, np.linspace(0, 1, len(_SHADES) + 1))
    x = float(_WIDTH - _RIGHT)
    for shade, low, high in reversed(list(zip(_SHADES, limits, limits[1:], strict=False))):
        label = f"{low:.4g} to {high:.4g}"
        x -= 7 * len(label) + 20
        ET.SubElement(svg, "circle", {"cx": f"{x:.0f}", "cy": "32", "r": "4", "fill": shade})
        _text(svg, label, x + 8, 36, "start")
    _text(svg, TITLES[name], _WIDTH - _RIGHT, 18, "end")
    return [_SHADES[i] for i in np.clip(np.searchsorted(limits, values, "right") - 1, 0, len(_SHADES) - 1)]


def _plot_width() -> float:
    return _WIDTH - _LEFT - _RIGHT


def _plot_height() -> float:
    return _HEIGHT - _TOP - _BOTTOM


def _line(svg: ET.Element, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ET.SubElement(svg, "line", {**ends, "stroke": _LINE})


def _text(svg: ET.Element, words: str, x: float, y: float, anchor: str, weight: str = "normal") -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-weight": weight}
    ET.SubElement(svg, "text", place).text = words

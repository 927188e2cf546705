"""A Pareto front as CSV and as an SVG picture."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree as ET

import numpy as np

from mcofa.search.found import Candidate
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


def as_svg(front: Front, chosen: Candidate) -> str:
    """Draw the front, and large the arch that was ``chosen``; a third measure is shown by colour."""
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
    on_front = chosen.arch in [point.arch for point in front.points]
    count = len(front.points)
    title = f"Pareto front of {count:,} arch{'s' * (count != 1)}; large: the chosen one"
    _text(svg, title if on_front else f"{title}, not on it", _LEFT, 20, "start", weight="bold")
    xs, ys = _column(front, x_name), _column(front, y_name)
    chosen_x, chosen_y = _value(chosen, x_name), _value(chosen, y_name)
    x_axis = _Axis(np.append(xs, chosen_x), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis(np.append(ys, chosen_y), _HEIGHT - _BOTTOM, _TOP)
    for value in x_axis.ticks:
        x = x_axis.place(value)
        _line(svg, x, _TOP, x, _HEIGHT - _BOTTOM)
        _text(svg, f"{value:g}", x, _HEIGHT - _BOTTOM + 18, "middle")
    for value in y_axis.ticks:
        y = y_axis.place(value)
        _line(svg, _LEFT, y, _WIDTH - _RIGHT, y)
        _text(svg, f"{value:g}", _LEFT - 8, y + 4, "end")
    _text(svg, TITLES[x_name], (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, "middle")
    _text(svg, TITLES[y_name], _LEFT, _TOP - 8, "start")
    shades = _shades(svg, front, others[0]) if others else [_SHADES[0]] * len(front.points)
    for row, point in enumerate(front.points):
        if point.arch != chosen.arch:
            _circle(svg, x_axis.place(xs[row]), y_axis.place(ys[row]), 3, shades[row])
    x, y = x_axis.place(chosen_x), y_axis.place(chosen_y)
    _circle(svg, x, y, 6, _CHOSEN)
    label = (x + 10, y + 16, "start") if x < _WIDTH / 2 else (x - 8, y - 8, "end")
    _text(svg, "chosen", *label, weight="bold")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


class _Axis:
    """Round numbers that hold all values, drawn from pixel ``start`` to pixel ``end``."""

    def __init__(self, values: Floats, start: float, end: float) -> None:
        low, high = float(values.min()), float(values.max())
        step = _round_step((high - low) or abs(high) or 1)
        first, last = np.floor(low / step), np.ceil(high / step)
        self.ticks = [round(n * step, 10) for n in np.arange(first, max(last, first + 1) + 1)]
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return float(self._start + share * (self._end - self._start))


def _round_step(span: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten of which at least four fit into ``span``."""
    power = 10 ** np.floor(np.log10(span / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= span / 4 * (1 + 1e-9)))


def _column(front: Front, name: str) -> Floats:
    return front.values[:, front.measures.index(name)] / _UNITS.get(name, 1)


def _value(point: Candidate, name: str) -> float:
    predicted = point.predicted()
    return float(predicted["latency_ms_estimate" if name == "latency_ms" else name] / _UNITS.get(name, 1))


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


def _circle(svg: ET.Element, x: float, y: float, radius: float, colour: str) -> None:
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}", "fill": colour}
    ET.SubElement(svg, "circle", place)


def _line(svg: ET.Element, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ET.SubElement(svg, "line", {**ends, "stroke": _LINE})


def _text(svg: ET.Element, words: str, x: float, y: float, anchor: str, weight: str = "normal") -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-weight": weight}
    ET.SubElement(svg, "text", place).text = words

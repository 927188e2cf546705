"""A Pareto front as a picture, in two measures or, with colours, in three."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mcofa.cost.measures import MEASURES
from mcofa.draw.svg import GRID, Picture

_WIDTH_PX, _HEIGHT_PX = 760, 440
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 80, _WIDTH_PX - 24, 66, _HEIGHT_PX - 56
_NO_SPAN = 1e-6
_CHOSEN = "#c2410c"
_SHADES = ("#1d4ed8", "#0891b2", "#16a34a", "#ca8a04", "#b45309")

Values = Mapping[str, float]
"""The value of each measure, in the measure's own unit."""


def front_svg(measures: Sequence[str], points: Sequence[Values], chosen: Values) -> str:
    """Draw a front of two or three ``measures`` and, large, the ``chosen`` point, which need not be on it.

    The vertical axis is the accuracy if that is one of the measures; a third one is shown by colour.
    """
    y_name = "top1_percent" if "top1_percent" in measures else measures[-1]
    x_name, *others = [name for name in measures if name != y_name]
    picture = Picture(_WIDTH_PX, _HEIGHT_PX, "Pareto front")
    count = len(points)
    title = f"Pareto front of {count:,} arch{'s' * (count != 1)}; large: the chosen one"
    picture.text(_LEFT_PX, 20, title if chosen in points else f"{title}, not on it", 12, font_weight="bold")
    x_axis = _Axis([_scaled(point, x_name) for point in (*points, chosen)], _LEFT_PX, _RIGHT_PX)
    y_axis = _Axis([_scaled(point, y_name) for point in (*points, chosen)], _BOTTOM_PX, _TOP_PX)
    _axes(picture, x_axis, y_axis)
    picture.text((_LEFT_PX + _RIGHT_PX) / 2, _HEIGHT_PX - 14, MEASURES[x_name].axis, 12, text_anchor="middle")
    picture.text(_LEFT_PX, _TOP_PX - 8, MEASURES[y_name].axis, 12)
    shades = _shades(picture, points, others[0]) if others else [_SHADES[0]] * count
    for point, shade in zip(points, shades, strict=True):
        if point != chosen:
            x, y = x_axis.place(_scaled(point, x_name)), y_axis.place(_scaled(point, y_name))
            picture.circle(x, y, 3, fill=shade)
    _mark(picture, x_axis.place(_scaled(chosen, x_name)), y_axis.place(_scaled(chosen, y_name)))
    return str(picture)


class _Axis:
    """Round numbers that hold all values, drawn from pixel ``start`` to pixel ``end``."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        largest = max(abs(low), abs(high), 1)
        step = _round_step(high - low if high - low > _NO_SPAN * largest else largest)
        first, last = math.floor(low / step), math.ceil(high / step)
        self.ticks = [round(n * step, 10) for n in range(first, max(last, first + 1) + 1)]
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self._start + share * (self._end - self._start)


def _round_step(span: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten of which at least four fit into ``span``."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= span / 4 * (1 + 1e-9))


def _scaled(point: Values, name: str) -> float:
    return point[name] / MEASURES[name].axis_scale


def _axes(picture: Picture, x_axis: _Axis, y_axis: _Axis) -> None:
    for value in x_axis.ticks:
        x = x_axis.place(value)
        picture.line(x, _TOP_PX, x, _BOTTOM_PX, stroke=GRID)
        picture.text(x, _BOTTOM_PX + 18, f"{value:g}", 12, text_anchor="middle")
    for value in y_axis.ticks:
        y = y_axis.place(value)
        picture.line(_LEFT_PX, y, _RIGHT_PX, y, stroke=GRID)
        picture.text(_LEFT_PX - 8, y + 4, f"{value:g}", 12, text_anchor="end")


def _shades(picture: Picture, points: Sequence[Values], name: str) -> list[str]:
    """Five colours by the quantiles of a measure, with a legend."""
    values = [_scaled(point, name) for point in points]
    limits = _quantiles(values, len(_SHADES))
    x = float(_RIGHT_PX)
    for shade, low, high in reversed(list(zip(_SHADES, limits, limits[1:], strict=False))):
        label = f"{low:.4g} to {high:.4g}"
        x -= 7 * len(label) + 20
        picture.circle(x, 32, 4, fill=shade)
        picture.text(x + 8, 36, label, 12)
    picture.text(_RIGHT_PX, 18, MEASURES[name].axis, 12, text_anchor="end")
    return [_SHADES[sum(value >= limit for limit in limits[1:-1])] for value in values]


def _quantiles(values: Sequence[float], parts: int) -> list[float]:
    """The ends of ``parts`` parts of equal counts, interpolated between neighbours."""
    ordered = sorted(values)
    limits = []
    for number in range(parts + 1):
        below, share = divmod((len(ordered) - 1) * number / parts, 1)
        low, high = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
        limits.append(low + share * (high - low))
    return limits


def _mark(picture: Picture, x: float, y: float) -> None:
    picture.circle(x, y, 6, fill=_CHOSEN)
    if x < _WIDTH_PX / 2:
        picture.text(x + 10, y + 16, "chosen", 12, font_weight="bold")
    else:
        picture.text(x - 8, y - 8, "chosen", 12, font_weight="bold", text_anchor="end")

"""SVG pictures that need nothing else: no style sheet, no script, no font of their own.

Lengths are pixels; x grows to the right and y downward. Words are data: whatever they hold is
escaped, and a character that XML has no place for becomes U+FFFD. Attributes of a shape are
keywords with Python's spelling: ``stroke_width=2``, and ``class_="peak"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

INK, QUIET, PAPER, GRID = "#1f2933", "#616e7c", "#ffffff", "#e4e7eb"
FONT_PX = 11.0

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_Attributes = Mapping[str, str | float]


class Shapes:
    """A group of shapes, drawn in the order in which they are added."""

    def __init__(self, element: ET.Element) -> None:
        self._element = element

    def group(self, **style: str | float) -> Shapes:
        """Add a group, whose ``style`` its shapes inherit."""
        return Shapes(self._add("g", {}, style))

    def rect(
        self, x: float, y: float, width: float, height: float, *, tooltip: str = "", **style: str | float
    ) -> None:
        """Add a rectangle by its upper left corner."""
        box = {"x": x, "y": y, "width": width, "height": height}
        self._explain(self._add("rect", box, style), tooltip)

    def circle(self, x: float, y: float, radius: float, *, tooltip: str = "", **style: str | float) -> None:
        """Add a circle by its centre."""
        self._explain(self._add("circle", {"cx": x, "cy": y, "r": radius}, style), tooltip)

    def line(self, x1: float, y1: float, x2: float, y2: float, **style: str | float) -> None:
        """Add a straight line."""
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, style)

    def polyline(self, points: Iterable[tuple[float, float]], **style: str | float) -> None:
        """Add a line through ``points``."""
        path = " ".join(f"{_written(x)},{_written(y)}" for x, y in points)
        self._add("polyline", {"points": path, "fill": "none"}, style)

    def text(self, x: float, y: float, words: str, size_px: float = FONT_PX, **style: str | float) -> None:
        """Add text on baseline y that starts at x, or ends or is centred there (``text_anchor``)."""
        place: dict[str, str | float] = {"x": x, "y": y, "font-size": size_px, "fill": INK}
        self._add("text", place, style).text = printable(words)

    def turned_text(
        self, x: float, y: float, words: str, size_px: float = FONT_PX, **style: str | float
    ) -> None:
        """Add a line of text that is read upward."""
        self.text(x, y, words, size_px, transform=f"rotate(-90 {_written(x)} {_written(y)})", **style)

    def _add(self, tag: str, attributes: _Attributes, style: _Attributes) -> ET.Element:
        named = {name.rstrip("_").replace("_", "-"): value for name, value in style.items()}
        written = {name: _written(value) for name, value in {**attributes, **named}.items()}
        return ET.SubElement(self._element, tag, written)

    def _explain(self, shape: ET.Element, tooltip: str) -> None:
        if tooltip:
            ET.SubElement(shape, "title").text = printable(tooltip)


class Picture(Shapes):
    """An SVG document of a fixed size on white paper; ``str`` writes it."""

    def __init__(self, width: float, height: float, title: str) -> None:
        size = {"width": _written(width), "height": _written(height)}
        view = {"viewBox": f"0 0 {size['width']} {size['height']}"}
        look = {"font-family": "Helvetica, Arial, sans-serif", "role": "img"}
        root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg"} | size | view | look)
        super().__init__(root)
        self._explain(root, title)
        self.rect(0, 0, width, height, fill=PAPER)

    def hatching(self, ink: str, paper: str) -> str:
        """Define a fill of slanted lines and return its name."""
        attributes = {"id": "hatch", "width": "5", "height": "5", "patternUnits": "userSpaceOnUse"}
        pattern = ET.SubElement(ET.SubElement(self._element, "defs"), "pattern", attributes)
        Shapes(pattern).rect(0, 0, 5, 5, fill=paper)
        ET.SubElement(pattern, "path", {"d": "M-1,1 l2,-2 M0,5 l5,-5 M4,6 l2,-2", "stroke": ink})
        return "url(#hatch)"

    def __str__(self) -> str:
        ET.indent(self._element)
        return ET.tostring(self._element, encoding="unicode") + "\n"


def text_width_px(words: str, size_px: float = FONT_PX) -> float:
    """Return an upper estimate of how wide a line of text is: the fonts at hand differ."""
    return 0.62 * size_px * len(words)


def printable(words: str) -> str:
    """Replace what may not stand in an XML document."""
    return _NOT_IN_XML.sub("\ufffd", words)


def _written(value: str | float) -> str:
    """Write a length with at most one decimal."""
    return printable(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")

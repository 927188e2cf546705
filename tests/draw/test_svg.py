from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.draw.svg import Picture

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '</title><script>alert(1)</script>"',
    "a & b < c > d",
    "\x00\x1b[31m",
    "\ud800",
    "日本語 🦊",
    "]]>",
]


def drawn(words: str) -> ET.Element:
    picture = Picture(100, 50, words)
    picture.group(stroke="none").text(1, 2, words)
    picture.rect(0, 0, 1, 1, tooltip=words, class_=words)
    return ET.fromstring(str(picture).encode())


@given(st.text() | st.sampled_from(HOSTILE))
def test_words_are_data(words: str) -> None:
    root = drawn(words)
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "title", "rect", "g", "text")
    }
    legible = all(" " <= c <= "~" for c in words)
    if legible and words:
        assert [t.text for t in root.iter(f"{SVG}title")] == [words, words]
        assert root.findtext(f"{SVG}g/{SVG}text") == words


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_stay_one_text(words: str) -> None:
    assert len(list(drawn(words).iter(f"{SVG}text"))) == 1


def test_lengths_have_one_decimal_and_attributes_svg_names() -> None:
    picture = Picture(10, 20, "")
    picture.rect(1, 2.04, 3.06, 4, stroke_width=0.5, class_="bar")
    picture.polyline([(0, 1.25), (2.0, 3)], stroke="#000")
    paper, bar = ET.fromstring(str(picture)).iter(f"{SVG}rect")
    assert (paper.get("width"), paper.get("height")) == ("10", "20")
    assert bar.attrib == {
        "x": "1",
        "y": "2",
        "width": "3.1",
        "height": "4",
        "stroke-width": "0.5",
        "class": "bar",
    }
    assert 'points="0,1.2 2,3"' in str(picture)


def test_no_other_module_writes_svg() -> None:
    """Elements are made in one place, so they are escaped in one place."""
    root = Path(__file__).parents[2]
    sources = (path for room in ("mcofa", "export", "benchmarks") for path in (root / room).rglob("*.py"))
    drawing = [path for path in sources if "www.w3.org/2000/svg" in path.read_text(encoding="utf-8")]
    assert drawing == [root / "mcofa" / "draw" / "svg.py"]

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from mcofa.draw.front import front_svg

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = (
    st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15).map(float) | st.sampled_from([0.0, 1e-300, 5.0])
)
POINTS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("arena_bytes", "top1_percent", "macs"), NUMBERS)), min_size=1
)


def number(shape: ET.Element, name: str) -> float:
    return float(shape.get(name, "nan"))


@given(POINTS, st.sampled_from([("arena_bytes", "top1_percent"), ("arena_bytes", "macs", "top1_percent")]))
def test_whatever_the_numbers_all_points_lie_in_the_frame(
    points: list[dict[str, float]], measures: tuple[str, ...]
) -> None:
    root = ET.fromstring(front_svg(measures, points, points[0]))
    dots = [circle for circle in root.iter(f"{SVG}circle") if circle.get("r") in ("3", "6")]
    assert len(dots) == 1 + sum(point != points[0] for point in points)
    for dot in dots:
        assert 79.9 <= number(dot, "cx") <= 736.1
        assert 65.9 <= number(dot, "cy") <= 384.1
    assert len(list(root.iter(f"{SVG}line"))) < 60


def test_places_are_proportional() -> None:
    """Ticks every 2 KiB from 0 to 8 over 656 px."""
    points = [
        {"arena_bytes": kib * 1024.0, "top1_percent": top1} for kib, top1 in ((0, 80), (4, 84), (8, 88))
    ]
    root = ET.fromstring(front_svg(("arena_bytes", "top1_percent"), points, points[1]))
    dots = {circle.get("r"): circle for circle in root.iter(f"{SVG}circle")}
    assert (number(dots["6"], "cx"), number(dots["6"], "cy")) == (80 + 656 / 2, 66 + 318 / 2)

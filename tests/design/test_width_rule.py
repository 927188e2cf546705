from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.design.width_rule import memory_constant_widths
from mcofa.space.search_space import load_space


def test_published_widths() -> None:
    """Stages 2 to 5, final expand and feature mix of the paper, from 24 channels at 56 pixels."""
    assert memory_constant_widths(24, 56, 4, 6) == (96, 288, 360, 384, 392, 392)


@pytest.mark.parametrize("name", ["mcofa-v1", "mcofa-v2", "mcofa-v3"])
def test_the_spaces_follow_the_rule(name: str) -> None:
    space = load_space(name)
    first, *others = (stage.width for stage in space.stages)
    computed = memory_constant_widths(first, 56, 4, len(others) + 2)
    assert computed == (*others, space.head.final_expand_width, space.head.feature_width)


def test_fewer_stages_are_the_beginning_of_more() -> None:
    assert memory_constant_widths(24, 56, 4, 2) == (96, 288)


def fullest_items(width: int, side: float, expand: float, taps: int) -> float:
    """The paper's budget, written layer by layer: input + output + weights."""
    hidden = expand * width
    depthwise = hidden * side**2 + hidden * side**2 + taps * hidden
    expansion = width * side**2 + hidden * side**2 + width * hidden
    return max(depthwise, expansion)


@given(
    st.integers(8, 64),
    st.sampled_from([28, 56, 112]),
    st.sampled_from([2, 3, 4, 6]),
    st.sampled_from([3, 5, 7]),
)
def test_the_next_stage_is_as_full(start: int, side: int, expand: float, kernel: int) -> None:
    """Up to the rounding to 8 channels and the published approximation of the depthwise candidate."""
    (width,) = memory_constant_widths(start, side, expand, 1, kernel)
    ratio = fullest_items(width, side / 2, expand, kernel**2) / fullest_items(start, side, expand, kernel**2)
    assert ratio == pytest.approx(1, abs=9 / width + 0.05)


@given(st.integers(1, 128), st.integers(7, 128), st.floats(1.5, 8), st.integers(1, 8))
def test_widths_never_shrink(start: int, side: int, expand: float, stages: int) -> None:
    widths = memory_constant_widths(start, side, expand, stages)
    assert len(widths) == stages
    assert all(width % 8 == 0 for width in widths)
    assert list(widths) == sorted(widths)


@pytest.mark.parametrize("arguments", [(0, 56, 4, 6), (24, 0, 4, 6), (24, 56, 0, 6), (24, 56, 4, 0)])
def test_nothing_to_compute(arguments: tuple[int, int, float, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        memory_constant_widths(*arguments)

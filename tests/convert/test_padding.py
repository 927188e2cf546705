"""Padding rules against convolutions computed one window at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.convert.padding import rotations_to_same, same_padding

Row = npt.NDArray[np.int64]


def convolved(row: Row, kernel: Row, stride: int, before: int, after: int) -> list[int]:
    padded = np.pad(row, (before, after))
    starts = range(0, len(padded) - len(kernel) + 1, stride)
    return [int(padded[start : start + len(kernel)] @ kernel) for start in starts]


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "expected"),
    [(224, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (28, 5, 2, (1, 2)), (28, 7, 1, (3, 3)), (4, 1, 2, (0, 0))],
)
def test_same_as_tensorflow_documents_it(
    side: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    assert same_padding(side, kernel, stride) == expected


@given(
    side=st.integers(1, 40),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 100),
)
def test_what_is_said_to_be_same_gives_the_numbers_of_same(
    side: int, kernel: int, stride: int, padding: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    row, weights = rng.integers(-99, 100, side), rng.integers(1, 100, kernel)
    found = convolved(row, weights, stride, *padding)
    same = same_padding(side, kernel, stride)
    plain = convolved(row, weights, stride, *same)
    rotated = convolved(row[::-1], weights[::-1], stride, *same)[::-1]
    fitting = rotations_to_same(side, kernel, stride, padding)
    assert (False in fitting) <= (found == plain)
    assert (True in fitting) <= (found == rotated)


@given(side=st.integers(4, 300), kernel=st.sampled_from([3, 5, 7]), stride=st.sampled_from([1, 2]))
def test_symmetric_padding_needs_the_rotation_for_stride_2_on_even_sides_alone(
    side: int, kernel: int, stride: int
) -> None:
    fitting = rotations_to_same(side, kernel, stride, (kernel // 2, kernel // 2))
    assert True in fitting
    assert (False in fitting) == (stride == 1 or side % 2 == 1)


@pytest.mark.parametrize("padding", [(0, 0), (2, 2), (2, 0), (0, 3), (3, 1)])
def test_other_paddings_are_not_same(padding: tuple[int, int]) -> None:
    assert not rotations_to_same(28, 3, 2, padding)

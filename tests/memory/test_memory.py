from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.memory.plan import (
    Buffer,
    Plan,
    aligned,
    lower_bound,
    peak,
    plan_around,
    plan_greedy,
    plan_in_order,
    validate,
)

# Buffers as (bytes, first step, last step), the offsets TFLM's rules give by hand, the total.
CASES = [
    ([], [], 0),
    ([(100, 0, 0)], [0], 112),
    ([(16, 0, 1), (16, 1, 2)], [16, 0], 32),  # a tie: the later one is placed first
    ([(16, 0, 1), (32, 1, 2), (16, 2, 3)], [32, 0, 32], 48),
    ([(64, 0, 2), (32, 0, 0), (16, 1, 2), (32, 2, 2)], [0, 64, 96, 64], 112),
    ([(16, 0, 9), (48, 0, 1), (32, 1, 2)], [80, 0, 48], 96),
    ([(16, -1, -1), (16, 0, 0)], [0, 0], 16),
    ([(0, 0, 3), (16, 0, 3)], [0, 0], 16),
]

buffer_lists = st.lists(
    st.tuples(st.integers(0, 400), st.integers(-1, 12), st.integers(0, 6)).map(
        lambda drawn: Buffer(drawn[0], drawn[1], drawn[1] + drawn[2])
    ),
    max_size=24,
)


@pytest.mark.parametrize(("drawn", "offsets", "total"), CASES)
def test_greedy_plan_by_hand(drawn: list[tuple[int, int, int]], offsets: list[int], total: int) -> None:
    buffers = [Buffer(*entry) for entry in drawn]
    assert plan_greedy(buffers) == Plan(tuple(offsets), total)


@pytest.mark.parametrize(
    ("fixed", "offsets", "total"),
    [
        ({}, (0, 48, 0), 80),
        ({0: 0, 1: 48, 2: 0}, (0, 48, 0), 80),
        ({0: 96}, (96, 48, 0), 144),  # the others as if it were not there, where it is not in the way
        ({0: 16}, (16, 64, 0), 96),  # no gap of 32 below 16, none between 48 and 64
        ({1: 0}, (32, 0, 32), 80),
        ({0: 0, 2: 8}, (0, 56, 8), 88),  # taken as they are: they overlap, and 8 is not aligned
    ],
)
def test_plan_around_by_hand(fixed: dict[int, int], offsets: tuple[int, ...], total: int) -> None:
    buffers = [Buffer(48, 0, 1), Buffer(32, 1, 2), Buffer(48, 2, 3)]
    assert plan_around(buffers, fixed) == Plan(offsets, total)


def test_plan_in_order_by_hand() -> None:
    buffers = [Buffer(32, 0, 1), Buffer(16, 1, 2), Buffer(16, 2, 3), Buffer(32, 3, 3)]
    assert plan_in_order(buffers, [0, 1, 2, 3]) == Plan((0, 32, 0, 16), 48)
    assert plan_in_order(buffers, [3, 2, 1, 0]) == Plan((16, 0, 32, 0), 48)


@given(buffer_lists, st.data())
def test_a_plan_stays_when_all_of_it_is_fixed(buffers: list[Buffer], data: st.DataObject) -> None:
    plan = plan_in_order(buffers, data.draw(st.permutations(range(len(buffers)))))
    validate(buffers, plan)
    assert plan_around(buffers, dict(enumerate(plan.offsets))) == plan
    some = data.draw(st.sets(st.integers(0, max(len(buffers) - 1, 0)), max_size=len(buffers)))
    fixed = {index: plan.offsets[index] for index in some if index < len(buffers)}
    around = plan_around(buffers, fixed)
    validate(buffers, around)
    assert {index: around.offsets[index] for index in fixed} == fixed


@given(buffer_lists)
def test_greedy_plan_is_valid_and_not_below_the_bound(buffers: list[Buffer]) -> None:
    plan = plan_greedy(buffers)
    validate(buffers, plan)
    assert lower_bound(buffers) <= plan.total_bytes <= sum(aligned(b.bytes) for b in buffers)


@given(buffer_lists)
def test_lower_bound_is_the_most_live_bytes(buffers: list[Buffer]) -> None:
    live = np.zeros(32, dtype=int)
    for buffer in buffers:
        live[buffer.first_step + 1 : buffer.last_step + 2] += aligned(buffer.bytes)
    assert lower_bound(buffers) == live.max()
    fullest = peak(buffers)
    assert sum(aligned(buffers[i].bytes) for i in fullest.members) == fullest.bytes


@given(buffer_lists)
def test_greedy_plan_occupies_no_cell_twice(buffers: list[Buffer]) -> None:
    plan = plan_greedy(buffers)
    cells = np.zeros((32, plan.total_bytes + 16), dtype=np.uint8)
    for buffer, offset in zip(buffers, plan.offsets, strict=True):
        cells[buffer.first_step + 1 : buffer.last_step + 2, offset : offset + buffer.bytes] += 1
    assert cells.max() <= 1


@pytest.mark.parametrize(
    ("offsets", "total", "message"),
    [
        ((0, 0), 32, "overlap"),
        ((0, 8), 32, "16-aligned"),
        ((-16, 0), 32, "16-aligned"),
        ((0, 16), 24, "beyond"),
        ((0,), 32, "1 offsets for 2"),
    ],
)
def test_validate_refuses_wrong_plans(offsets: tuple[int, ...], total: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate([Buffer(16, 0, 1), Buffer(16, 1, 2)], Plan(offsets, total))


@given(buffer_lists, st.data())
@settings(max_examples=50)
def test_validate_finds_a_moved_buffer(buffers: list[Buffer], data: st.DataObject) -> None:
    pairs = [
        (i, j)
        for i, a in enumerate(buffers)
        for j, b in enumerate(buffers)
        if i != j and a.bytes and b.bytes and a.first_step <= b.last_step and b.first_step <= a.last_step
    ]
    if not pairs:
        return
    i, j = data.draw(st.sampled_from(pairs))
    plan = plan_greedy(buffers)
    offsets = list(plan.offsets)
    offsets[i] = offsets[j]
    with pytest.raises(ValueError, match="overlap"):
        validate(buffers, Plan(tuple(offsets), plan.total_bytes + 512))


@pytest.mark.parametrize("entry", [(-1, 0, 0), (16, 3, 2)])
def test_impossible_buffers_are_refused(entry: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such buffer"):
        Buffer(*entry)


def test_planning_a_hundred_buffers_is_quick() -> None:
    rng = np.random.default_rng(0)
    buffers = [
        Buffer(int(s), i, i + int(d)) for i, (s, d) in enumerate(rng.integers((1, 0), (9000, 6), (100, 2)))
    ]
    plan_greedy(buffers)
    best = min(_seconds(buffers) for _ in range(5))
    assert best < 0.02  # 2 ms is the aim; ten times that leaves room for a busy machine


def _seconds(buffers: list[Buffer]) -> float:
    start = time.perf_counter()
    plan_greedy(buffers)
    return time.perf_counter() - start

"""Fronts and hypervolumes, against plain counting."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.accuracy.predictor import Predictor
from mcofa.boards import Board, load_board
from mcofa.cost.arch_cost import cost
from mcofa.errors import BudgetError
from mcofa.search import Budget
from mcofa.search import front as front_module
from mcofa.search.deadline import Deadline
from mcofa.search.front import search_front
from mcofa.search.front_files import as_csv, as_svg
from mcofa.search.options import Options
from mcofa.search.pareto import dominated, hypervolume, nondominated
from mcofa.space.search_space import SearchSpace

UNLIMITED = 10**9
grids = st.integers(2, 3).flatmap(
    lambda measures: st.lists(st.tuples(*[st.integers(0, 6)] * measures), min_size=1, max_size=30)
)


def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(grids)
def test_nondominated_points_are_those_that_none_beats(listed: list[tuple[int, ...]]) -> None:
    points = np.array(listed, float)
    kept = nondominated(points)
    assert {listed[row] for row in kept} == {p for p in listed if not any(beats(q, p) for q in listed)}
    assert len({listed[row] for row in kept}) == len(kept)
    assert dominated(points, points[kept]).all()


@given(grids)
def test_hypervolume_is_the_number_of_unit_cells_dominated(listed: list[tuple[int, ...]]) -> None:
    points, side = np.array(listed, float), 5
    cells = itertools.product(range(side), repeat=points.shape[1])
    covered = sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in listed) for cell in cells
    )
    assert hypervolume(points, np.full(points.shape[1], float(side))) == covered


def test_points_at_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[1.0, 5.0], [7.0, 0.0]]), np.array([5.0, 5.0])) == 0


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


@pytest.fixture(scope="module")
def every_point(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> npt.NDArray[np.float64]:
    """Arena, flash and minus accuracy of all archs, (archs, 3)."""
    every = tiny_space.enumerate()
    top1 = synthetic_predictor.predict(tiny_space, every).top1_percent
    costs = [cost(tiny_space, tiny_space.decode(genome), board) for genome in every]
    return np.array([(c.arena_bytes, c.flash_bytes, -t) for c, t in zip(costs, top1, strict=True)])


@pytest.mark.parametrize("evolved", [False, True])
@pytest.mark.parametrize("columns", [(0, 2), (0, 1, 2)])
def test_the_front_is_that_of_all_archs(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor,
    every_point: npt.NDArray[np.float64], evolved: bool, columns: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if evolved:
        monkeypatch.setattr(Options, "are_few", property(lambda _: False))
    names = [("arena_bytes", "flash_bytes", "top1_percent")[column] for column in columns]
    budget = Budget(10_000, UNLIMITED)
    all_points = every_point[every_point[:, 0] <= 10_000][:, columns]
    truth = all_points[nondominated(all_points)]
    front = search_front(tiny_space, board, budget, synthetic_predictor, names, seed=0)
    assert front.exhaustive is not evolved
    found = front.values * [-1 if name == "top1_percent" else 1 for name in names]
    assert {tuple(row) for row in found.round(9)} == {tuple(row) for row in truth.round(9)}
    reference = np.array([-v if n == "top1_percent" else v for n, v in front.reference.items()])
    assert front.hypervolume == pytest.approx(hypervolume(truth, reference))
    assert front.reference["arena_bytes"] == 10_000
    accuracies = [point.top1_percent for point in front.points]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize("evolved", [False, True])
def test_a_front_says_that_the_time_limit_ended_it(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, evolved: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Options, "are_few", property(lambda _: not evolved))
    monkeypatch.setattr(front_module, "_CHUNK", 50)
    measures, budget = ("arena_bytes", "top1_percent"), Budget(10_000, UNLIMITED)
    whole = search_front(tiny_space, board, budget, synthetic_predictor, measures, 0)
    cut = search_front(
        tiny_space, board, budget, synthetic_predictor, measures, 0, deadline=Deadline(999, -1e9)
    )
    assert (cut.exhaustive, cut.to_json()["stopped_early"]) == (False, True)
    assert not whole.to_json()["stopped_early"]
    assert len(cut.points) >= 1
    assert cut.candidates < whole.candidates


def test_a_front_without_a_board(tiny_space: SearchSpace, synthetic_predictor: Predictor) -> None:
    measures = ("peak_items", "macs", "top1_percent")
    front = search_front(tiny_space, None, Budget(peak_items=UNLIMITED), synthetic_predictor, measures, 0)
    assert len(front.points) == len(front.values) > 3
    assert [point.peak_items for point in front.points] == front.values[:, 0].tolist()
    assert front.to_json()["measures"] == list(measures)


def test_an_impossible_budget_has_no_front(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    with pytest.raises(BudgetError, match="the smallest needs"):
        search_front(
            tiny_space, board, Budget(1_000, UNLIMITED), synthetic_predictor, ("arena_bytes", "macs"), 0
        )


def test_files_hold_every_point(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    measures = ("arena_bytes", "flash_bytes", "top1_percent")
    budget = Budget(UNLIMITED, UNLIMITED)
    front = search_front(tiny_space, board, budget, synthetic_predictor, measures, 0)
    table = list(csv.DictReader(io.StringIO(as_csv(front))))
    assert [int(row["arena_bytes"]) for row in table] == front.values[:, 0].tolist()
    assert [row["arch"] for row in table] == [str(point.arch) for point in front.points]
    picture = ET.fromstring(as_svg(front, front.points[1]))
    namespace = "{http://www.w3.org/2000/svg}"
    circles = [shape for shape in picture.iter(f"{namespace}circle") if shape.get("r") in ("3", "6")]
    assert len(circles) == len(front.points)
    for circle in circles:
        assert 0 <= float(circle.get("cx", "-1")) <= 760
        assert 0 <= float(circle.get("cy", "-1")) <= 440
    elsewhere = dataclasses.replace(front, points=front.points[1:], values=front.values[1:])
    picture = ET.fromstring(as_svg(elsewhere, front.points[0]))
    assert "not on it" in "".join(picture.itertext())
    shapes = [shape.get("r") for shape in picture.iter(f"{namespace}circle") if shape.get("r") != "4"]
    assert shapes == ["3"] * (len(front.points) - 1) + ["6"]
    one = dataclasses.replace(front, points=front.points[:1], values=front.values[:1])
    ET.fromstring(as_svg(one, one.points[0]))

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from mcofa.arch import Arch, arch_from_json
from mcofa.boards import Board, load_board
from mcofa.cost import Cost, cost
from mcofa.errors import BudgetError
from mcofa.fit_predictor import fit_predictor
from mcofa.population_cost import PopulationCosts
from mcofa.predictor import Predictor
from mcofa.search import Budget, Generation, board_budget, search
from mcofa.space import Genomes, SearchSpace

UNLIMITED = 10**9


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


@pytest.fixture(scope="module")
def every_genome(tiny_space: SearchSpace) -> Genomes:
    genomes: Genomes = np.unique(tiny_space.sample(20_000, np.random.default_rng(0)), axis=0)
    assert len(genomes) == tiny_space.count()
    return genomes


@pytest.fixture(scope="module")
def every_cost(tiny_space: SearchSpace, board: Board, every_genome: Genomes) -> list[Cost]:
    return [cost(tiny_space, tiny_space.decode(genome), board) for genome in every_genome]


@pytest.fixture(scope="module")
def every_top1(
    tiny_space: SearchSpace, every_genome: Genomes, synthetic_predictor: Predictor
) -> npt.NDArray[np.float64]:
    return synthetic_predictor.predict(tiny_space, every_genome).top1_percent


@pytest.mark.parametrize("arena_share", [0, 0.03, 0.3, 0.8, 1])
@pytest.mark.parametrize("flash_share", [0.2, 1])
def test_finds_the_best_of_all_archs(
    tiny_space: SearchSpace,
    board: Board,
    synthetic_predictor: Predictor,
    every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64],
    arena_share: float,
    flash_share: float,
) -> None:
    """Budgets between the smallest and the largest need of any arch, both included."""
    arenas = np.array([one.arena_bytes for one in every_cost])
    flashes = np.array([one.flash_bytes for one in every_cost])
    budget = Budget(
        int(arenas.min() + arena_share * (arenas.max() - arenas.min())),
        int(flashes.min() + flash_share * (flashes.max() - flashes.min())),
    )
    fits = (arenas <= budget.arena_bytes) & (flashes <= budget.flash_bytes)
    found = search(tiny_space, board, budget, synthetic_predictor, seed=0)
    assert found.top1_percent == pytest.approx(every_top1[fits].max(), abs=1e-9)
    assert found.cost == cost(tiny_space, found.arch, board)
    assert found.cost.arena_bytes <= budget.arena_bytes
    assert found.cost.flash_bytes <= budget.flash_bytes


def test_result_is_the_best_where_the_bound_admits_better_ones_that_do_not_fit(
    tiny_space: SearchSpace,
    board: Board,
    synthetic_predictor: Predictor,
    every_genome: Genomes,
    every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64],
) -> None:
    arenas = np.array([one.arena_bytes for one in every_cost])
    bounds = PopulationCosts(tiny_space, board).evaluate(every_genome).arena_bytes
    smallest = cost(tiny_space, tiny_space.smallest(), board).arena_bytes
    misleading = [
        limit
        for limit in np.unique(arenas[arenas > bounds]) - 1
        if limit >= smallest and every_top1[bounds <= limit].max() > every_top1[arenas <= limit].max()
    ]
    assert misleading
    for limit in misleading[:3]:
        found = search(tiny_space, board, Budget(int(limit), UNLIMITED), synthetic_predictor, seed=0)
        assert found.top1_percent == pytest.approx(every_top1[arenas <= limit].max(), abs=1e-9)
        assert found.cost.arena_bytes <= limit


def test_finds_an_arch_when_no_accuracy_is_expected(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    provenance = dataclasses.replace(
        synthetic_predictor.provenance, lowest_top1_percent=0, highest_top1_percent=0
    )
    hopeless = dataclasses.replace(synthetic_predictor, provenance=provenance, intercept=-500)
    found = search(tiny_space, board, Budget(9_000, UNLIMITED), hopeless, seed=0)
    assert found.top1_percent == 0
    assert found.cost.arena_bytes <= 9_000


def test_same_seed_same_result(tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor) -> None:
    budget = Budget(9_000, UNLIMITED)
    first, again, other = (search(tiny_space, board, budget, synthetic_predictor, seed) for seed in (1, 1, 2))
    assert first == again
    assert other.top1_percent == pytest.approx(first.top1_percent)


def test_progress_counts_up_and_never_gets_worse(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    heard: list[Generation] = []
    found = search(tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0, heard.append)
    assert [generation.number for generation in heard] == list(range(1, heard[-1].of + 1))
    assert {generation.of for generation in heard} == {len(heard)}
    best = [generation.best_top1_percent for generation in heard]
    assert None not in best
    assert best == sorted(cast(list[float], best))
    assert best[-1] is not None
    assert found.top1_percent == pytest.approx(best[-1], abs=5)


@pytest.mark.parametrize(
    ("budget", "option"),
    [
        (Budget(1_024, UNLIMITED), "--max-arena-bytes"),
        (Budget(0, UNLIMITED), "--max-arena-bytes"),
        (Budget(UNLIMITED, 1_024), "--max-flash-bytes"),
    ],
)
def test_refuses_an_impossible_budget_at_once(
    tiny_space: SearchSpace, board: Board, budget: Budget, option: str
) -> None:
    no_predictor: Any = None  # it is never asked
    smallest = cost(tiny_space, tiny_space.smallest(), board)
    with pytest.raises(BudgetError) as refusal:
        search(tiny_space, board, budget, no_predictor, seed=0)
    for number in (smallest.arena_bytes, smallest.flash_bytes, min(budget.arena_bytes, budget.flash_bytes)):
        assert f"{number:,} B" in refusal.value.problem
    assert option in refusal.value.next_step


def test_the_smallest_possible_budget_is_the_one_that_the_refusal_names(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost]
) -> None:
    smallest = cost(tiny_space, tiny_space.smallest(), board)
    assert smallest.arena_bytes == min(one.arena_bytes for one in every_cost)
    assert smallest.flash_bytes == min(one.flash_bytes for one in every_cost)
    found = search(
        tiny_space, board, Budget(smallest.arena_bytes, smallest.flash_bytes), synthetic_predictor, 0
    )
    assert found.cost.flash_bytes == smallest.flash_bytes
    with pytest.raises(BudgetError):
        search(tiny_space, board, Budget(smallest.arena_bytes - 1, UNLIMITED), synthetic_predictor, 0)


def test_board_budget_is_the_boards_or_less(board: Board) -> None:
    whole = Budget(board.arena_budget_bytes, board.code_region.bytes)
    assert board_budget(board, None, None) == whole
    assert board_budget(board, 10_000, None) == Budget(10_000, whole.flash_bytes)
    assert board_budget(board, None, 20_000) == Budget(whole.arena_bytes, 20_000)
    assert board_budget(board, UNLIMITED, UNLIMITED) == whole


def test_manifest_section(tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor) -> None:
    budget = Budget(9_000, UNLIMITED)
    found = search(tiny_space, board, budget, synthetic_predictor, 3)
    section = found.to_json(tiny_space, board, budget, 3)
    assert arch_from_json(section["arch"], "manifest.json") == found.arch
    assert (section["space"], section["board"], section["seed"]) == ("tiny", "stm32f746", 3)
    assert section["budget"] == {"arena_bytes": 9_000, "flash_bytes": UNLIMITED, "latency_ms": None}
    assert section["predicted"]["arena_bytes"] == found.cost.arena_bytes
    assert section["predicted"]["top1_percent"] == round(found.top1_percent, 3)


def test_a_space_of_one_arch(
    tiny_space: SearchSpace, board: Board, measured_tiny_archs: list[tuple[Arch, float]]
) -> None:
    options = {"resolutions": [12], "kernel_sizes": [3], "expand_ratios": [2], "depths": [1]}
    alone = SearchSpace.model_validate(tiny_space.model_dump() | options)
    measured = [(alone.smallest(), top1) for _, top1 in measured_tiny_archs]
    predictor = fit_predictor(alone, measured, "made-up accuracies")
    found = search(alone, board, Budget(UNLIMITED, UNLIMITED), predictor, seed=0)
    assert found.arch == alone.largest()

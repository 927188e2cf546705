from __future__ import annotations

import dataclasses
import time
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from depthwise_separable import depthwise_separable_space

from mcofa.accuracy.fit import fit_predictor
from mcofa.accuracy.predictor import Prediction, Predictor
from mcofa.boards import Board, load_board
from mcofa.cost.arch_cost import Cost, cost
from mcofa.cost.peak_items import peak_items
from mcofa.cost.population import PopulationCosts
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import BudgetError, TimeLimitError
from mcofa.lowering import lower
from mcofa.search import Budget, Generation, board_budget, evolve, search
from mcofa.search.costs import CandidateCosts
from mcofa.search.deadline import Deadline
from mcofa.search.front import search_front
from mcofa.search.options import Options
from mcofa.search.pareto import nondominated
from mcofa.search.pool import Judge, Pool
from mcofa.search.reach import refuse_out_of_reach
from mcofa.search.smallest import least
from mcofa.space.arch import arch_from_json
from mcofa.space.arch_table import Measured
from mcofa.space.search_space import Genomes, SearchSpace, load_space

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


def test_finds_the_best_of_depthwise_separable_networks(board: Board) -> None:
    space = depthwise_separable_space()
    every = space.enumerate()
    rng = np.random.default_rng(3)
    measured = Measured(sample := space.sample(150, rng), 60 + sample @ rng.uniform(0, 2, sample.shape[1]))
    predictor = fit_predictor(space, measured, "made-up accuracies")
    arenas = PopulationCosts(space, board).exact_arena_bytes(every)
    budget = Budget(int(np.quantile(arenas, 0.2)), UNLIMITED)
    top1 = predictor.predict(space, every).top1_percent[arenas <= budget.arena_bytes]
    found = search(space, board, budget, predictor, seed=0)
    assert found.top1_percent == pytest.approx(top1.max(), abs=1e-6)
    assert found.cost == cost(space, found.arch, board)
    assert found.cost.arena_bytes <= budget.arena_bytes


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


@pytest.mark.parametrize("evolved", [False, True])
@pytest.mark.parametrize("share", [0, 0.1, 0.6])
def test_finds_the_best_of_all_archs_with_a_model_file_small_enough(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64], share: float, evolved: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if evolved:
        monkeypatch.setattr(Options, "are_few", property(lambda _: False))
    models = np.array([one.model_bytes for one in every_cost])
    budget = Budget(10_000, UNLIMITED, model_bytes=int(np.quantile(models, share)))
    fits = np.array([one.arena_bytes <= 10_000 for one in every_cost]) & (models <= budget.model_bytes)
    found = search(tiny_space, board, budget, synthetic_predictor, 0)
    assert found.exhaustive is not evolved
    assert found.cost.model_bytes <= budget.model_bytes
    assert found.top1_percent == pytest.approx(every_top1[fits].max(), abs=1e-9)


def test_finds_an_arch_when_no_accuracy_is_expected(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    provenance = dataclasses.replace(
        synthetic_predictor.provenance, lowest_top1_percent=0, highest_top1_percent=0
    )
    hopeless = dataclasses.replace(
        synthetic_predictor, provenance=provenance, constants=np.full(1, 1e6, np.float32)
    )
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


def test_refuses_an_impossible_budget_that_leaves_flash_open(tiny_space: SearchSpace, board: Board) -> None:
    no_predictor: Any = None  # it is never asked
    with pytest.raises(BudgetError) as refusal:
        search(tiny_space, board, Budget(arena_bytes=1_024), no_predictor, seed=0)
    smallest = cost(tiny_space, tiny_space.smallest(), board)
    assert f"{smallest.arena_bytes:,} B of arena, the budget is 1,024 B" in refusal.value.problem


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


def test_the_least_model_file_is_the_one_that_the_refusal_names(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost]
) -> None:
    least_bytes = min(one.model_bytes for one in every_cost)
    budget = board_budget(board, max_model_bytes=least_bytes)
    assert search(tiny_space, board, budget, synthetic_predictor, 0).cost.model_bytes == least_bytes
    too_small = dataclasses.replace(budget, model_bytes=least_bytes - 1)
    with pytest.raises(BudgetError) as refusal:
        search(tiny_space, board, too_small, synthetic_predictor, 0)
    assert f"{least_bytes:,} B of model file, the budget is {least_bytes - 1:,} B" in refusal.value.problem
    assert refusal.value.next_step == f"raise --max-model-bytes to {least_bytes}"


def test_board_budget_is_the_boards_or_less(board: Board) -> None:
    whole = Budget(board.arena_budget_bytes, board.code_region.bytes)
    assert board_budget(board, None, None) == whole
    assert board_budget(board, 10_000, None) == Budget(10_000, whole.flash_bytes)
    assert board_budget(board, None, 20_000) == Budget(whole.arena_bytes, 20_000)
    assert board_budget(board, UNLIMITED, UNLIMITED) == whole
    assert board_budget(board, max_model_bytes=30_000) == dataclasses.replace(whole, model_bytes=30_000)


def test_manifest_section(tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor) -> None:
    budget = Budget(9_000, UNLIMITED)
    found = search(tiny_space, board, budget, synthetic_predictor, 3)
    section = found.to_json(tiny_space, board, budget, 3)
    assert arch_from_json(section["arch"], "manifest.json") == found.arch
    assert (section["space"], section["board"], section["seed"]) == ("tiny", "stm32f746", 3)
    assert section["budget"] == {
        "arena_bytes": 9_000,
        "flash_bytes": UNLIMITED,
        "latency_ms": None,
        "peak_items": None,
        "model_bytes": None,
    }
    assert section["predicted"]["arena_bytes"] == found.cost.arena_bytes
    assert section["predicted"]["top1_percent"] == round(found.top1_percent, 3)


class Indifferent:
    """Predicts the same of every arch."""

    def predict(self, space: SearchSpace, genomes: Genomes) -> Prediction:
        return Prediction(np.full(len(genomes), 50.0), np.ones(len(genomes)), np.zeros(len(genomes), bool))


def test_a_space_of_one_arch(tiny_space: SearchSpace, board: Board) -> None:
    options = {"resolutions": [12], "kernel_sizes": [3], "expand_ratios": [2], "depths": [1]}
    alone = SearchSpace.model_validate(tiny_space.model_dump() | options)
    found = search(alone, board, Budget(UNLIMITED, UNLIMITED), cast(Predictor, Indifferent()), seed=0)
    assert found.arch == alone.largest()


@pytest.fixture
def nothing_is_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the search evolve where it would evaluate all archs."""
    monkeypatch.setattr(Options, "are_few", property(lambda _: False))


@pytest.mark.parametrize("seed", range(6))
def test_evolution_finds_what_enumeration_finds(
    tiny_space: SearchSpace,
    board: Board,
    synthetic_predictor: Predictor,
    every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64],
    seed: int,
    nothing_is_few: None,
) -> None:
    """Budgets of a random arch, so that all three limits bind."""
    one = every_cost[np.random.default_rng(seed).integers(len(every_cost))]
    budget = Budget(one.arena_bytes, one.flash_bytes, one.latency.latency_ms)
    fits = np.array([budget.met_by(one, 0) for one in every_cost])
    found = search(tiny_space, board, budget, synthetic_predictor, seed)
    assert not found.exhaustive
    assert budget.met_by(found.cost, 0)
    assert found.top1_percent == pytest.approx(every_top1[fits].max(), abs=1e-9)


@pytest.mark.parametrize("limit_share", [0, 0.2, 0.7, 1])
def test_peak_items_without_a_board(
    tiny_space: SearchSpace, every_genome: Genomes, every_top1: npt.NDArray[np.float64],
    synthetic_predictor: Predictor, limit_share: float,
) -> None:  # fmt: skip
    peaks = np.unique(peak_items(tiny_space, every_genome))
    limit = int(peaks[round(limit_share * (len(peaks) - 1))])
    fits = peak_items(tiny_space, every_genome) <= limit
    found = search(tiny_space, None, Budget(peak_items=limit), synthetic_predictor, 0)
    assert found.top1_percent == pytest.approx(every_top1[fits].max(), abs=1e-9)
    assert (found.exhaustive, found.candidates) == (True, fits.sum())
    section = found.to_json(tiny_space, None, Budget(peak_items=limit), 0)
    assert section["board"] is None
    assert section["predicted"]["peak_items"] <= limit
    assert "arena_bytes" not in section["predicted"]


@pytest.mark.parametrize("rank", [0, 10, 400, 799])
def test_smallest_arena_that_reaches_an_accuracy(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64], rank: int,
) -> None:  # fmt: skip
    wanted = float(np.sort(every_top1)[rank])
    arenas = np.array([one.arena_bytes for one in every_cost])
    budget = Budget(UNLIMITED, UNLIMITED)
    found = search(tiny_space, board, budget, synthetic_predictor, 0, min_top1_percent=wanted)
    assert found.cost.arena_bytes == arenas[every_top1 >= wanted].min()
    assert found.top1_percent >= wanted


@pytest.mark.parametrize("rank", [100, 300, 500])
def test_the_smallest_arena_is_proven_even_after_a_poor_search(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64], rank: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Where many archs are left only 32 random ones are looked at, but below a find fewer are left."""

    def poor(judge: Judge, pool: Pool, options: Options, rng: np.random.Generator, *_: object) -> None:
        pool.add(options.sample(32, rng))

    monkeypatch.setattr("mcofa.search.evolve._search_islands", poor)
    monkeypatch.setattr(Options, "are_few", property(lambda options: options.count() <= 200))
    wanted = float(np.sort(every_top1)[rank])
    arenas = np.array([one.arena_bytes for one in every_cost])
    found = search(tiny_space, board, Budget(), synthetic_predictor, 0, min_top1_percent=wanted)
    assert found.exhaustive
    assert found.cost.arena_bytes == arenas[every_top1 >= wanted].min()
    assert found.top1_percent >= wanted


def test_the_fewest_peak_items_of_all_are_proven(
    tiny_space: SearchSpace, every_genome: Genomes, synthetic_predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Below the least that any arch takes there is nothing to look at."""
    monkeypatch.setattr(Options, "are_few", property(lambda options: options.count() == 0))
    found = search(tiny_space, None, Budget(), synthetic_predictor, 0, min_top1_percent=1e-6)
    assert found.best[0].peak_items == peak_items(tiny_space, every_genome).min()
    assert found.exhaustive


def test_an_accuracy_out_of_reach_is_refused_with_the_best_there_is(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    fits = np.array([one.arena_bytes for one in every_cost]) <= 9_000
    with pytest.raises(BudgetError) as refusal:
        search(tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0, min_top1_percent=99.5)
    assert f"the best reaches {every_top1[fits].max():.2f} %" in refusal.value.problem


def test_more_candidates_are_the_best_ones_in_order(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, every_cost: list[Cost],
    every_top1: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    fits = np.array([one.arena_bytes for one in every_cost]) <= 9_000
    found = search(tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0, keep=7)
    assert len({one.arch for one in found.best}) == 7
    assert [one.top1_percent for one in found.best] == pytest.approx(
        np.sort(every_top1[fits])[::-1][:7], abs=1e-9
    )


def test_limits_that_exclude_each_other(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, board: Board, every_cost: list[Cost]
) -> None:
    """Nothing is both smallest and slowest, but each limit alone can be met."""
    smallest = cost(tiny_space, tiny_space.smallest(), board)
    for budget in (
        Budget(smallest.arena_bytes, UNLIMITED, smallest.latency.latency_ms),
        Budget(UNLIMITED, UNLIMITED, smallest.latency.latency_ms),
    ):
        found = search(tiny_space, board, budget, synthetic_predictor, 0)
        assert found.arch == tiny_space.smallest()


def test_the_time_limit_ends_a_search_that_says_so(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, nothing_is_few: None
) -> None:
    found = search(
        tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0, deadline=Deadline(1e-9)
    )
    assert found.stopped_early
    assert found.cost.arena_bytes <= 9_000
    whole = search(tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0)
    assert not whole.stopped_early
    assert whole.candidates > found.candidates


def test_the_time_runs_from_when_it_is_said_to_have_started(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, nothing_is_few: None
) -> None:
    budget, ago = Budget(9_000, UNLIMITED), time.monotonic() - 1_000
    over = search(tiny_space, board, budget, synthetic_predictor, 0, deadline=Deadline(999, ago))
    assert over.stopped_early
    assert not search(
        tiny_space, board, budget, synthetic_predictor, 0, deadline=Deadline(9_999, ago)
    ).stopped_early


def test_the_time_limit_ends_the_evaluation_of_all_archs(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(9_000, UNLIMITED)
    whole = search(tiny_space, board, budget, synthetic_predictor, 0)
    monkeypatch.setattr(evolve, "_CHUNK", 50)
    assert search(tiny_space, board, budget, synthetic_predictor, 0) == whole
    stopped = search(tiny_space, board, budget, synthetic_predictor, 0, deadline=Deadline(1e-9))
    assert (stopped.stopped_early, stopped.exhaustive, stopped.candidates) == (True, False, 50)


def test_a_search_that_found_nothing_in_time_blames_the_time(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, nothing_is_few: None
) -> None:
    with pytest.raises(TimeLimitError) as refusal:
        search(
            tiny_space, board, Budget(9_000, UNLIMITED), synthetic_predictor, 0,
            min_top1_percent=99.5, deadline=Deadline(0.001, 0),
        )  # fmt: skip
    assert "the time limit of 0.001 s" in refusal.value.problem
    assert "the best so far reaches" in refusal.value.problem
    assert refusal.value.next_step == "give more than --time-limit 0.001"


def test_an_accuracy_that_no_arch_has_is_refused_whatever_the_board(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, every_top1: npt.NDArray[np.float64]
) -> None:
    best = float(every_top1.max())
    refuse_out_of_reach(tiny_space, synthetic_predictor, best - 1e-9, 0, Deadline())
    with pytest.raises(BudgetError, match=f"whatever the board .*: the best reaches {best:.2f} %"):
        refuse_out_of_reach(tiny_space, synthetic_predictor, best + 0.1, 0, Deadline())


def test_what_is_out_of_reach_is_not_claimed_when_the_time_is_up(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, nothing_is_few: None
) -> None:
    refuse_out_of_reach(tiny_space, synthetic_predictor, 99.9, 0, Deadline(0.001, started=0))


def test_only_a_limit_that_rules_something_out_is_to_be_raised(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    budget = board_budget(board, max_arena_bytes=9_000, max_latency_ms=1e6)
    with pytest.raises(BudgetError) as refusal:
        search(tiny_space, board, budget, synthetic_predictor, 0, min_top1_percent=99.5)
    assert refusal.value.next_step.endswith(", or raise --max-arena-bytes")


@pytest.mark.parametrize(
    ("arena_bytes", "fitting"), [(15_000, "raise --max-arena-bytes, and choose"), (None, "choose")]
)
def test_boards_are_named_that_the_users_own_limits_leave(
    synthetic_predictor: Predictor, arena_bytes: int | None, fitting: str
) -> None:
    """The microbit is too small for mcofa-micro; so are 15,000 B of arena on any board."""
    space, board = load_space("mcofa-micro"), load_board("microbit")
    with pytest.raises(BudgetError) as refusal:
        search(space, board, board_budget(board, arena_bytes), synthetic_predictor, 0)
    assert refusal.value.next_step.startswith(f"{fitting} a board with more memory: mcofa-micro fits")
    assert "stm32f746" in refusal.value.next_step
    with pytest.raises(BudgetError) as refusal:
        search(space, board, board_budget(board, max_latency_ms=25), synthetic_predictor, 0)
    assert "stm32f746" in refusal.value.next_step
    assert "rp2040" not in refusal.value.next_step


def test_says_what_lies_outside_the_measured_range(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    class Stranger:
        """A predictor that has never seen anything like the archs."""

        def predict(self, space: SearchSpace, genomes: Genomes) -> Prediction:
            found = synthetic_predictor.predict(space, genomes)
            return dataclasses.replace(found, extrapolates=np.ones(len(genomes), bool))

    budget = Budget(9_000, UNLIMITED)
    stranger = cast(Predictor, Stranger())
    outside = search(tiny_space, board, budget, stranger, 0).to_json(tiny_space, board, budget, 0)
    inside = search(tiny_space, board, budget, synthetic_predictor, 0)
    assert outside["predicted"]["outside_measured_range"] is True
    assert outside["arch"] == inside.arch.to_json()


def test_refusal_names_the_boards_that_would_do(synthetic_predictor: Predictor) -> None:
    """The tiny board has a quarter of the flash that mcofa-micro needs."""
    space, board = load_space("mcofa-micro"), load_board("stm32f103")
    small = dataclasses.replace(
        board, reserved=dataclasses.replace(board.reserved, stack_bytes=board.reserved.stack_bytes + 8_192)
    )
    with pytest.raises(BudgetError) as refusal:
        search(space, small, board_budget(small), synthetic_predictor, 0)
    assert "fits" in refusal.value.next_step
    assert "stm32f746" in refusal.value.next_step


def test_limits_that_can_be_met_alone_but_not_together() -> None:
    """In mcofa-v1 the arch with the smallest arena and the one with the smallest flash differ."""
    space, board = load_space("mcofa-v1"), load_board("mps2-an500")
    costs = CandidateCosts(space, board, ("arena_bytes", "flash_bytes"))
    limits = [int(least(space, costs, measure).value) for measure in ("arena_bytes", "flash_bytes")]

    with pytest.raises(BudgetError, match="each limit can be met, but no arch of mcofa-v1 meets all of them"):
        search(space, board, Budget(*limits), cast(Predictor, Indifferent()), 0)


def test_another_engine_has_other_costs(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor
) -> None:
    """Generated code keeps no runtime data in the arena, so that more fits."""
    budget = Budget(9_000, UNLIMITED)
    found = search(tiny_space, board, budget, synthetic_predictor, 0, engine="aot")
    assert found.cost == cost(tiny_space, found.arch, board, "aot")
    assert found.cost.arena_bytes <= 9_000
    assert found.top1_percent > search(tiny_space, board, budget, synthetic_predictor, 0).top1_percent
    assert found.to_json(tiny_space, board, budget, 0, "aot")["engine"] == "aot"


@pytest.mark.parametrize("streams_input", [False, True])
def test_search_and_front_count_the_image_as_it_arrives(
    tiny_space: SearchSpace, board: Board, synthetic_predictor: Predictor, streams_input: bool
) -> None:
    """Against all archs, each planned on its own graph."""
    every = tiny_space.enumerate()
    on, top1 = board_target(board), synthetic_predictor.predict(tiny_space, every).top1_percent
    arenas = np.array(
        [
            plan_aot(lower(tiny_space, tiny_space.decode(genome)), on, streams_input).arena_bytes
            for genome in every
        ]
    )
    limit = int(np.median(arenas))
    how: Any = {"engine": "aot", "streams_input": streams_input}
    found = search(tiny_space, board, Budget(limit), synthetic_predictor, 0, **how)
    assert found.top1_percent == top1[arenas <= limit].max()
    assert found.cost.arena_bytes in arenas[(arenas <= limit) & (top1 == found.top1_percent)]
    measures = ("arena_bytes", "top1_percent")
    front = search_front(tiny_space, board, Budget(limit), synthetic_predictor, measures, 0, **how)
    points = np.stack([arenas, -top1], axis=1)[arenas <= limit]
    expected = {tuple(point) for point in points[nondominated(points)].round(9).tolist()}
    assert {(arena, -accuracy) for arena, accuracy in front.values.round(9).tolist()} == expected

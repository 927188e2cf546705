"""What is left of a space within a budget, against the space written out whole."""

from __future__ import annotations

import numpy as np
import pytest

from mcofa.boards import load_board
from mcofa.cost.peak_items import peak_items
from mcofa.search import Budget
from mcofa.search.costs import CandidateCosts
from mcofa.search.evolve import budget_options
from mcofa.search.options import Options
from mcofa.search.smallest import least
from mcofa.space.search_space import Genomes, SearchSpace, load_space

MEASURES = ("arena_bytes", "flash_bytes", "latency_ms", "peak_items", "model_bytes")


def within_peak(space: SearchSpace, limit: int) -> Options:
    return Options(space, lambda genomes: peak_items(space, genomes) <= limit)


def rows(genomes: Genomes) -> set[bytes]:
    return set(map(bytes, genomes))


@pytest.fixture(scope="module", params=["free", "coupled", "fixed kernel"])
def space(request: pytest.FixtureRequest, tiny_space: SearchSpace) -> SearchSpace:
    stages = [stage.model_dump() for stage in tiny_space.stages]
    if request.param == "fixed kernel":
        stages[1]["kernel_size"] = 5
    changes = {"stages": stages, "coupled": request.param == "coupled"}
    return SearchSpace.model_validate(tiny_space.model_dump() | changes)


@pytest.mark.parametrize("share", [0, 0.15, 0.5, 1])
def test_within_peak_items_the_options_are_exactly_the_archs(space: SearchSpace, share: float) -> None:
    every = space.enumerate()
    peaks = peak_items(space, every)
    limit = int(np.quantile(peaks, share))
    options = within_peak(space, limit)
    assert rows(options.every()) == rows(every[peaks <= limit])
    assert options.count() == (peaks <= limit).sum()


@pytest.mark.parametrize("measure", ["arena_bytes", "flash_bytes", "latency_ms", "model_bytes"])
def test_within_other_measures_no_arch_is_lost(space: SearchSpace, measure: str) -> None:
    every = space.enumerate()
    costs = CandidateCosts(space, load_board("stm32f746"), [measure])
    values = costs.exact(every, measure)
    limit = float(np.quantile(values, 0.02))
    left = rows(budget_options(space, Budget(**{measure: limit}), costs).every())  # type: ignore[arg-type]
    assert rows(every[values <= limit]) <= left
    assert len(left) < len(every)


@pytest.mark.parametrize("name", ["ofa", "compofa", "compofa-fixed-kernel", "mcofa-v3"])
def test_no_sample_child_or_neighbour_is_over_the_peak(name: str) -> None:
    space, rng = load_space(name), np.random.default_rng(0)
    options = within_peak(space, 400_000)
    sampled = options.sample(300, rng)
    children = options.mutate(options.crossover(sampled[:150], sampled[150:], rng), 0.3, rng)
    for genomes in (sampled, children, options.neighbours(sampled[0], rng)):
        assert peak_items(space, genomes).max() <= 400_000
        for genome in genomes[:40]:
            space.check(space.decode(genome))
            assert (space.encode([space.decode(genome)])[0] == genome).all()


def test_samples_reach_every_arch(space: SearchSpace) -> None:
    options = within_peak(space, int(np.median(peak_items(space, space.enumerate()))))
    sampled = options.sample(40_000, np.random.default_rng(0))
    assert rows(sampled) == rows(options.every())


def test_what_is_left_stays_and_the_rest_is_drawn(space: SearchSpace) -> None:
    every = space.enumerate()
    options = within_peak(space, int(np.median(peak_items(space, every))))
    left = rows(options.every())
    settled = options.settle(every, np.random.default_rng(0))
    assert rows(settled) <= left
    stays = np.array([row in left for row in map(bytes, every)])
    np.testing.assert_array_equal(settled[stays], every[stays])


def test_neighbours_are_one_choice_away(space: SearchSpace) -> None:
    options = within_peak(space, 10**9)
    genome = options.sample(1, np.random.default_rng(3))[0]
    neighbours = options.neighbours(genome, np.random.default_rng(0))
    assert bytes(genome) not in rows(neighbours)
    every = space.enumerate()
    same_depths = (every[:, : 1 + len(space.stages)] == genome[: 1 + len(space.stages)]).all(1)
    one_gene_away = rows(every[same_depths & ((every != genome).sum(1) == 1)])
    assert one_gene_away <= rows(neighbours)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_least_of_a_measure_is_that_of_all_archs(space: SearchSpace, measure: str) -> None:
    costs = CandidateCosts(space, load_board("rp2040"), [measure])
    found = least(space, costs, measure)
    assert found.proven
    assert found.value == costs.exact(space.enumerate(), measure).min()
    assert costs.exact(space.encode([found.arch]), measure)[0] == found.value


@pytest.mark.parametrize(("name", "items"), [("ofa", 262_912), ("mcofa-v1", 448_512), ("mcofa-v3", 299_520)])
def test_the_least_peak_is_the_published_one(name: str, items: int) -> None:
    space = load_space(name)
    found = least(space, CandidateCosts(space, None, ["peak_items"]), "peak_items")
    assert (found.value, found.proven) == (items, True)


def test_the_smallest_arch_need_not_take_the_least_flash() -> None:
    """Blocks of equal width share parts of the file, which can be worth more than a narrower block."""
    space = load_space("mcofa-v1")
    costs = CandidateCosts(space, load_board("mps2-an500"), ["flash_bytes"])
    found = least(space, costs, "flash_bytes")
    assert found.proven
    assert found.value < costs.exact(space.encode([space.smallest()]), "flash_bytes")[0]


def test_open_genes_bound_every_arch_below(space: SearchSpace) -> None:
    every = space.enumerate()
    costs = CandidateCosts(space, load_board("stm32f103"), MEASURES)
    opened, rng = every.copy(), np.random.default_rng(0)
    for genes in (space.kernel_genes(opened), space.expand_genes(opened)):
        genes[space.active(every) & (rng.random(genes.shape) < 0.5)] = -1
    exact = costs.bounds(every)
    for name, bounds in costs.bounds(opened).items():
        assert (bounds <= exact[name]).all()
        assert (bounds < exact[name]).any()

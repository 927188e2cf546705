"""Archs to measure are spread evenly over the arenas that they need."""

from __future__ import annotations

import numpy as np

from mcofa.accuracy.sample import balanced_archs
from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.population import PopulationCosts
from mcofa.space.search_space import SearchSpace, load_space


def test_small_arenas_are_as_common_as_large_ones() -> None:
    space, board = load_space("mcofa-micro"), load_board("stm32f746")
    costs = PopulationCosts(space, board)
    archs = balanced_archs(space, board, 0)[:240]
    balanced = np.log(costs.exact_arena_bytes(archs))
    edges = np.linspace(balanced[0], balanced.max(), 7)
    uniform = np.log(costs.exact_arena_bytes(space.sample(240, np.random.default_rng(0))))
    assert balanced[0] == np.log(cost(space, space.smallest(), board).arena_bytes)
    # A sixth of 240 archs is 40.
    assert np.histogram(balanced, edges)[0].min() >= 25
    assert np.histogram(uniform, edges)[0].min() < 10


def test_distinct_archs_of_the_space_by_seed(tiny_space: SearchSpace) -> None:
    board = load_board("stm32f746")
    archs = balanced_archs(tiny_space, board, 3)
    assert len(np.unique(archs, axis=0)) == len(archs) > 0.9 * tiny_space.count()
    np.testing.assert_array_equal(tiny_space.encode([tiny_space.decode(row) for row in archs]), archs)
    np.testing.assert_array_equal(archs[:2], tiny_space.encode([tiny_space.smallest(), tiny_space.largest()]))
    np.testing.assert_array_equal(balanced_archs(tiny_space, board, 3), archs)
    assert not np.array_equal(balanced_archs(tiny_space, board, 4)[:9], archs[:9])

"""Population costs against the scalar path: the same numbers by another way."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
from depthwise_separable import depthwise_separable_space
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.boards import Board, Toolchain, core_named, load_board
from mcofa.cost.arch_cost import Cost, cost
from mcofa.cost.population import PopulationCosts
from mcofa.engines.tflm import MinimumCause, account, op_memory, planned_buffers
from mcofa.engines.tflm.targets import board_target
from mcofa.lowering import lower
from mcofa.memory.plan import aligned, lower_bound
from mcofa.space.search_space import Genomes, SearchSpace, load_space

BOARDS = ["stm32f746", "stm32f103", "rp2040", "nrf52840"]
CORES = ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55"]


def arena_by_bound(space: SearchSpace, arch: Any, board: Board) -> int:
    """The arena if the planner always reached its lower bound."""
    target, graph = board_target(board), lower(space, arch)
    head_bytes = lower_bound(planned_buffers(graph, [op_memory(graph, op, target) for op in graph.ops]))
    arena = account(graph, target)
    assert arena.tail_bytes is not None
    assert arena.planning_bytes is not None
    assert arena.preparing_bytes is not None
    return aligned(max(head_bytes + arena.tail_bytes, arena.planning_bytes, arena.preparing_bytes))


def assert_equal_to_scalar_costs(space: SearchSpace, board: Board, genomes: Genomes) -> list[Cost]:
    costs = PopulationCosts(space, board)
    population = costs.evaluate(genomes)
    archs = [space.decode(genome) for genome in genomes]
    exact = [cost(space, arch, board) for arch in archs]
    assert population.macs.tolist() == [one.macs for one in exact]
    assert population.flash_bytes.tolist() == [one.flash_bytes for one in exact]
    assert population.arena_bytes.tolist() == [arena_by_bound(space, arch, board) for arch in archs]
    assert (population.arena_bytes <= [one.arena_bytes for one in exact]).all()
    assert costs.exact_arena_bytes(genomes).tolist() == [one.arena_bytes for one in exact]
    assert population.latency_ms.tolist() == [one.latency.latency_ms for one in exact]
    return exact


@pytest.mark.parametrize("name", BOARDS)
def test_micro_space_on_a_board(name: str) -> None:
    space, board = load_space("mcofa-micro"), load_board(name)
    genomes = space.sample(200, np.random.default_rng(3))
    exact = assert_equal_to_scalar_costs(space, board, genomes)
    bound = PopulationCosts(space, board).evaluate(genomes).arena_bytes
    met = np.mean(bound == [one.arena_bytes for one in exact])
    assert met > 0.6
    slack = np.array([one.arena_bytes for one in exact]) / bound
    assert slack.max() < 1.25


@pytest.mark.parametrize("name", ["compofa-micro", "ofa-micro"])
@pytest.mark.parametrize(
    ("core", "kernels"),
    [("cortex-m7", "cmsis-nn"), ("cortex-m55", "cmsis-nn"), ("cortex-m0plus", "reference")],
)
def test_other_micro_spaces(name: str, core: str, kernels: str) -> None:
    space = load_space(name)
    assert_equal_to_scalar_costs(
        space, board_with(core, kernels), space.sample(100, np.random.default_rng(4))
    )


@pytest.mark.parametrize("name", ["stm32f746", "rp2040"])
def test_global_averages_by_mean(name: str) -> None:
    space = load_space("mcofa-micro").model_copy(update={"global_average": "mean"})
    assert_equal_to_scalar_costs(space, load_board(name), space.sample(40, np.random.default_rng(8)))


@pytest.mark.parametrize("name", ["compofa-fixed-kernel", "mcofa-v3", "ofa"])
def test_spaces_of_the_paper(name: str) -> None:
    space = load_space(name)
    assert_equal_to_scalar_costs(space, load_board("stm32f746"), space.sample(8, np.random.default_rng(5)))


@pytest.mark.parametrize("name", ["stm32f746", "rp2040"])
def test_depthwise_separable_blocks_and_oblong_images(name: str) -> None:
    space = depthwise_separable_space()
    assert_equal_to_scalar_costs(space, load_board(name), space.sample(100, np.random.default_rng(9)))


def test_every_arch_of_many_chunks() -> None:
    """The same archs, shuffled over chunks, cost the same."""
    space = load_space("mcofa-micro")
    costs = PopulationCosts(space, load_board("stm32f746"))
    genomes = space.sample(100, np.random.default_rng(6))
    index = np.random.default_rng(7).integers(0, len(genomes), 3_000)
    many, few = costs.evaluate(genomes[index]), costs.evaluate(genomes)
    for name in ("arena_bytes", "flash_bytes", "macs", "latency_ms"):
        assert (getattr(many, name) == getattr(few, name)[index]).all()
    assert (costs.exact_arena_bytes(genomes[index]) == costs.exact_arena_bytes(genomes)[index]).all()


@pytest.mark.parametrize("name", BOARDS)
def test_tiny_space_on_a_board(tiny_space: SearchSpace, name: str) -> None:
    genomes = np.unique(tiny_space.sample(20_000, np.random.default_rng(0)), axis=0)
    assert_equal_to_scalar_costs(tiny_space, load_board(name), genomes[::4])


def test_no_archs_have_no_costs(tiny_space: SearchSpace) -> None:
    none = tiny_space.sample(0, np.random.default_rng(0))
    costs = PopulationCosts(tiny_space, load_board("rp2040"))
    assert len(costs.evaluate(none).arena_bytes) == len(costs.exact_arena_bytes(none)) == 0


# Any space


def board_with(core: str, kernels: str) -> Board:
    board = load_board("stm32f103")
    facts = core_named(core)
    changes: dict[str, Any] = {
        "core": core,
        "kernels": kernels,
        "fpu": facts.fpus[0],
        "toolchain": Toolchain((*facts.compiler_flags, f"-mfpu={facts.fpus[0]}")),
    }
    return dataclasses.replace(board, **changes)


def ascending(values: list[Any], size: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=size, unique=True).map(sorted)


activations = st.sampled_from(["relu", "hard_swish"])
widths = st.integers(1, 5).map(lambda eights: 8 * eights)
stages = st.fixed_dictionaries(
    {
        "width": widths,
        "stride": st.sampled_from([1, 2]),
        "activation": activations,
        "squeeze_excite": st.booleans(),
    }
)
spaces = st.fixed_dictionaries(
    {
        "name": st.just("drawn"),
        "title": st.just("Drawn at random"),
        "input_channels": st.sampled_from([1, 3]),
        "classes": st.sampled_from([2, 10, 1_500]),
        "padding": st.just("same"),
        "global_average": st.sampled_from(["average_pool", "mean"]),
        "resolutions": ascending([1, 4, 9, 16, 31]),
        "kernel_sizes": ascending([1, 3, 5, 7]),
        "expand_ratios": ascending([1, 1.5, 2, 6]),
        "depths": ascending([1, 2, 3, 5]),
        "stem": st.fixed_dictionaries(
            {
                "width": st.sampled_from([1, 3, 8, 16]),
                "stride": st.sampled_from([1, 2]),
                "activation": activations,
                "first_block_width": widths,
                "first_block_activation": activations,
            }
        ),
        "stages": st.lists(stages, min_size=1, max_size=4),
        "head": st.fixed_dictionaries(
            {
                "final_expand_width": st.sampled_from([16, 128, 700]),
                "feature_width": st.sampled_from([8, 64]),
                "activation": activations,
            }
        ),
    }
).map(SearchSpace.model_validate)


@settings(max_examples=60)
@given(spaces, st.sampled_from(CORES), st.sampled_from(["cmsis-nn", "reference"]), st.integers(0, 2**32 - 1))
def test_any_space_on_any_core(space: SearchSpace, core: str, kernels: str, seed: int) -> None:
    genomes = space.sample(4, np.random.default_rng(seed))
    assert_equal_to_scalar_costs(space, board_with(core, kernels), genomes)


def test_every_cause_of_the_minimum(tiny_space: SearchSpace) -> None:
    """Large images: head and tail; many small ops: the planner's tables; many classes: temporaries."""
    changes: list[dict[str, Any]] = [
        {"resolutions": [48]},
        {"resolutions": [4], "depths": [4]},
        {"resolutions": [4], "classes": 1_500},
    ]
    causes: Counter[MinimumCause | None] = Counter()
    for change in changes:
        space = SearchSpace.model_validate(tiny_space.model_dump() | change)
        genomes = space.sample(20, np.random.default_rng(2))
        board = load_board("stm32f746")
        assert_equal_to_scalar_costs(space, board, genomes)
        graphs = (lower(space, space.decode(genome)) for genome in genomes)
        causes.update(account(graph, board_target(board)).minimum_cause for graph in graphs)
    assert set(causes) == set(MinimumCause)

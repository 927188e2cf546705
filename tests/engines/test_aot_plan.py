"""Spans, rings and placement: against a simulator, every other cut, and an execution that checks rows."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from depthwise_separable import depthwise_separable_space
from row_execution import execute

from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.cost.population import PopulationCosts
from mcofa.engines.aot.plan import StreamingRules, plan_aot
from mcofa.engines.aot.spans import SpanBytes, StepBytes, best_cut
from mcofa.engines.tflm.targets import target
from mcofa.graph import Graph
from mcofa.lowering import lower
from mcofa.memory.plan import Buffer, lower_bound, validate
from mcofa.memory.plan import Plan as PlacedPlan
from mcofa.space.search_space import SearchSpace, load_space

M7 = target("cortex-m7", "cmsis-nn")
MOST_BYTES = {
    "mlpt_vww96": (28_832, 14_592),
    "mlpt_kws": (6_240, 5_920),
    "mlpt_resnet8": (14_656, 11_936),
    "mb_r48_k3_e3_d1_w025": (7_136, 4_592),
    "mb_r64_k7_e3_d3_w05": (13_568, 11_744),
}
"""What a simulator of optimal spans gave: with the image in the arena, and with the image row by row."""


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("model", MOST_BYTES)
def test_published_networks_take_no_more_than_the_simulator_found(
    model: str, streams_input: bool, measured_model: Callable[[str], bytes]
) -> None:
    graph = parse_tflite(measured_model(model), model)
    planned = plan_aot(graph, M7, streams_input)
    assert planned.arena_bytes <= MOST_BYTES[model][streams_input]
    assert_sound(graph, streams_input)


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("space", ["mcofa-micro", "compofa-micro", "ofa", "mcofa-v3"])
def test_random_networks_of_spaces_are_placed_where_no_row_is_lost(
    space: str, seed: int, streams_input: bool
) -> None:
    found = load_space(space)
    graph = lower(found, found.decode(found.sample(1, np.random.default_rng(seed))[0]))
    assert_sound(graph, streams_input)


def assert_sound(graph: Graph, streams_input: bool) -> None:
    planned = plan_aot(graph, M7, streams_input)
    spans = StreamingRules(graph, M7, streams_input).span_bytes(over_input=True)
    buffers = [buffer for storage in planned.storages for buffer in storage.buffers]
    offsets = [
        offset
        for storage, offset in zip(planned.storages, planned.offsets, strict=True)
        for _ in storage.buffers
    ]
    validate(buffers, PlacedPlan(tuple(offsets), planned.arena_bytes))
    assert lower_bound(buffers) == spans.least()[0] <= planned.arena_bytes
    execute(graph, planned)


def test_no_other_cut_takes_less() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 9))
        spans, costs = _random_spans(rng, count)
        tried = [
            max(costs[stop - 1][start, 0] for start, stop in itertools.pairwise(ends))
            for ends in _every_cut(count)
        ]
        assert spans.least()[0] == min(tried)
        cut = best_cut(spans, int(spans.least()[0]))
        assert [span.stop for span in cut[:-1]] == [span.start for span in cut[1:]]
        assert max(costs[span.stop - 1][span.start, 0] for span in cut) == min(tried)


def test_no_other_cut_takes_less_where_a_part_runs() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        count = int(rng.integers(2, 9))
        spans, costs = _random_spans(rng, count)
        border = int(rng.integers(1, count))
        parts = [range(border), range(border, count), range(border - 1, border)]
        for part, found in zip(parts, spans.least_touching(parts), strict=True):
            tried = [
                max(
                    costs[stop - 1][start, 0]
                    for start, stop in itertools.pairwise(ends)
                    if set(part) & set(range(start, stop))
                )
                for ends in _every_cut(count)
            ]
            assert found == min(tried)
        assert spans.least_touching([range(count)]) == [spans.least()[0]]


def _random_spans(rng: np.random.Generator, count: int) -> tuple[SpanBytes, list[npt.NDArray[np.int64]]]:
    """Spans of made-up steps, and what each of them keeps, counted tensor by tensor."""
    whole = rng.integers(1, 20, count) * 16
    inside = np.minimum(whole, rng.integers(0, 8, count) * 16)
    scratch = rng.integers(0, 3, count) * 16
    last = np.array([*(int(rng.integers(step + 1, count + 1)) for step in range(count - 1)), count])
    saved = rng.integers(0, 3, (count + 1, count)) * 16
    costs = [
        np.array(
            [
                [
                    sum(
                        inside[step] if first <= step and last[step] < end else whole[step]
                        for step in range(end)
                        if last[step] >= first
                    )
                    + max(scratch[first:end])
                    - min(saved[end, first], whole[end - 1])
                ]
                for first in range(end)
            ]
        )
        for end in range(1, count + 1)
    ]
    steps = StepBytes(*(column[:, None] for column in (whole, inside, scratch, last)), alone=0)
    return SpanBytes(steps, lambda end, firsts, _: np.minimum(saved[end, firsts], whole[end - 1])), costs


def _every_cut(steps: int) -> list[list[int]]:
    return [
        [0, *(at for at in range(1, steps) if chosen >> (at - 1) & 1), steps]
        for chosen in range(1 << (steps - 1))
    ]


def test_buffers_are_those_of_one_op_where_nothing_is_streamed() -> None:
    space = load_space("mcofa-micro")
    graph = lower(space, space.smallest())
    planned = plan_aot(graph, M7)
    assert [op for span in planned.spans for op in span] == list(range(len(graph.ops)))
    assert all(isinstance(buffer, Buffer) for storage in planned.storages for buffer in storage.buffers)


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("space", ["mcofa-micro", "compofa-micro", "ofa-micro"])
def test_populations_take_what_the_graph_of_each_arch_does(space: str, streams_input: bool) -> None:
    check_population(space, 150, streams_input)


@pytest.mark.slow
@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("space", ["ofa", "mcofa-v3"])
def test_populations_of_large_spaces_do_too(space: str, streams_input: bool) -> None:
    check_population(space, 15, streams_input)


def check_population(name: str, count: int, streams_input: bool) -> None:
    check_population_of(load_space(name), count, streams_input)


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"padding": "symmetric", "resolutions": (26, 27, 28, 31)},
        {"global_average": "mean", "resolutions": (17, 28)},
        {"resolutions": ((17, 24), (40, 24), (40, 61))},
    ],
    ids=["symmetric", "mean", "oblong"],
)
def test_populations_take_what_their_graphs_do_however_a_space_is_changed(
    change: dict[str, Any], streams_input: bool
) -> None:
    check_population_of(load_space("mcofa-micro").model_copy(update=change), 80, streams_input)


@pytest.mark.parametrize("streams_input", [False, True])
def test_populations_of_depthwise_separable_blocks_do_too(streams_input: bool) -> None:
    check_population_of(depthwise_separable_space(), 150, streams_input)


def test_a_population_costs_what_each_arch_does_alone() -> None:
    space = load_space("mcofa-micro")
    genomes = space.sample(2_500, np.random.default_rng(6))
    costs = PopulationCosts(space, load_board("stm32f746"), "aot")
    exact = costs.exact_arena_bytes(genomes)
    assert (costs.exact_arena_bytes(genomes[::-1]) == exact[::-1]).all()
    alone = [costs.exact_arena_bytes(genomes[i : i + 1])[0] for i in range(0, 2_500, 25)]
    assert exact[::25].tolist() == alone
    assert costs.exact_arena_bytes(genomes[:0]).shape == (0,)


def check_population_of(space: SearchSpace, count: int, streams_input: bool) -> None:
    board = load_board("stm32f746")
    genomes = space.sample(count, np.random.default_rng(4))
    costs = PopulationCosts(space, board, "aot", streams_input)
    exact = costs.exact_arena_bytes(genomes)
    for genome, arena_bytes in zip(genomes, exact, strict=True):
        graph = lower(space, space.decode(genome))
        assert StreamingRules(graph, M7, streams_input).span_bytes(over_input=True).least()[0] == arena_bytes
    assert (costs.evaluate(genomes).arena_bytes <= exact).all()

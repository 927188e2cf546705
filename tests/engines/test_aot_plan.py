"""Spans, rings and placement: against a simulator, every other cut, and an execution that checks rows."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from row_execution import execute

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.plan import StreamingRules, plan_aot
from mcofa.engines.aot.spans import NEVER, best_cut, least_bytes
from mcofa.engines.tflm.targets import target
from mcofa.graph import Graph
from mcofa.lowering import lower
from mcofa.memory.plan import Buffer, lower_bound, validate
from mcofa.memory.plan import Plan as PlacedPlan
from mcofa.space.search_space import load_space

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
    costs = StreamingRules(graph, M7, streams_input).span_bytes()
    buffers = [buffer for storage in planned.storages for buffer in storage.buffers]
    offsets = [
        offset
        for storage, offset in zip(planned.storages, planned.offsets, strict=True)
        for _ in storage.buffers
    ]
    validate(buffers, PlacedPlan(tuple(offsets), planned.arena_bytes))
    assert lower_bound(buffers) == least_bytes(costs)[0] <= planned.arena_bytes
    execute(graph, planned)


def test_no_other_cut_takes_less() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        steps = int(rng.integers(1, 9))
        costs = [rng.integers(1, 50, (end, 1)) for end in range(1, steps + 1)]
        for cost in costs:
            cost[rng.random(cost.shape) < 0.1] = NEVER
        tried = [
            max(costs[stop - 1][start, 0] for start, stop in itertools.pairwise(ends))
            for ends in _every_cut(steps)
        ]
        assert least_bytes(costs)[0] == min(tried)
        if min(tried) < NEVER:
            cut = best_cut(costs)
            assert [span.stop for span in cut[:-1]] == [span.start for span in cut[1:]]
            assert max(costs[span.stop - 1][span.start, 0] for span in cut) == min(tried)


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

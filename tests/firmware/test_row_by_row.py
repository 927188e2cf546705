"""Networks drawn at random run row by row: they answer as LiteRT does, and dead memory is overwritten."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from generated_c import assert_equals_litert
from random_networks import random_network
from row_execution import execute

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.plan import AotPlan, plan_aot
from mcofa.engines.tflm import target
from mcofa.errors import UnstreamableInputError
from mcofa.graph import Graph
from mcofa.memory.plan import lower_bound
from mcofa.ops.rows import height

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
M7 = target("cortex-m7", "reference")
# From 72 on: a depthwise convolution writes over its input.
SEEDS = (*range(24), 238, 72, 229, 264, 646, 1413, 1957)


@needs_gcc
@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_equals_litert(seed: int, streams_input: bool, tmp_path: Path) -> None:
    data = random_network(seed)
    graph = parse_tflite(data, "random")
    if streams_input and height(graph.tensors[graph.inputs[0]]) == 1:
        with pytest.raises(UnstreamableInputError):
            plan_aot(graph, M7, streams_input)
        return
    compiled = assert_equals_litert(data, tmp_path, seed, streams_input=streams_input)
    execute(graph, compiled.generated.plan)


@pytest.mark.parametrize("seed", range(24, 224))
def test_no_row_is_lost(seed: int) -> None:
    graph = parse_tflite(random_network(seed), "random")
    for streams_input in (False, True):
        if not streams_input or height(graph.tensors[graph.inputs[0]]) > 1:
            plan = plan_aot(graph, M7, streams_input)
            execute(graph, plan)
            assert plan.arena_bytes >= lower_bound([b for storage in plan.storages for b in storage.buffers])


def test_a_ring_with_one_row_less_loses_a_row() -> None:
    """Every ring needs all its rows: with one fewer, the execution finds a row overwritten."""
    tried = 0
    for seed in SEEDS:
        graph = parse_tflite(random_network(seed), "random")
        plan = plan_aot(graph, M7)
        for index, rows in plan.rows.items():
            if 1 < rows < height(graph.tensors[index]):
                tried += 1
                with pytest.raises(AssertionError, match="overwritten"):
                    execute(graph, _with_rows(graph, plan, index, rows - 1))
    assert tried > 20


def _with_rows(graph: Graph, plan: AotPlan, index: int, rows: int) -> AotPlan:
    """The plan with fewer rows kept of a tensor, and of those that lie in its rows."""
    (storage,) = (storage for storage in plan.storages if index in storage.tensors)
    sharing = {other for other in storage.tensors if plan.rows[other] == plan.rows[index]}
    return replace(plan, rows={**plan.rows, **dict.fromkeys(sharing, rows)})

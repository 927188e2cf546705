from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generated_c import assert_equals_litert, assert_equals_tflm
from random_ops import OPS
from tiny_models import ModelBuilder, small_network

from export.aot.fixed_point import activation_range, multiplier_and_shift, wide_multiplier_and_shift
from export.aot.render import generate
from export.aot.shapes import broadcast, reduced
from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.population import PopulationCosts
from mcofa.engines.aot.flash import aot_flash
from mcofa.engines.aot.kernels import kernel
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm import account, target
from mcofa.errors import UnsupportedOpError
from mcofa.graph import OpKind
from mcofa.memory.plan import Buffer
from mcofa.ops.record import NO_KERNEL
from mcofa.ops.registry import OPERATORS
from mcofa.space.search_space import SearchSpace

PUBLISHED = (
    "mlpt_ad01",
    "mlpt_kws",
    "mlpt_resnet8",
    "mlpt_vww96",
    "mb_r48_k3_e3_d1_w025",
)
EXECUTED = [kind for kind, record in OPERATORS.items() if record.aot != NO_KERNEL]
EXACT_IN_LITERT = [kind for kind in OPS if kind != "SUM"]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
M7 = target("cortex-m7", "cmsis-nn")
M55 = target("cortex-m55", "cmsis-nn")


@needs_gcc
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", EXACT_IN_LITERT)
def test_op_equals_litert(kind: str, seed: int, tmp_path: Path) -> None:
    assert_equals_litert(OPS[kind](np.random.default_rng(seed)), tmp_path, seed)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
@pytest.mark.parametrize("kind", EXACT_IN_LITERT)
def test_more_ops_equal_litert(kind: str, seed: int, tmp_path: Path) -> None:
    assert_equals_litert(OPS[kind](np.random.default_rng(seed)), tmp_path, seed)


@needs_gcc
@pytest.mark.parametrize("seed", range(4))
def test_sum_equals_tflm(seed: int, tmp_path: Path) -> None:
    """LiteRT's reference kernel of an int8 SUM is wrong in ai-edge-litert 2.3.0, beyond any rounding."""
    assert_equals_tflm(OPS["SUM"](np.random.default_rng(seed)), tmp_path, seed)


@needs_gcc
def test_small_network_equals_litert_at_every_op(tmp_path: Path) -> None:
    compiled = assert_equals_litert(small_network(), tmp_path)
    assert compiled.ops == [0, 1, 2, 3, 4]


@needs_gcc
@pytest.mark.parametrize("model", ["mlpt_ad01", "mlpt_kws", "mb_r48_k3_e3_d1_w025"])
def test_published_network_equals_litert_at_every_op(
    model: str, measured_model: Callable[[str], bytes], tmp_path: Path
) -> None:
    assert_equals_litert(measured_model(model), tmp_path)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlpt_resnet8", "mlpt_vww96"])
def test_large_published_network_equals_litert_at_every_op(
    model: str, measured_model: Callable[[str], bytes], tmp_path: Path
) -> None:
    assert_equals_litert(measured_model(model), tmp_path, images=1)


@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize("on", [M7, M55], ids=lambda on: on.name)
def test_arena_is_that_of_the_plan_and_less_than_whole_tensors_take(
    model: str, on, measured_model: Callable[[str], bytes]
) -> None:
    data = measured_model(model)
    graph = parse_tflite(data, model)
    generated = generate(data, model, on)
    assert generated.plan == plan_aot(graph, on)
    assert f"NETWORK_ARENA_BYTES {generated.plan.arena_bytes}\n" in generated.files["network.h"].decode()
    assert generated.plan.arena_bytes <= account(graph, on).head_bytes


@pytest.mark.parametrize("kind", EXECUTED)
def test_no_core_takes_more_memory_than_another(kind: OpKind) -> None:
    for seed in range(4):
        graph = parse_tflite(OPS[kind](np.random.default_rng(seed)), str(kind))
        assert (
            plan_aot(graph, M55) == plan_aot(graph, M7) == plan_aot(graph, target("cortex-m3", "reference"))
        )


def test_a_chain_that_works_in_place_takes_no_more_than_its_input() -> None:
    # input → HARD_SWISH → RESHAPE: all in the input's place, which is the output's too.
    m = ModelBuilder()
    x, y, z = m.tensor((1, 4, 4, 4)), m.tensor((1, 4, 4, 4)), m.tensor((1, 64))
    m.op("HARD_SWISH", [x], [y])
    m.op("RESHAPE", [y, m.tensor((2,), "int32", [1, 64], 0)], [z], table="ReshapeOptions", newShape=[1, 64])
    plan = plan_aot(parse_tflite(m.build([x], [z]), "chain"), M7)
    (storage,) = plan.storages
    assert (storage.buffers, storage.tensors) == ((Buffer(64, 0, 3),), (x, y, z))
    assert plan.arena_bytes == 64


def test_an_input_that_is_read_again_is_overwritten_row_by_row() -> None:
    m = ModelBuilder()
    x, y, z = (m.tensor((1, 4, 4, 4)) for _ in range(3))
    m.op("HARD_SWISH", [x], [y])
    m.op("ADD", [x, y], [z], table="AddOptions")
    plan = plan_aot(parse_tflite(m.build([x], [z]), "twice"), M7)
    # ADD writes over x; of y there is one row apart.
    assert [storage.tensors for storage in plan.storages] == [(x, z), (y,)]
    assert plan.rows == {x: 4, y: 1, z: 4}
    assert plan.arena_bytes == 64 + 16


def test_every_unsupported_op_is_named() -> None:
    m = ModelBuilder()
    x, y, z = m.tensor((1, 2, 2, 8)), m.tensor((1, 2, 2, 8), "int32"), m.tensor((1, 2, 2, 8))
    m.op("QUANTIZE", [x], [y], table="QuantizeOptions")
    m.op("CONV_2D", [x, m.tensor((8, 1, 1, 8)), m.weights((8,), 8, 0, "int32")], [z],
         table="Conv2DOptions", strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)  # fmt: skip
    message = r"CONV_2D \(with weights that are not constant\), QUANTIZE \(int8 to int32\)"
    with pytest.raises(UnsupportedOpError, match=message):
        generate(m.build([x], [z]), "unsupported", M7)


def test_a_maximum_of_another_quantization_is_refused() -> None:
    """The kernel copies values; LiteRT and TFLM refuse such a model when they run it."""
    m = ModelBuilder()
    x, y = m.tensor((1, 4, 4, 2)), m.tensor((1, 2))
    m.tensors[y].quantization.scale = [0.25]
    m.op("REDUCE_MAX", [x, m.tensor((2,), "int32", [1, 2], 0)], [y], table="ReducerOptions", keepDims=False)
    with pytest.raises(UnsupportedOpError, match="REDUCE_MAX has another quantization in its output"):
        generate(m.build([x], [y]), "rescaled", M7)


@pytest.mark.parametrize("kind", EXECUTED)
def test_every_op_that_is_executed_has_a_kernel(kind: OpKind) -> None:
    graph = parse_tflite(OPS[kind](np.random.default_rng(0)), str(kind))
    assert kernel(graph, graph.ops[-1 if kind == "RESHAPE" else 0], M7).startswith("nn_")


@pytest.mark.parametrize(
    ("factor", "expected"), [(0.5, (1 << 30, 0)), (1.0, (1 << 30, 1)), (0.0, (0, 0)), (1e-12, (0, 0))]
)
def test_multiplier_and_shift(factor: float, expected: tuple[int, int]) -> None:
    assert multiplier_and_shift(factor) == expected


@pytest.mark.parametrize("factor", [0.75, 0.0123, 1.9, 3e-5])
def test_wide_multiplier_keeps_31_bits(factor: float) -> None:
    multiplier, shift = wide_multiplier_and_shift(factor)
    assert 0 < multiplier < 1 << 32
    assert multiplier / 2**shift == pytest.approx(factor, rel=2**-30)


def test_activation_range() -> None:
    assert activation_range("NONE", 0.1, 5) == (-128, 127)
    assert activation_range("RELU", 0.1, 5) == (5, 127)
    assert activation_range("RELU6", 0.1, 5) == (5, 65)


def test_broadcast_merges_dimensions() -> None:
    assert broadcast((1, 4, 5, 6), (1, 1, 1, 6), (1, 4, 5, 6)) == ([1, 1, 20, 6], [0, 0, 6, 1], [0, 0, 0, 1])
    assert broadcast((2, 3), (2, 3), (2, 3)) == ([1, 1, 1, 6], [0, 0, 0, 1], [0, 0, 0, 1])


def test_reduced_merges_dimensions() -> None:
    assert reduced((1, 4, 5, 6), [1, 2]) == ([1, 1, 6], [0, 120, 1], [1, 1, 20], [0, 0, 6])


def test_search_counts_what_the_generated_c_takes(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(40, np.random.default_rng(0))
    for name in ("stm32f746", "mps3-an547"):
        board = load_board(name)
        costs = PopulationCosts(tiny_space, board, engine="aot")
        bounds, exact = costs.evaluate(genomes), costs.exact_arena_bytes(genomes)
        for i, genome in enumerate(genomes):
            found = cost(tiny_space, tiny_space.decode(genome), board, engine="aot")
            assert found.arena_bytes == exact[i] >= bounds.arena_bytes[i]
            assert found.flash_bytes == bounds.flash_bytes[i]
            assert found.latency_ms == bounds.latency_ms[i]


@needs_gcc
def test_code_for_mve_is_not_compiled_without_it(tmp_path: Path) -> None:
    for name, content in generate(small_network(), "small", M55).files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        ["gcc", "-c", "network.c"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "kernels with MVE: generate the network again for this core" in done.stderr


def test_flash_counts_shared_kernels_once() -> None:
    graph = parse_tflite(small_network(), "small")
    twice = replace(graph, ops=graph.ops[:2] + graph.ops[1:])
    added = aot_flash(twice, M7).total_bytes - aot_flash(graph, M7).total_bytes
    weights = graph.tensors[graph.ops[1].inputs[1]]
    assert weights.bytes + 12 * weights.shape[3] <= added <= weights.bytes + 12 * weights.shape[3] + 180

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import evidence
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.tflite.parse import parse_tflite
from mcofa.boards import core_named, core_names
from mcofa.engines.aot.latency import COEFFICIENTS_FILE as AOT_COEFFICIENTS_FILE
from mcofa.engines.aot.latency import KERNELS as OWN_KERNELS
from mcofa.engines.aot.latency import LATENCIES as AOT_LATENCIES
from mcofa.engines.latency import FEATURES, op_features
from mcofa.engines.tflm.engine import COEFFICIENTS_FILE, LATENCIES
from mcofa.errors import UnknownNameError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import lower
from mcofa.space.arch import arch_from_json
from mcofa.space.search_space import load_space

SETS = [(name, kernels) for name in core_names() for kernels in core_named(name).measured_as.latency]


def convolution(side: int, channels: int, width: int, kernel: int) -> Graph:
    tensors = (
        Tensor((1, side, side, channels)),
        Tensor((width, kernel, kernel, channels), constant=True, scales=width),
        Tensor((width,), DType.INT32, constant=True, scales=0),
        Tensor((1, side, side, width)),
    )
    return Graph(tensors, (Op(OpKind.CONV_2D, (0, 1, 2), (3,)),), (0,), (3,))


def features(graph: Graph) -> dict[str, float]:
    counts = dict(zip(FEATURES, op_features(graph, graph.ops[0]).tolist(), strict=True))
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(("core", "kernels"), SETS)
def test_the_ops_add_up_to_the_total(core: str, kernels: str) -> None:
    space = load_space("mcofa-micro")
    graph = lower(space, space.largest())
    found = LATENCIES.estimate(graph, core, kernels, clock_hz=100e6)
    assert found.instructions == pytest.approx(
        sum(LATENCIES.op_instructions(graph, op, core, kernels) for op in graph.ops)
    )
    assert found.latency_ms == pytest.approx(found.instructions / 1e5)
    assert 0 < found.relative_error < 1


@pytest.mark.parametrize(("core", "kernels"), SETS)
def test_no_coefficient_is_negative_or_missing(core: str, kernels: str) -> None:
    assert len(LATENCIES.coefficients(core, kernels).instructions) == len(FEATURES)
    assert (LATENCIES.coefficients(core, kernels).instructions >= 0).all()


@given(
    side=st.integers(1, 40),
    channels=st.integers(1, 64),
    width=st.integers(1, 64),
    kernel=st.sampled_from([1, 3, 5]),
)
def test_more_macs_take_longer(side: int, channels: int, width: int, kernel: int) -> None:
    def instructions(graph: Graph) -> float:
        return LATENCIES.estimate(graph, "cortex-m7", "cmsis-nn", 1e6).instructions

    small = instructions(convolution(side, channels, width, kernel))
    assert small < instructions(convolution(side + 1, channels, width, kernel))
    assert small < instructions(convolution(side, channels + 1, width, kernel))
    assert small < instructions(convolution(side, channels, width + 1, kernel))


def test_features_are_counted_as_by_hand() -> None:
    assert features(convolution(4, 8, 2, 1)) == {"conv_1x1_macs": 256, "conv_outputs": 32, "ops": 1}
    assert features(convolution(4, 8, 2, 3)) == {
        "conv_kxk_macs": 2304,
        "conv_kxk_patch_elements": 1152,
        "conv_outputs": 32,
        "ops": 1,
    }


@pytest.mark.parametrize(
    ("op", "shapes", "expected"),
    [
        (
            Op(OpKind.DEPTHWISE_CONV_2D, (0, 1), (2,)),
            [(1, 4, 4, 8), (1, 3, 3, 8), (1, 4, 4, 8)],
            {"depthwise_3x3_macs": 1152, "depthwise_outputs": 128},
        ),
        (
            Op(OpKind.DEPTHWISE_CONV_2D, (0, 1), (2,)),
            [(1, 4, 4, 8), (1, 5, 5, 8), (1, 4, 4, 8)],
            {"depthwise_other_macs": 3200, "depthwise_outputs": 128},
        ),
        (
            Op(OpKind.FULLY_CONNECTED, (0, 1, -1), (2,)),
            [(1, 16), (10, 16), (1, 10)],
            {"fully_connected_macs": 160, "conv_outputs": 10},
        ),
        (
            Op(OpKind.MUL, (0, 1), (2,)),
            [(1, 4, 4, 8), (1, 1, 1, 8), (1, 4, 4, 8)],
            {"broadcast_mul_elements": 128},
        ),
        (Op(OpKind.MUL, (0, 1), (2,)), [(1, 4, 4, 8)] * 3, {"add_elements": 128}),
        (
            Op(OpKind.AVERAGE_POOL_2D, (0,), (1,), window=(4, 4)),
            [(1, 4, 4, 8), (1, 1, 1, 8)],
            {"pooled_elements": 128},
        ),
        (Op(OpKind.MEAN, (0, 1), (2,)), [(1, 4, 4, 8), (2,), (1, 1, 1, 8)], {"mean_elements": 128}),
        (Op(OpKind.SOFTMAX, (0,), (1,)), [(1, 10), (1, 10)], {"other_elements": 10}),
    ],
)
def test_every_kind_has_its_feature(op: Op, shapes: list[tuple[int, ...]], expected: dict[str, int]) -> None:
    graph = Graph(tuple(map(Tensor, shapes)), (op,), (0,), op.outputs)
    assert features(graph) == expected | {"ops": 1}


COUNTED = {(row.model, row.core, row.kernels): row.instructions for row in evidence.measured_arenas()}


@pytest.mark.parametrize("model", sorted({model for model, _, _ in COUNTED}))
def test_stated_errors_are_reproduced(model: str, measured_model: Callable[[str], bytes]) -> None:
    graph = parse_tflite(measured_model(model), model)
    stated = [
        (core, kernels, entry["error_per_model"][model])
        for core, entries in json.loads(COEFFICIENTS_FILE.read_text())["cores"].items()
        for kernels, entry in entries.items()
        if model in entry.get("error_per_model", {})
    ]
    assert len(stated) == (7 if model == "mb_r160_k3_e6_d2_w035" else 9)
    for core, kernels, error in stated:
        counted = COUNTED[model, core, kernels]
        assert counted is not None
        found = LATENCIES.estimate(graph, core, kernels, 1e6).instructions / counted - 1
        assert math.isclose(found, error, abs_tol=2e-4), (model, core, kernels)
        assert abs(found) < 0.06, (model, core, kernels)


AOT_COUNTS = json.loads((Path(__file__).parents[1] / "data" / "aot_instructions.json").read_text())["counts"]


@pytest.mark.parametrize(("core", "kernels"), sorted({(row["core"], row["kernels"]) for row in AOT_COUNTS}))
def test_stated_errors_of_generated_code_are_reproduced(core: str, kernels: str) -> None:
    """Every counted network: estimated from its graph, against what the emulator counted."""
    stated = json.loads(AOT_COEFFICIENTS_FILE.read_text())["cores"][core][kernels]
    rows = [row for row in AOT_COUNTS if (row["core"], row["kernels"]) == (core, kernels)]
    assert len(rows) == len(stated["error_per_model"]) > 10
    for row in rows:
        arch = arch_from_json(row["arch"], "counts")
        space = load_space(row["space"]).model_copy(update={"resolutions": (arch.resolution,)})
        estimated = AOT_LATENCIES.estimate(lower(space, arch), core, kernels, 1e6)
        error = estimated.instructions / row["instructions"] - 1
        assert math.isclose(error, stated["error_per_model"][f"{row['space']} {arch}"], abs_tol=2e-4)
        assert abs(error) <= estimated.relative_error == stated["leave_one_out_largest_error"] < 0.2


@pytest.mark.parametrize("core", core_names())
def test_generated_code_has_an_estimate_on_every_core(core: str) -> None:
    assert (AOT_LATENCIES.coefficients(core, OWN_KERNELS).instructions >= 0).all()


def test_unmeasured_sets_take_another_core_of_the_same_instruction_set() -> None:
    of_m33, of_m7 = (LATENCIES.coefficients(core, "reference") for core in ("cortex-m33", "cortex-m7"))
    assert of_m33.relative_error == of_m7.relative_error
    assert (of_m33.instructions == of_m7.instructions).all()


@pytest.mark.parametrize(
    ("core", "kernels", "named"), [("cortex-m8", "cmsis-nn", "cortex-m7"), ("cortex-m7", "cmsis", "cmsis-nn")]
)
def test_unknown_names_are_refused(core: str, kernels: str, named: str) -> None:
    with pytest.raises(UnknownNameError, match=named):
        LATENCIES.estimate(convolution(4, 8, 2, 1), core, kernels, 1e6)

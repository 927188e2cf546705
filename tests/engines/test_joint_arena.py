"""One arena for several models, held against what TFLM used on cores in QEMU."""

from __future__ import annotations

import csv

import evidence
import pytest

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.engine import ENGINES, load_engine
from mcofa.engines.tflm import account, target
from mcofa.graph import Graph

FOLDER = evidence.own_data() / "tflm_arena"
with (FOLDER / "joint.csv").open(encoding="utf-8", newline="") as table:
    ROWS = list(csv.DictReader(table))


def graphs(*names: str) -> list[Graph]:
    return [parse_tflite((FOLDER / f"{name}.tflite").read_bytes(), name) for name in names]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['core']}-{row['models']}")
def test_a_shared_allocator_takes_what_was_measured(row: dict[str, str]) -> None:
    models, on = graphs(*row["models"].split()), target(row["core"], row["kernels"])
    joint = load_engine("tflm").joint_arena(models, on)
    assert joint.shared_bytes + sum(joint.own_bytes) == int(row["arena_used_bytes"])
    assert joint.arena_bytes == int(row["minimum_arena_bytes"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("core", ["x86-64", "cortex-m7"])
def test_one_model_shares_with_nobody(engine: str, core: str) -> None:
    on = target(core, "reference")
    (graph,) = graphs("mb_r48_k3_e3_d1_w025")
    joint = load_engine(engine).joint_arena([graph], on)
    alone = account(graph, on)
    if engine == "aot":
        assert joint.arena_bytes == plan_aot(graph, on).arena_bytes
    elif core == "x86-64":
        assert (joint.shared_bytes, joint.own_bytes) == (alone.head_bytes, (alone.recording_tail_bytes,))
    else:
        assert (joint.arena_bytes, joint.own_bytes) == (alone.minimum_bytes, (alone.tail_bytes,))


def test_generated_code_keeps_nothing_between_runs() -> None:
    on = target("cortex-m7", "reference")
    models = graphs("mb_r48_k3_e3_d1_w025", "mb_r64_k7_e3_d3_w05")
    joint = load_engine("aot").joint_arena(models, on)
    assert joint.arena_bytes == max(plan_aot(graph, on).arena_bytes for graph in models)
    assert joint.own_bytes == (0, 0)

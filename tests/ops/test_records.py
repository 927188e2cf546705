"""Records of operators against everything that is kept elsewhere by op or by kernel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from random_ops import OPS
from tiny_models import one_op

from export.aot import lowering
from export.tflite.parse import parse_tflite
from mcofa.engines.aot.flash import CONSTANTS_FILE
from mcofa.engines.latency import FEATURES
from mcofa.engines.tflm import kernel_sets, op_memory, target, target_names
from mcofa.files.resources import data_folder
from mcofa.graph import OpKind
from mcofa.ops import KERNELS, LOOKUP, OPERATORS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(6)
NN = data_folder("firmware_templates") / "aot" / "nn"
ASK_FOR_NOTHING = (OpKind.TRANSPOSE_CONV,)
"""Ops that request scratch of 0 bytes, for which TFLM keeps a handle like for any other."""

TARGETS = [target(name, kernels) for name in target_names() for kernels in kernel_sets(name)]


def test_every_kernel_has_a_source_and_every_source_an_op() -> None:
    assert {path.stem for path in NN.glob("*.c")} - {"nn_four"} == set(KERNELS)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=lambda kernel: kernel.name)
def test_sources_are_what_the_record_says(kernel) -> None:
    source = (NN / f"{kernel.name}.c").read_text()
    assert ('"nn_four.h"' in source) == kernel.four_channels
    declaration = next(line for line in (NN / "nn.h").read_text().splitlines() if f" {kernel.name}(" in line)
    assert ("scratch" in declaration) == kernel.takes_scratch


def test_every_struct_is_declared_and_measured() -> None:
    header = (NN / "nn.h").read_text()
    measured = json.loads(CONSTANTS_FILE.read_text())["struct_bytes"]
    for record in OPERATORS.values():
        assert bool(record.aot.struct) == bool(record.aot.kernels)
        if record.aot.struct:
            assert f"}} {record.aot.struct};" in header
            assert record.aot.struct in measured


def test_every_kernel_is_measured_on_every_core() -> None:
    for core, entry in json.loads(CONSTANTS_FILE.read_text())["cores"].items():
        assert set(entry["kernels"]) == set(KERNELS), core
        for kernel in entry["accumulating"]:
            assert f"void {kernel}_add(" in (NN / "nn.h").read_text()


def test_every_op_with_kernels_is_lowered() -> None:
    assert set(lowering._LOWERINGS) == {kind for kind, record in OPERATORS.items() if record.aot.kernels}


@pytest.mark.parametrize("kind", OPERATORS)
def test_rules_hold_together_on_random_models(kind: OpKind) -> None:
    record = OPERATORS[kind]
    for seed in SEEDS:
        data = OPS[kind](np.random.default_rng(seed)) if record.aot.exists else one_op(kind)
        graph = parse_tflite(data, str(kind))
        op = next(op for op in graph.ops if op.kind is kind)
        assert set(record.work(graph, op)) <= set(FEATURES)
        assert record.macs(graph, op) >= 0
        assert [constraint(graph, op) for constraint in record.constraints] == [""] * len(record.constraints)
        for on in TARGETS:
            memory = op_memory(graph, op, on)
            assert all(size > 0 for size in memory.kernel_arrays_bytes)
            assert all(size > 0 or kind in ASK_FOR_NOTHING for size in memory.scratch_bytes)
            if record.aot.choose:
                assert record.aot.choose(graph, op, on) in record.aot.kernels


def test_a_table_runs_int8_only() -> None:
    tables = {kind for kind, record in OPERATORS.items() if record.aot.table}
    assert tables == {
        kind for kind in OPERATORS if OPERATORS[kind].aot.exists and not OPERATORS[kind].aot.kernels
    } | {OpKind.QUANTIZE}
    assert KERNELS[LOOKUP.name] is LOOKUP


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("LEAKY_RELU", {"mcofa/graph.py", "mcofa/ops/activation.py"}),
        ("REDUCE_MAX", {"mcofa/graph.py", "mcofa/ops/reduction.py", "export/aot/lowering.py"}),
    ],
)
def test_an_op_is_named_only_where_contributing_says(name: str, places: set[str]) -> None:
    """Its name, its record and, with a kernel of its own, its lowering; what is measured is data."""
    sources = (path for folder in ("mcofa", "export") for path in (ROOT / folder).rglob("*.py"))
    assert {str(path.relative_to(ROOT)) for path in sources if name in path.read_text()} == places
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(place in page for place in places if place != "mcofa/ops/reduction.py")

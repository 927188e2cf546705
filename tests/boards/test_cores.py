"""Cores: one entry in the table is all that the rest of the program knows of a core."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import evidence
import pytest
from device_projects import MODEL, copied_images, copy_engine

from export.firmware.project import render_firmware
from export.tflite.parse import parse_tflite
from mcofa.boards import Board, board_names, core_named, core_names, families, load_board
from mcofa.cost.arch_cost import cost
from mcofa.engines.aot import flash as aot_flash
from mcofa.engines.tflm import account, default_kernels, kernel_sets, runtime_code, structs, target
from mcofa.engines.tflm.engine import COEFFICIENTS_FILE, LATENCIES
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import FileFormatError, McofaError, UnknownNameError
from mcofa.lowering import lower
from mcofa.ops import OPERATORS
from mcofa.space.search_space import load_space

ROOT = Path(__file__).resolve().parents[2]
OWN_BOARD = ROOT / "tests/data/boards/own_rv32imac.yaml"
SPACE = load_space("mcofa-micro")

# Defaults where no board is asked for.
NAMES_IN_CODE = {"mcofa/cli/report.py", "mcofa/cost/stages.py"}


@pytest.fixture
def own() -> Board:
    return load_board(str(OWN_BOARD))


def string_constants(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_module_knows_a_core_by_name() -> None:
    sources = [path for room in ("mcofa", "export") for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 100
    knowing = {
        str(path.relative_to(ROOT)) for path in sources if set(string_constants(path)) & set(core_names())
    }
    assert knowing <= NAMES_IN_CODE
    templates = list((ROOT / "firmware_templates").rglob("*.jinja"))
    assert not [path for path in templates if any(f'"{name}"' in path.read_text() for name in core_names())]


@pytest.mark.parametrize("name", core_names())
class TestCore:
    """Every entry of the table."""

    def test_what_stands_for_it_was_measured(self, name: str) -> None:
        measured_as = core_named(name).measured_as
        code = json.loads(runtime_code.TABLE_FILE.read_text())["cores"]
        assert set(core_named(name).family.kernels) >= set(measured_as.latency)
        assert set(measured_as.latency) <= set(code[measured_as.tflm_code])
        own_code = json.loads(aot_flash.CONSTANTS_FILE.read_text())["cores"]
        assert set(own_code[measured_as.aot_kernels]["kernels"]) >= {"nn_conv_2d", "nn_softmax"}
        assert own_code[measured_as.aot_firmware]["firmware"] > 1024
        counted = json.loads(COEFFICIENTS_FILE.read_text())["cores"]
        for kernels, core in measured_as.latency.items():
            assert "instructions_per_unit" in counted[core][kernels]

    def test_the_accounting_knows_it(self, name: str) -> None:
        core = core_named(name)
        assert kernel_sets(name) == core.family.kernels
        on = target(name, default_kernels(name))
        assert on.extension == core.extension
        assert structs(on.abi).pointer == 4
        for operator in OPERATORS.values():
            assert operator.tflm.builtin_data.on(on.abi)[0] >= 0

    def test_a_board_with_it_costs_something(self, name: str, own: Board) -> None:
        core = core_named(name)
        fpu = core.fpus[-1]
        flags = (*core.compiler_flags, *([f"-mfpu={fpu}"] if fpu != "none" else []))
        toolchain = dataclasses.replace(own.toolchain, compiler_flags=flags)
        board = dataclasses.replace(own, core=name, fpu=fpu, toolchain=toolchain)
        for engine in ("tflm", "aot"):
            found = cost(SPACE, SPACE.smallest(), board, engine)
            assert min(found.arena_bytes, found.flash_bytes, found.latency.latency_ms) > 0


def test_arm_cores_keep_their_names_and_extensions() -> None:
    arm = {name: core_named(name).extension for name in core_names() if name.startswith("cortex-")}
    assert arm == {
        **dict.fromkeys(("cortex-m0", "cortex-m0plus", "cortex-m3"), "none"),
        **dict.fromkeys(("cortex-m4", "cortex-m7", "cortex-m33"), "dsp"),
        "cortex-m55": "mve",
    }
    assert all(load_board(name).core_facts.not_measured == "" for name in board_names())
    assert {family.emulator for family in families()} == {"qemu-system-arm", "qemu-system-riscv32"}


def test_an_unknown_core_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"core is 'cortex-m99'.*cortex-m0, .*rv32imac"):
        core_named("cortex-m99")


def test_a_riscv_board_is_accounted_for_with_the_sizes_of_its_abi(own: Board) -> None:
    """What differs from an Arm core with the same kernels, op by op and by hand.

    Enums take four bytes: ADD's options have 8 instead of 2 of them, MUL's 4 instead of 1, FULLY_CONNECTED's
    16 instead of 5, and a TfLiteTensor, of which the tail holds one for the input and one for the output,
    40 instead of 32.
    """

    graph = lower(SPACE, SPACE.largest())
    on_riscv, on_arm = account(graph, board_target(own)), account(graph, target("cortex-m3", "reference"))
    assert on_riscv.head_bytes == on_arm.head_bytes
    wider = {"ADD": 8 - 2, "SUB": 8 - 2, "MUL": 4 - 1, "FULLY_CONNECTED": 16 - 5}
    kinds = [str(op.kind) for op in graph.ops]
    options = sum(wider.get(kind, 0) for kind in kinds) + 2 * (40 - 32)
    assert options > 16
    # Rounding to words and to 16 takes up to 3 bytes an op and 15 bytes for the parts that are aligned.
    assert abs(on_riscv.tail_bytes - on_arm.tail_bytes - options) < 3 * len(kinds) + 16


def test_what_was_not_measured_on_riscv_comes_from_the_core_that_is_named(own: Board) -> None:
    graph = lower(SPACE, SPACE.smallest())
    found = LATENCIES.estimate(graph, own.core, own.kernels, own.clock_hz)
    assert found == LATENCIES.estimate(graph, "cortex-m0plus", "reference", own.clock_hz)
    kinds = {op.kind for op in graph.ops}
    code_bytes = runtime_code.runtime_code_bytes(kinds, own.core, own.kernels)
    assert code_bytes == runtime_code.runtime_code_bytes(kinds, "cortex-m0plus", "reference")
    assert "cortex-m0plus" in own.core_facts.not_measured


def test_the_core_that_stands_in_for_riscv_is_close_to_it(measured_model: Callable[[str], bytes]) -> None:
    rows = [row for row in evidence.measured_arenas() if row.core == "rv32imac"]
    assert len(rows) == 3
    for row in rows:
        graph = parse_tflite(measured_model(row.model), row.model)
        assert row.instructions is not None
        estimated = LATENCIES.estimate(graph, row.core, row.kernels, 1e6).instructions
        assert 1.0 < estimated / row.instructions < 1.15, row.model


def test_there_is_no_firmware_without_start_code(own: Board, tmp_path: Path) -> None:
    with pytest.raises(McofaError, match="no start code for core rv32imac of own-rv32 yet"):
        render_firmware(own, copy_engine(), copied_images(own, MODEL), tmp_path / "project")
    assert list(tmp_path.iterdir()) == []


def test_kernels_that_a_core_lacks_are_refused(own: Board) -> None:
    with pytest.raises(UnknownNameError, match="unknown kernel set on rv32imac 'cmsis-nn'; known: reference"):
        own.with_kernels("cmsis-nn")
    with pytest.raises(FileFormatError, match="kernels is 'cmsis-nn'; core rv32imac has reference"):
        Board.from_json({**own.to_json(), "kernels": "cmsis-nn"}, "here")
    start = {"code": "cmsdk"}
    with pytest.raises(FileFormatError, match=r"start\.code is 'cmsdk'; there is none for core rv32imac yet"):
        Board.from_json({**own.to_json(), "start": start}, "here")


def test_the_entry_in_the_guide_is_the_one_in_the_table() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entry = re.search(r'^ +"rv32imac": (\{.*?^       \})$', guide, re.MULTILINE | re.DOTALL)
    assert entry is not None
    table = json.loads((ROOT / "mcofa/boards/cores.json").read_text(encoding="utf-8"))
    assert json.loads(entry[1]) == table["cores"]["rv32imac"]

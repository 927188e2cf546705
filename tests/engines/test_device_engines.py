"""The engines by name, on both sides, and how each is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_projects import cross_tool, need_qemu
from tiny_models import small_network

import export.engines.aot.engine
import export.engines.tflm.engine
from export.engines.aot.engine import emulated_twin
from export.engines.arena_check import ArenaCheck, check_arena, enforce
from export.engines.comparison import Comparison
from export.engines.engine import device_engine
from export.firmware.deployed_file import deployed_file
from export.runtimes.tflm import MeasuredArena
from export.tflite.model_file import ModelFile
from mcofa.boards import board_names, load_board
from mcofa.cli import main
from mcofa.engines.engine import ENGINES, load_engine
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import ArenaCheckError, UnknownNameError

MODEL = ModelFile(small_network(), "model.tflite")
BOARD = load_board("stm32f746")


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_has_both_sides_and_they_agree(name: str) -> None:
    engine = load_engine(name)
    needs = engine.needs(MODEL.graph, BOARD, len(MODEL.data))
    part = device_engine(name).firmware(BOARD, deployed_file(MODEL, BOARD, name))
    assert engine.name == part.name == name
    assert part.model.arena_bytes == needs.arena_bytes
    assert part.flash_bytes <= needs.flash.total_bytes
    shown = engine.timeline(MODEL.graph, board_target(BOARD))
    assert shown.arena_bytes == needs.arena_bytes
    assert engine.latency(MODEL.graph, BOARD).latency_ms > 0


def test_an_unknown_engine_is_refused_with_those_that_are_known() -> None:
    for load in (load_engine, device_engine):
        with pytest.raises(UnknownNameError, match=r"unknown engine 'tvm'; known: tflm, aot"):
            load("tvm")


@pytest.mark.parametrize("name", board_names())
def test_a_twin_has_core_and_kernels_of_the_board(name: str) -> None:
    board = load_board(name)
    twin = emulated_twin(board)
    if board.emulate:
        assert twin == board
    elif twin is not None:
        assert twin.emulate
        assert (twin.core, twin.kernels) == (board.core, board.kernels)


@pytest.mark.emulator
def test_generated_code_is_measured_on_an_emulated_board_of_the_same_core() -> None:
    need_qemu()
    cross_tool("gcc")
    check = check_arena(MODEL, BOARD, "aot")
    arena, flash = check.comparisons
    assert (arena.place, flash.place) == ("mps2-an500", "mps2-an500")
    assert arena.measured_bytes == arena.predicted_bytes == check.arena_bytes
    assert flash.measured_bytes is not None
    assert 0.95 * flash.predicted_bytes <= flash.measured_bytes <= flash.predicted_bytes
    assert (check.not_measured, check.failures()) == ("", [])


def test_without_tools_it_says_that_figures_are_predicted_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL.data)
    assert main(["arena-check", str(path), "--board", "stm32f746", "--engine", "aot"]) == 0
    said = capsys.readouterr().out
    assert (
        "predicted only, not measured: make and arm-none-eabi-gcc and qemu-system-arm not installed" in said
    )


def test_a_core_that_is_not_emulated_is_predicted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.engines.aot.engine, "board_names", lambda: ["stm32f746"])
    check = check_arena(MODEL, BOARD, "aot")
    assert check.not_measured == "no emulated board has a cortex-m7"
    assert check.to_json()["passed"]
    assert all(one.measured_bytes is None for one in check.comparisons)


def checked(measured_bytes: int, arena_bytes: int, *, exact: bool = True) -> ArenaCheck:
    return ArenaCheck(
        *("board", "cortex-m7", "cmsis-nn", "aot"),
        arena_bytes=arena_bytes,
        arena_budget_bytes=1_000,
        model_bytes=10,
        flash_bytes=10,
        flash_budget_bytes=10,
        comparisons=(Comparison("emulated", "arena", 100, measured_bytes, exact=exact, by="it"),),
    )


@pytest.mark.parametrize(
    ("check", "steps"),
    [
        (checked(100, 1_000), None),
        (checked(96, 1_000, exact=False), None),
        (checked(96, 1_000), "report this as a bug of mcofa, with the model"),
        (checked(101, 1_000, exact=False), "report this as a bug of mcofa, with the model"),
        (
            checked(100, 1_001),
            "search again with `mcofa search --board board --engine aot`, or choose a board with more "
            "memory (`mcofa boards`)",
        ),
    ],
)
def test_what_differs_is_to_be_reported_and_what_is_too_large_to_be_searched(
    check: ArenaCheck, steps: str | None
) -> None:
    if steps is None:
        enforce(check)
        return
    with pytest.raises(ArenaCheckError) as refusal:
        enforce(check)
    assert refusal.value.next_step == steps


@pytest.mark.parametrize("words", [["arena", "--measure"], ["arena-check", "--board", "stm32f746"]])
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_wrong_prediction_fails_and_asks_for_a_report(
    words: list[str],
    json: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL.data)
    command = [words[0], str(path), *words[1:], *json]
    assert main(command) == 0
    monkeypatch.setattr(
        export.engines.tflm.engine, "measure", lambda data, name: MeasuredArena(768, 1_968, 2_736)
    )
    capsys.readouterr()
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "tail on x86-64: predicted 1,952 B, TFLM measured 1,968 B" in said
    assert "report this as a bug" in said
    assert "more memory" not in said

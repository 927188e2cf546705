"""The version of TFLM of a run is followed by every command after the search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.engines.tflm import account
from mcofa.engines.tflm.targets import board_target
from mcofa.tflm_versions import load_version

pytestmark = pytest.mark.torch

BOARD, OTHER = "stm32f746", "nrf52840"
OLD = load_version("arduino-2023")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for a version that is not the default one, from a file of the user's own that is gone since."""
    folder = tmp_path_factory.mktemp("runs")
    file = folder / "mine.yaml"
    file.write_text(json.dumps({**OLD.to_json(), "name": "mine"}))
    words = ["search", "--board", BOARD, "--tflm", str(file), "--max-arena-bytes", "40000"]
    assert main([*words, "--out", str(folder / "run")]) == 0
    assert main(["export", str(folder / "run")]) == 0
    file.unlink()
    return folder / "run"


def arena_bytes(run: Path, board: str) -> int:
    graph = parse_tflite((run / "network.tflite").read_bytes(), "network")
    minimum = account(graph, board_target(load_board(board).with_tflm(OLD))).minimum_bytes
    assert minimum is not None
    return minimum


def section(run: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())[name]
    return found


def test_search_and_export_are_for_it(run: Path) -> None:
    assert section(run, "export")["arena_bytes"] == arena_bytes(run, BOARD)
    default = account(
        parse_tflite((run / "network.tflite").read_bytes(), "network"), board_target(load_board(BOARD))
    )
    assert section(run, "export")["arena_bytes"] != default.minimum_bytes


@pytest.mark.parametrize("board", [BOARD, OTHER])
def test_the_arena_check_follows_it(run: Path, board: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On another board, too."""
    assert main(["arena-check", str(run), "--board", board, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["arena_bytes"] == arena_bytes(run, board)
    assert "the arena is that of TFLM mine" in said.err


def test_the_firmware_follows_it(run: Path) -> None:
    assert main(["firmware", str(run)]) == 0
    assert section(run, "firmware")["arena_bytes"] == arena_bytes(run, BOARD)


def test_another_version_is_taken(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The default one, typed, is no longer the run's."""
    assert main(["arena-check", str(run), "--tflm", "90b983c2b3f1", "--json"]) == 0
    graph = parse_tflite((run / "network.tflite").read_bytes(), "network")
    expected = account(graph, board_target(load_board(BOARD))).minimum_bytes
    assert json.loads(capsys.readouterr().out)["arena_bytes"] == expected

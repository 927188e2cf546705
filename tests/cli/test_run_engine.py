"""The engine of a run is followed by every command after the search, unless another is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcofa.cli import main

pytestmark = pytest.mark.torch

BOARD = "stm32f103"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network fits the board with engine aot only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["search", "--board", BOARD, "--engine", "aot", "--out", str(folder)]) == 0
    assert main(["export", str(folder)]) == 0
    return folder


def section(run: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())[name]
    return found


def test_the_export_is_for_the_engine_of_the_search(run: Path) -> None:
    searched, exported = section(run, "search"), section(run, "export")
    assert exported["engine"] == searched["engine"] == "aot"
    assert exported["arena_bytes"] <= searched["predicted"]["arena_bytes"] <= 17_408
    assert exported["offline_plan"] is None


def test_the_arena_check_follows_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena-check", str(run), "--json"]) == 0
    check = json.loads(capsys.readouterr().out)
    assert check["engine"] == "aot"
    assert check["arena_bytes"] == section(run, "export")["arena_bytes"]
    assert check["passed"]
    assert section(run, "arena_check")["engine"] == "aot"


def test_the_firmware_follows_it(run: Path) -> None:
    assert main(["firmware", str(run)]) == 0
    written = section(run, "firmware")
    assert written["engine"] == "aot"
    assert Path(written["folder"]).name == f"{BOARD}-aot"
    assert written["arena_bytes"] == section(run, "export")["arena_bytes"]


@pytest.mark.parametrize("command", ["arena-check", "firmware"])
def test_another_engine_is_taken_openly(run: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With TFLM the same network is too large, which the message must say of TFLM."""
    assert main([command, str(run), "--engine", "tflm"]) == 1
    said = capsys.readouterr().err
    assert f"note: {run} was searched for engine aot; this is for tflm" in said
    assert "exceeds 17,408 B on stm32f103" in said
    assert "--engine tflm" in said


def test_what_the_host_runs_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--images", "2"]) == 0
    assert "note: the host runs the .tflite file; that engine aot answers the same" in capsys.readouterr().err


def test_the_report_shows_the_check_of_that_engine(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena-check", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    assert "arena check, stm32f103" in capsys.readouterr().out

"""The engine of a run is followed by every command after the search, unless another is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm.targets import board_target

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


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose image arrives row by row."""
    folder = tmp_path_factory.mktemp("runs") / "streamed"
    options = ["--board", BOARD, "--engine", "aot", "--stream-input"]
    assert main(["search", *options, "--out", str(folder)]) == 0
    assert main(["export", str(folder)]) == 0
    return folder


def exported_arena_bytes(run: Path, streams_input: bool) -> int:
    graph = parse_tflite((run / "network.tflite").read_bytes(), "network.tflite")
    return plan_aot(graph, board_target(load_board(BOARD)), streams_input).arena_bytes


def test_how_the_image_arrives_stays_with_the_run(streamed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_rows_bytes = exported_arena_bytes(streamed, streams_input=True)
    assert section(streamed, "search")["streams_input"] is True
    assert section(streamed, "search")["predicted"]["arena_bytes"] == by_rows_bytes
    assert [(one["engine"], one["streams_input"]) for one in section(streamed, "search")["arenas"]] == [
        ("aot", False),
        ("aot", True),
    ]
    assert section(streamed, "export")["streams_input"] is True
    for command, name in (("arena-check", "arena_check"), ("firmware", "firmware")):
        assert main([command, str(streamed)]) == 0
        assert section(streamed, name)["streams_input"] is True
        assert section(streamed, name)["arena_bytes"] == by_rows_bytes
    assert "note: " not in capsys.readouterr().err
    assert b"image row by row" in (streamed / "network_model.h").read_bytes()


@pytest.mark.parametrize("command", ["arena-check", "firmware"])
def test_the_image_in_the_arena_is_taken_openly(
    streamed: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(streamed), "--no-stream-input"]) == 0
    said = capsys.readouterr().err
    assert "searched for engine aot, image row by row; this is for aot, image in the arena" in said
    taken = section(streamed, command.replace("-", "_"))
    assert taken["streams_input"] is False
    assert taken["arena_bytes"] == exported_arena_bytes(streamed, streams_input=False)


def test_an_engine_that_takes_the_image_as_a_whole_is_taken_openly(
    streamed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["arena-check", str(streamed), "--engine", "tflm"])
    said = capsys.readouterr().err
    assert "searched for engine aot, image row by row; this is for tflm, image in the arena" in said
    assert section(streamed, "arena_check")["streams_input"] is False


@pytest.mark.parametrize("command", ["arena-check", "firmware", "export"])
def test_a_run_whose_engine_takes_the_image_as_a_whole_refuses_rows(
    run: Path, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(run, tmp_path / "run"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    manifest["search"]["engine"] = "tflm"
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert main([command, str(other), "--stream-input"]) == 1
    said = capsys.readouterr().err
    assert "engine tflm takes the image as a whole, not row by row" in said
    assert "leave out --stream-input" in said


def test_an_earlier_manifest_is_of_an_image_in_the_arena(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(run, tmp_path / "run"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    for name in ("search", "export"):
        assert manifest[name].pop("streams_input") is False
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert main(["arena-check", str(other)]) == 0
    assert "note: " not in capsys.readouterr().err
    assert section(other, "arena_check")["streams_input"] is False


def test_what_the_host_runs_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--images", "2"]) == 0
    assert "note: the host runs the .tflite file; that engine aot answers the same" in capsys.readouterr().err


def test_the_report_shows_the_check_of_that_engine(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena-check", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    assert "arena check, stm32f103" in capsys.readouterr().out

"""What a command works on, a run or a file: a file that is there is a file, a folder is a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import small_network

from mcofa.cli import main


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["model.tflite", "model.TFLITE", "model.Tflite", "model.bin", "model"])
def test_a_file_is_a_model_under_any_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(small_network())
    assert main(["arena-check", name, "--board", "nrf52840", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    assert main(["firmware", name, "--board", "nrf52840", "--engine", "aot", "--out", "project"]) == 0
    assert Path("project/linker.ld").is_file()


@pytest.mark.parametrize("name", ["gone.tflite", "gone.TFLITE"])
@pytest.mark.parametrize("command", ["arena-check", "firmware"])
def test_a_model_that_is_not_there_is_no_run(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--out", "project"] if command == "firmware" else []
    assert main([command, name, "--board", "nrf52840", *more]) == 1
    assert f"error: model not found: {name}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gone", "run.tflite"])
def test_a_folder_is_a_run_and_so_is_a_name_without_suffix(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.tflite").mkdir()
    assert main(["arena-check", name, "--board", "nrf52840"]) == 1
    assert "error: run not found" in capsys.readouterr().err


@pytest.mark.torch
@pytest.mark.parametrize("name", ["gone.safetensors", "gone.SAFETENSORS", "weights"])
def test_a_checkpoint_is_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("weights").write_bytes(b"no checkpoint")
    assert main(["evaluate", name]) == 1
    assert "run not found" not in capsys.readouterr().err

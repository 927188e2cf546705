"""`mcofa firmware` and the JUnit report of `mcofa arena-check`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from device_projects import copy_engine, cross_tool, need_qemu
from tiny_models import small_network

from export.engines.engine import device_engine
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import EMULATED_IMAGES, device_images, image_count
from export.firmware.emulate import BootReport, EmulationError, enforce_report
from export.firmware.engine_part import EnginePart
from export.runtimes import litert
from export.tflite.model_file import ModelFile
from mcofa.boards import Board, load_board
from mcofa.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(small_network())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo's network for the smallest board, searched and exported."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["search", "--board", "stm32f103", "--out", str(folder), "--json"]) == 0
    assert main(["export", str(folder), "--json"]) == 0
    return folder


def test_any_int8_file_becomes_a_project(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    assert main(["firmware", str(model), "--board", "nrf52840", "--out", str(project), "--json"]) == 0
    section = json.loads(capsys.readouterr().out)
    assert (section["engine"], section["board"], section["test_images"]) == ("tflm", "nrf52840", 1)
    assert sorted(section["files"]) == sorted(
        str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()
    )
    header = (project / "src" / "network_model.h").read_text()
    assert f"kArenaBytes = {section['arena_bytes']}," in header


def test_kernels_change_library_and_arena(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arenas = []
    for kernels in ("reference", "cmsis-nn"):
        out = tmp_path / kernels
        words = ["firmware", str(model), "--board", "mps2-an500", "--kernels", kernels, "--out", str(out)]
        assert main([*words, "--json"]) == 0
        arenas.append(json.loads(capsys.readouterr().out)["arena_bytes"])
        assert ("-DCMSIS_NN" in (out / "engine.mk").read_text()) == (kernels == "cmsis-nn")
    assert arenas[0] < arenas[1]


def test_a_file_needs_a_folder(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["firmware", str(model), "--board", "nrf52840"]) == 2
    assert "--out" in capsys.readouterr().err


def test_what_is_too_large_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.tflite").write_bytes(small_network() + bytes(131_072))
    words = ["firmware", str(tmp_path / "model.tflite"), "--board", "stm32f103", "--out", str(tmp_path / "p")]
    assert main(words) == 1
    assert "exceeds 131,072 B on stm32f103" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_board_that_qemu_lacks_is_refused_at_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["firmware", str(model), "--board", "stm32f746", "--out", str(tmp_path / "p"), "--emulate"]
    assert main(words) == 1
    assert "choose an emulated board: microbit," in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_building_without_tflm_names_the_other_engine(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cross_tool("gcc")
    monkeypatch.delenv("TFLM_DIR", raising=False)
    words = ["firmware", str(model), "--board", "mps2-an500", "--out", str(tmp_path / "p"), "--build"]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "set TFLM_DIR to a checkout" in error
    assert "--engine aot" in error


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an500", "mps3-an547", "netduinoplus2"])
def test_a_searched_network_runs_as_predicted(
    board: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_qemu()
    cross_tool("gcc")
    capsys.readouterr()
    words = ["firmware", str(run), "--board", board, "--engine", "aot"]
    assert main([*words, "--emulate", "--json"]) == 0
    section = json.loads(capsys.readouterr().out)
    emulated, linked = section["emulated"], section["linked"]
    assert emulated["images_equal_to_host"] == EMULATED_IMAGES
    assert emulated["arena_touched_bytes"] == section["arena_bytes"]
    predicted_bytes = linked["flash_predicted_bytes"]
    assert 0.95 * predicted_bytes <= linked["flash_bytes"] <= predicted_bytes


@pytest.mark.emulator
def test_generated_code_runs_in_the_emulator(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_qemu()
    cross_tool("gcc")
    words = ["firmware", str(model), "--board", "mps2-an500", "--engine", "aot"]
    assert main([*words, "--out", str(tmp_path / "p"), "--emulate", "--json"]) == 0
    section = json.loads(capsys.readouterr().out)
    emulated, linked = section["emulated"], section["linked"]
    assert emulated["images_equal_to_host"] == EMULATED_IMAGES
    assert emulated["arena_touched_bytes"] == section["arena_bytes"]
    assert emulated["instructions"] == 40 * emulated["cycles"] > 10_000
    assert linked["ram_bytes"] <= linked["ram_predicted_bytes"]


def engine_part(name: str, model: Path, board: Board) -> EnginePart:
    file = ModelFile(model.read_bytes(), str(model))
    return device_engine(name).firmware(board, deployed_file(file, board, name))


def test_images_are_as_many_as_fit(model: Path) -> None:
    board = load_board("netduinoplus2")
    small = engine_part("tflm", model, board)
    assert image_count(small, board) == EMULATED_IMAGES
    assert image_count(small, load_board("stm32f746")) == 1
    images = device_images(small, board)
    (inputs,), (outputs,) = images.inputs, images.outputs
    assert np.array_equal(outputs[:, 0], litert.invoke(small.model.data, inputs[:, 0]))
    assert len(np.unique(inputs)) == 256
    assert np.array_equal(inputs, device_images(small, board).inputs[0])


REPORT = BootReport(
    model_sha256=copy_engine().model.file.sha256,
    engine="copy",
    board="mps2-an500",
    arena_reserved_bytes=1_024,
    arena_touched_bytes=1_024,
    arena_guards_intact=True,
    arena_used_bytes=1_000,
    arena_used_predicted_bytes=1_000,
    stack_reserved_bytes=4_096,
    stack_used_bytes=100,
    counter="systick",
    cycles=7,
    images=50,
    images_equal_to_host=50,
    top1=0,
    label="",
    passed=True,
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_sha256": "1" * 64}, "it runs the model 111111111111, not "),
        ({"images_equal_to_host": 48}, "2 of 50 images get other output bytes"),
        ({"arena_touched_bytes": 512}, "touches 512 B of an arena of 1,024 B"),
        ({"arena_used_bytes": 999}, "uses 999 B of arena, not the predicted 1,000 B"),
        ({"arena_guards_intact": False}, "wrote beside the arena"),
        ({"passed": False}, "it says so"),
    ],
)
def test_every_failure_has_its_sentence(changes: dict[str, object], sentence: str) -> None:
    enforce_report(REPORT, copy_engine())
    with pytest.raises(EmulationError, match=sentence):
        enforce_report(BootReport(**(REPORT.to_json() | changes)), copy_engine())


@pytest.mark.parametrize(("board", "failures"), [("nrf52840", 0), ("stm32f103", 1)])
def test_junit_report(tmp_path: Path, board: str, failures: int) -> None:
    path, report = tmp_path / "model.tflite", tmp_path / "report.xml"
    path.write_bytes(small_network() + bytes(131_072 * (board == "stm32f103")))
    assert main(["arena-check", str(path), "--board", board, "--junit", str(report)]) == bool(failures)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("4", str(failures))
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == [f"flash fits {board}"] * failures

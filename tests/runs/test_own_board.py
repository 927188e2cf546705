"""A board file of one's own goes with the run: no command needs the file again, or takes another board."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from board_files import own_board

from mcofa.boards import Board, load_board
from mcofa.cli import main
from mcofa.errors import FileFormatError, RunError, UnknownNameError
from mcofa.runs.checked_manifest import typed_section
from mcofa.runs.manifest import SearchSection
from mcofa.runs.recorded import differing_keys
from mcofa.runs.run import Run

RAM_BYTES = 49_152
NAMES = ["mine", "stm32f103"]
"""A name of its own, and the name of a board that comes with mcofa and has 20,480 B of RAM."""


@dataclasses.dataclass(frozen=True)
class Searched:
    run: Run
    board: Board


@pytest.fixture(scope="module", params=NAMES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A run that was searched for a board file, which then was deleted, and exported."""
    folder = tmp_path_factory.mktemp("own")
    path = own_board(folder / "file.yaml", request.param, RAM_BYTES)
    board = load_board(str(path))
    run = Run(folder / "run")
    assert main(["search", "--board", str(path), "--time-limit", "1", "--out", str(run.folder)]) == 0
    path.unlink()
    assert main(["export", str(run.folder)]) == 0
    return Searched(run, board)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_run_gives_back_the_board_that_was_searched_for(exported: Searched) -> None:
    assert exported.run.board == exported.board
    assert exported.run.board.arena_budget_bytes > 2 * load_board("stm32f103").arena_budget_bytes
    assert exported.run.search.budget.arena_bytes == exported.board.arena_budget_bytes


def test_every_command_takes_it_elsewhere(
    exported: Searched, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(exported.run.folder, elsewhere / "moved"))
    for named in ([], ["--board", exported.board.name]):
        check = answer(capsys, "arena-check", run, *named)
        assert check["arena_budget_bytes"] == exported.board.arena_budget_bytes
        assert check["flash_budget_bytes"] == exported.board.flash_budget_bytes
    for number, engine in enumerate(["tflm", "aot"]):
        project = elsewhere / str(number)
        answer(capsys, "firmware", run, "--engine", engine, "--out", project)
        assert (run / Run(run).section("firmware")["folder"]).samefile(project)
        assert not Path(Run(run).section("firmware")["folder"]).is_absolute()
        assert f"LENGTH = {RAM_BYTES}" in (project / "linker.ld").read_text()
    assert answer(capsys, "report", run)["search"]["board"] == exported.board.name
    assert "Not drawn" not in (run / "report.html").read_text()


def test_another_board_is_taken_when_it_is_named(
    exported: Searched, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(exported.run.folder, elsewhere / "moved"))
    file = own_board(elsewhere / "small.yaml", exported.board.name, 40_960)
    for name in ("nrf52840", str(file)):
        budget_bytes = answer(capsys, "arena-check", run, "--board", name)["arena_budget_bytes"]
        assert budget_bytes == load_board(name).arena_budget_bytes != exported.board.arena_budget_bytes
    assert main(["arena-check", str(run), "--board", "nosuch"]) == 1
    assert "unknown board 'nosuch'" in capsys.readouterr().err


def test_a_shipped_name_with_other_contents_is_said(
    exported: Searched, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(exported.run.folder, elsewhere / "moved"))
    said = exported.board.name == "stm32f103"
    file = own_board(elsewhere / "file.yaml", exported.board.name, RAM_BYTES)
    for words in (
        ["search", "--board", str(file), "--time-limit", "1", "--out", str(elsewhere / "new")],
        ["export", str(run), "--checkpoint", "nosuch"],
        ["arena-check", str(run)],
        ["firmware", str(run), "--out", str(elsewhere / "project")],
    ):
        capsys.readouterr()
        main(words)
        note = "the board stm32f103 is not the one of that name that comes with mcofa; they differ in mem"
        assert (note in capsys.readouterr().err) == said


def test_only_what_differs_is_named(tmp_path: Path) -> None:
    shipped = load_board("nrf52840")
    assert differing_keys(shipped) == ()
    assert differing_keys(dataclasses.replace(shipped, kernels="reference")) == ()
    assert differing_keys(dataclasses.replace(shipped, name="mine", clock_hz=1)) == ()
    assert differing_keys(dataclasses.replace(shipped, clock_hz=1, title="T")) == ("title", "clock_hz")


@pytest.mark.parametrize("board", ["stm32f746", "file"])
@pytest.mark.parametrize("kernels", ["reference", "cmsis-nn"])
def test_the_kernels_are_those_of_the_search(board: str, kernels: str, tmp_path: Path) -> None:
    if board == "file":
        board = str(own_board(tmp_path / "file.yaml", "mine", RAM_BYTES, kernels="reference"))
    words = ["search", "--board", board, "--kernels", kernels, "--time-limit", "0.5"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    wanted = dataclasses.replace(load_board(board), kernels=kernels)  # type: ignore[arg-type]
    assert Run(tmp_path / "run").board == wanted


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("searched")
    assert main(["search", "--board", "nrf52840", "--time-limit", "0.5", "--out", str(folder)]) == 0
    return Run(folder).section("search")


def recorded(folder: Path, searched: dict[str, Any], **changes: Any) -> Run:
    run = Run(folder)
    run.record("search", {key: value for key, value in (searched | changes).items() if value != "left out"})
    return run


def test_earlier_runs_name_a_board_that_comes_with_mcofa(searched: dict[str, Any], tmp_path: Path) -> None:
    run = recorded(tmp_path, searched, board_definition="left out", kernels="reference")
    assert run.board == dataclasses.replace(load_board("nrf52840"), kernels="reference")
    for board, core in (("mine", "cortex-m4"), ("nrf52840", "cortex-m7")):
        run = recorded(tmp_path, searched, board=board, core=core, board_definition="left out")
        with pytest.raises(FileFormatError, match=rf"the board {board} \({core}\) that was searched"):
            _ = run.board


def test_what_contradicts_itself_is_refused(searched: dict[str, Any], tmp_path: Path) -> None:
    other = load_board("stm32f746").to_json()
    broken = {**searched["board_definition"], "clock_hz": 0}
    for changes, words in (
        ({"board_definition": other}, r"board_definition is of stm32f746 .* the search of nrf52840"),
        ({"kernels": "reference"}, "board_definition is of nrf52840"),
        ({"kernels": None, "board_definition": None}, "needs core, kernels and engine"),
        ({"board_definition": broken}, r"search\.board_definition: clock_hz is 0; it must be at least 1"),
        ({"board_definition": "nrf52840"}, r"search\.board_definition"),
    ):
        with pytest.raises(FileFormatError, match=words) as refusal:
            _ = recorded(tmp_path, searched, **changes).board
        assert refusal.value.next_step == "run `mcofa search` again"


def test_a_run_without_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path / "run")
    words = ["search", "--max-peak-items", "20000", "--time-limit", "0.5", "--out", str(run.folder)]
    assert main(words) == 0
    with pytest.raises(RunError, match="was searched without a board"):
        _ = run.board
    assert run.board_or("nrf52840") == load_board("nrf52840")
    with pytest.raises(UnknownNameError):
        run.board_or("mine")
    assert main(["export", str(run.folder)]) == 1
    assert "was searched without a board" in capsys.readouterr().err


def test_a_file_has_no_board_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tflite").write_bytes(b"TFL3")
    for words in (["arena-check"], ["firmware", "--out", str(tmp_path / "p")]):
        assert main([words[0], str(tmp_path / "x.tflite"), *words[1:]]) == 2
        assert "add --board" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nrf52840", "nano33ble", "mps3-an547", "rp2040"])
def test_a_board_survives_the_manifest(name: str) -> None:
    document = json.loads(json.dumps(load_board(name).to_json()))
    section = {
        "space": "s", "space_fingerprint": "0", "arch": {}, "board": name, "board_definition": document,
        "core": document["core"], "kernels": document["kernels"], "engine": "aot",
    }  # fmt: skip
    read = typed_section("search", section, Path("m"))
    assert isinstance(read, SearchSection)
    assert read.board_definition == load_board(name)

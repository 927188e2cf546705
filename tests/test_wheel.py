"""The wheel, installed alone elsewhere, finds its data and searches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from board_files import own_board

pytestmark = pytest.mark.slow


def run(command: list[str | Path], folder: Path, python_path: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repo_root], folder)
    (wheel,) = folder.glob("mcofa-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` folder of a new environment that holds the wheel and its core dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run([programs / "python", "-m", "pip", "install", "--quiet", wheel], folder)
    return programs


def mcofa_json(programs: Path, folder: Path, *words: str) -> Any:
    return json.loads(run([programs / "mcofa", *words, "--json"], folder))


def test_runs_from_the_installed_package_without_torch(installed: Path, tmp_path: Path) -> None:
    script = "import importlib.util, mcofa; print(mcofa.__file__, importlib.util.find_spec('torch'))"
    path, torch = run([installed / "python", "-c", script], tmp_path).split()
    assert Path(path).is_relative_to(installed.parent)
    assert torch == "None"


def test_lists_the_boards(installed: Path, tmp_path: Path, repo_root: Path) -> None:
    listed = json.dumps(mcofa_json(installed, tmp_path, "boards"))
    names = [path.stem for path in (repo_root / "boards").glob("*.yaml")]
    assert names
    assert all(f'"{name}"' in listed for name in names)


def test_searches(installed: Path, tmp_path: Path) -> None:
    found = mcofa_json(installed, tmp_path, "search", "--board", "stm32f746", "--out", "run")
    assert found["board"] == "stm32f746"
    assert (tmp_path / "run" / "manifest.json").is_file()


@pytest.mark.parametrize("name", ["boards", "configs", "firmware_templates", "zoo"])
def test_carries_its_data_whole(installed: Path, tmp_path: Path, repo_root: Path, name: str) -> None:
    script = f"from mcofa.files.resources import data_folder; print(data_folder({name!r}))"
    folder = Path(run([installed / "python", "-c", script], tmp_path).strip())
    tracked = run(["git", "ls-files", name], repo_root).split()
    if not tracked:
        pytest.skip("not in a git checkout")
    assert [path for path in tracked if not (folder.parent / path).is_file()] == []


RAM_BYTES = 49_152


def searched_for_own_board(folder: Path, name: str, search: Callable[..., Any]) -> None:
    """Search in folder/here for a board file that is gone afterwards."""
    (folder / "here").mkdir()
    board = own_board(folder / "here" / "file.yaml", name, RAM_BYTES)
    search(folder / "here", "search", "--board", "file.yaml", "--time-limit", "1", "--out", "run")
    board.unlink()


@pytest.mark.parametrize("name", ["mine", "stm32f103"])
@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_a_board_file_of_ones_own(name: str, engine: str, installed: Path, tmp_path: Path) -> None:
    def mcofa(folder: Path, *words: str) -> Any:
        more = ["--engine", engine] if words[0] == "search" else []
        return mcofa_json(installed, folder, *words, *more)

    searched_for_own_board(tmp_path, name, mcofa)
    (tmp_path / "there").mkdir()
    reported = mcofa(tmp_path / "there", "report", "../here/run")
    assert (reported["search"]["board"], reported["search"]["engine"]) == (name, engine)
    assert RAM_BYTES // 2 < reported["search"]["budget"]["arena_bytes"] < RAM_BYTES
    assert "Not drawn" not in (tmp_path / "here" / "run" / "report.html").read_text()


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel's contents, to stand before the checkout on the path of this environment."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.mark.torch
@pytest.mark.parametrize("name", ["mine", "stm32f103"])
@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_from_a_board_file_to_firmware(name: str, engine: str, unpacked: Path, tmp_path: Path) -> None:
    """With what the extras need, which this environment has."""
    program = "import sys; from mcofa.cli import main; sys.exit(main())"

    def mcofa(folder: Path, *words: str) -> Any:
        more = ["--engine", engine] if words[0] == "search" else []
        command = [sys.executable, "-P", "-c", program, *words, *more, "--json"]
        return json.loads(run(command, folder, unpacked))

    where = run([sys.executable, "-P", "-c", "import export; print(export.__file__)"], tmp_path, unpacked)
    assert Path(where.strip()).is_relative_to(unpacked)
    searched_for_own_board(tmp_path, name, mcofa)
    there = tmp_path / "there"
    there.mkdir()
    exported = mcofa(there, "export", "../here/run")
    check = mcofa(there, "arena-check", "../here/run")
    assert check["board"] == name
    assert RAM_BYTES // 2 < check["arena_budget_bytes"] < RAM_BYTES
    assert check["arena_bytes"] == exported["arena_bytes"] <= check["arena_budget_bytes"]
    project = mcofa(there, "firmware", "../here/run", "--out", "project")
    assert (project["board"], project["engine"]) == (name, engine)
    assert f"LENGTH = {RAM_BYTES}" in (there / "project" / "linker.ld").read_text()

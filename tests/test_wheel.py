"""The wheel, installed alone elsewhere, finds its data and searches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from board_files import own_board

pytestmark = pytest.mark.slow


def run(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` folder of a new environment that holds the wheel and its core dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repo_root]
    run(build, folder)
    (wheel,) = folder.glob("mcofa-*.whl")
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


@pytest.mark.parametrize("name", ["mine", "stm32f103"])
@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_a_board_file_of_ones_own(name: str, engine: str, installed: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    board = own_board(here / "file.yaml", name, RAM_BYTES)
    words = ("--board", "file.yaml", "--engine", engine, "--time-limit", "1")
    mcofa_json(installed, here, "search", *words, "--out", "run")
    board.unlink()
    reported = mcofa_json(installed, there, "report", "../here/run")
    assert (reported["search"]["board"], reported["search"]["engine"]) == (name, engine)
    assert RAM_BYTES // 2 < reported["search"]["budget"]["arena_bytes"] < RAM_BYTES
    assert "Not drawn" not in (here / "run" / "report.html").read_text()

"""mcofa as its wheel lays it out, with a board file of one's own, far from any checkout: the whole chain."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clean_environment import clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.torch]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    return clean_environment(tmp_path_factory.mktemp("wheel"), repo_root, {"export"})


def mcofa(programs: Path, folder: Path, *words: str) -> Any:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [programs / "mcofa", *words, "--json"],
        cwd=folder,
        env={**variables, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout)


@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_a_board_of_ones_own_from_search_to_firmware(
    engine: str, programs: Path, repo_root: Path, tmp_path: Path
) -> None:
    shipped = (repo_root / "boards" / "stm32f746.yaml").read_text(encoding="utf-8")
    board = tmp_path / "boards of mine" / "one.yaml"
    board.parent.mkdir()
    board.write_text(shipped.replace("name: stm32f746", "name: mine"), encoding="utf-8")
    words = ("--board", str(board), "--engine", engine, "--max-arena-bytes", "20000")
    searched = mcofa(programs, tmp_path, "search", *words, "--out", "run")
    assert (searched["board"], searched["engine"]) == ("mine", engine)
    board.unlink()
    exported = mcofa(programs, tmp_path, "export", "run")
    assert exported["arena_bytes"] <= searched["predicted"]["arena_bytes"]
    check = mcofa(programs, tmp_path, "arena-check", "run")
    assert (check["board"], check["engine"], check["passed"]) == ("mine", engine, True)
    project = mcofa(programs, tmp_path, "firmware", "run")
    assert (project["board"], project["engine"]) == ("mine", engine)
    assert project["arena_bytes"] == exported["arena_bytes"]
    assert (tmp_path / project["folder"] / "linker.ld").is_file()
    assert "mine" in mcofa(programs, tmp_path, "report", "run")["search"]["board"]

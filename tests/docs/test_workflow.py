"""The workflow that docs/ci.md ships: its steps run in an environment that holds what it installs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from clean_environment import clean_environment
from packaging.requirements import Requirement
from tiny_models import small_network

from mcofa.boards import load_board

FILE = Path(__file__).resolve().parents[2] / "docs" / "memory-workflow.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = [step for step in WORKFLOW["jobs"]["memory"]["steps"] if "run" in step]
INSTALLED = Requirement(WORKFLOW["env"]["MCOFA"])


def step(word: str) -> str:
    (found,) = (each["run"] for each in STEPS if word in each["run"])
    return str(found)


@pytest.fixture
def workplace(tmp_path: Path, repo_root: Path) -> dict[str, str]:
    """The variables of a workplace with a model, in whose environment only the workflow's extras are."""
    programs = clean_environment(tmp_path / "environment", repo_root, set(INSTALLED.extras))
    (tmp_path / WORKFLOW["env"]["MODEL"]).write_bytes(small_network())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    return {**kept, **WORKFLOW["env"], "PATH": f"{programs}:{os.environ['PATH']}"}


def run(words: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub runs one with ``shell: bash``."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", words],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_it_installs_mcofa_from_where_it_lives() -> None:
    assert step("pip install") == 'pip install "$MCOFA"'
    assert INSTALLED.name == "mcofa"
    assert "memory-workflow.yml" in (FILE.parent / "ci.md").read_text()


def test_it_installs_the_compiler_and_the_emulator_of_its_board() -> None:
    family = load_board(WORKFLOW["env"]["EMULATED"]).core_facts.family
    installed = step("apt-get install").split()
    assert {*family.toolchain_packages, family.emulator_package} <= set(installed)
    assert load_board(WORKFLOW["env"]["EMULATED"]).core == load_board(WORKFLOW["env"]["BOARD"]).core


@pytest.mark.slow
@pytest.mark.emulator
def test_its_checks_pass(tmp_path: Path, workplace: dict[str, str]) -> None:
    for word in ("arena-check", "firmware"):
        done = run(step(word), tmp_path, workplace)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.glob("arena.*")} == {"arena.json", "arena.xml"}


@pytest.mark.slow
def test_a_check_that_fails_ends_it(tmp_path: Path, workplace: dict[str, str]) -> None:
    (tmp_path / WORKFLOW["env"]["MODEL"]).write_bytes(b"no model")
    done = run(step("arena-check"), tmp_path, workplace)
    assert done.returncode == 1
    assert "error: " in done.stderr


@pytest.mark.slow
@pytest.mark.emulator
def test_without_an_extra_the_error_says_what_pip_installs(tmp_path: Path, repo_root: Path) -> None:
    programs = clean_environment(tmp_path / "environment", repo_root, set())
    (tmp_path / "model.tflite").write_bytes(small_network())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = f"{programs / 'mcofa'} arena-check model.tflite --board nrf52840"
    done = run(words, tmp_path, kept)
    assert done.returncode == 1
    assert re.search(
        r"the Python package \S+ is not installed\n  next: pip install 'mcofa\[.*export", done.stderr
    )

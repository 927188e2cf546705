"""What a command imports: `--help` and the search must stay light."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mcofa.cli import cli
from mcofa.engines.engine import ENGINES

HEAVY = {
    "ai_edge_litert",
    "keras",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "safetensors",
    "sklearn",
    "tensorflow",
    "tflite_micro",
    "torch",
    "torchvision",
}

NOT_FOR_A_SEARCH = {"mcofa.draw", "mcofa.report", "mcofa.runs.checked_manifest", "mcofa.runs.manifest"}
"""A search records one arch: it reads no manifest, and draws nothing unless a front is asked for."""

# Runs the command as the console script would, then lists the modules it left behind.
PROBE = """
import json, pathlib, sys
report = pathlib.Path(sys.argv.pop(1))
sys.argv[0] = "mcofa"
from mcofa.cli import main
try:
    status = main()
except SystemExit as stop:
    status = stop.code
report.write_text(json.dumps(sorted(sys.modules)))
sys.exit(status)
"""


def command_lines(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    subcommands = command.commands if isinstance(command, click.Group) else {}
    below = [line for name, child in subcommands.items() for line in command_lines(child, (*words, name))]
    return [words, *below]


def imported_by(words: tuple[str, ...], folder: Path) -> set[str]:
    report = folder / "modules.json"
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(report), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(report.read_text()))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("words", command_lines(cli), ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    assert not packages(imported_by((*words, "--help"), tmp_path)) & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "words",
    [("boards", "--json"), ("search", "--board", "stm32f746", "--json", "--out", "run")],
    ids=["boards", "search"],
)
def test_search_and_boards_need_no_framework(words: tuple[str, ...], tmp_path: Path) -> None:
    imported = packages(imported_by(words, tmp_path))
    assert "mcofa" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("engine", ENGINES)
def test_search_enters_no_room_that_it_does_not_need(engine: str, tmp_path: Path) -> None:
    assert all(map(importlib.util.find_spec, NOT_FOR_A_SEARCH))
    words = ("search", "--board", "stm32f746", "--engine", engine, "--time-limit", "0.5")
    assert not imported_by(words, tmp_path) & NOT_FOR_A_SEARCH

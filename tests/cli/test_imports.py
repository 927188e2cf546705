"""What a command imports: `--help` and the search must stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mcofa.cli import cli

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

# Runs the command as the console script would, then lists the top-level modules it left behind.
PROBE = """
import json, pathlib, sys
report = pathlib.Path(sys.argv.pop(1))
sys.argv[0] = "mcofa"
from mcofa.cli import main
try:
    status = main()
except SystemExit as stop:
    status = stop.code
report.write_text(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
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


@pytest.mark.parametrize("words", command_lines(cli), ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    assert not imported_by((*words, "--help"), tmp_path) & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "words",
    [("boards", "--json"), ("search", "--board", "stm32f746", "--json", "--out", "run")],
    ids=["boards", "search"],
)
def test_search_and_boards_need_no_framework(words: tuple[str, ...], tmp_path: Path) -> None:
    imported = imported_by(words, tmp_path)
    assert "mcofa" in imported
    assert not imported & HEAVY

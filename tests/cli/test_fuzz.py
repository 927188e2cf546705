"""Damaged files of every kind, given to the command line; benchmarks/fuzz.py tries many more."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytestmark = pytest.mark.torch

INPUTS = 400


@pytest.fixture
def fuzzing(monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> Any:
    monkeypatch.syspath_prepend(str(repo_root / "benchmarks"))
    return importlib.import_module("fuzzing.campaign")


def test_every_input_gets_one_answer(fuzzing: Any, tmp_path: Path) -> None:
    campaign = fuzzing.Campaign(tmp_path, seed=1)
    assert list(campaign.run(range(INPUTS))) == []
    exits = [tally.exits for tally in campaign.tallies.values()]
    assert sum(counter.total() for counter in exits) == INPUTS
    assert sum(counter[0] for counter in exits) > INPUTS / 20
    assert sum(counter[1] for counter in exits) > INPUTS / 2


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("raise ZeroDivisionError", "ZeroDivisionError in"),
        ("raise SystemExit(3)", "SystemExit in"),
        ("return 7", "exit code 7"),
        ("return 1", "0 error messages with exit code 1"),
        ("print('error: a\\nerror: b', file=sys.stderr); return 1", "2 error messages"),
        ("print('NaN'); return 0", "stdout is not one JSON document"),
        ("print('{} {}'); return 0", "stdout is not one JSON document"),
        ("import warnings; warnings.warn('overflow', RuntimeWarning)", "RuntimeWarning in"),
        ("open('../elsewhere', 'w').close(); print('{}'); return 0", "touches open"),
        ("os.system('true'); print('{}'); return 0", "touches os.system"),
        ("import time; time.sleep(60)", "hangs for more than"),
        ("while True: pass", "hangs for more than"),
        ("print('{}'); return 0", ""),
        ("print('error: no', file=sys.stderr); return 1", ""),
    ],
)
def test_the_sandbox_sees_what_must_not_be(
    said: str, problem: str, fuzzing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = importlib.import_module("fuzzing.sandbox")
    namespace: dict[str, Any] = {}
    body = "\n    ".join(said.split("; "))
    exec(f"import os, sys\ndef main(arguments):\n    {body}", namespace)
    monkeypatch.setattr(sandbox, "main", namespace["main"])
    folder = tmp_path / "input"
    folder.mkdir()
    outcome = sandbox.Sandbox(folder, seconds=0.1).run(["boards", "--json"])
    assert outcome.problem.startswith(problem) if problem else outcome.problem == ""


def test_an_input_is_the_same_each_time_and_damaged(fuzzing: Any) -> None:
    mutate = importlib.import_module("fuzzing.mutate")
    document = {"a": 1, "b": ["x", {"c": 2.5}], "d": "text"}
    made = [
        mutate.json_text(Random(seed), mutate.mutated_document(Random(seed), document)) for seed in range(300)
    ]
    assert made == [
        mutate.json_text(Random(seed), mutate.mutated_document(Random(seed), document)) for seed in range(300)
    ]
    assert sum(text != json.dumps(document).encode() for text in made) > 250
    assert len(set(made)) > 150

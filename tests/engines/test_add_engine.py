"""An engine is one folder and one line: ``added/keepall`` is searched for, costed, recorded and reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_models import small_network

from export.tflite.parse import parse_tflite

ADDED = Path(__file__).parent / "added"
# What the folder and the line of ``ENGINES`` would do.
REGISTERED = f"""
import sys
import mcofa.engines
from mcofa.engines.engine import ENGINES
mcofa.engines.__path__.append({str(ADDED)!r})
ENGINES["keepall"] = "memory for each tensor"
from mcofa.cli import main
sys.exit(main(sys.argv[1:]))
"""


def mcofa(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REGISTERED, *map(str, arguments)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def document(*arguments: object, folder: Path) -> Any:
    done = mcofa(*arguments, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("added")
    limits = ("--max-arena-bytes", 60_000, "--time-limit", 2)
    document("search", "--board", "stm32f746", "--engine", "keepall", *limits, "--out", "run", folder=folder)
    return folder / "run"


def test_the_search_keeps_to_the_arena_of_the_added_engine(run: Path) -> None:
    """Counted by hand for what was chosen: each tensor that is written, and the image."""
    from mcofa.lowering import lower
    from mcofa.space.arch import arch_from_json
    from mcofa.space.search_space import load_space

    searched = json.loads((run / "manifest.json").read_text())["search"]
    assert searched["engine"] == "keepall"
    graph = lower(load_space("mcofa-micro"), arch_from_json(searched["arch"], "run"))
    tensors = [t for i, t in enumerate(graph.tensors) if not t.constant and i not in graph.inputs]
    by_hand = sum(-(-tensor.bytes // 16) * 16 for tensor in (*tensors, graph.tensors[graph.inputs[0]]))
    assert searched["predicted"]["arena_bytes"] == by_hand <= 60_000


def test_cost_and_report_follow(run: Path) -> None:
    searched = json.loads((run / "manifest.json").read_text())["search"]
    (run.parent / "arch.json").write_text(json.dumps(searched["arch"]))
    options = ("--arch", "arch.json", "--board", "stm32f746", "--engine", "keepall")
    cost = document("cost", "--space", "mcofa-micro", *options, folder=run.parent)
    assert cost["arena_bytes"] == searched["predicted"]["arena_bytes"]
    assert cost["flash_bytes"] == cost["model_bytes"] + 4_096
    document("report", "run", folder=run.parent)
    page = (run / "report.html").read_text()
    assert f"keepall: {cost['arena_bytes']:,} B" in page
    assert "Arena: each tensor. Flash: model and a little more." in page


def test_its_arena_is_shown_for_any_model(run: Path) -> None:
    (run.parent / "model.tflite").write_bytes(small_network())
    found = document("arena", "model.tflite", "--engine", "keepall", folder=run.parent)
    graph = parse_tflite(small_network(), "model")
    by_hand = sum(-(-tensor.bytes // 16) * 16 for tensor in graph.tensors if not tensor.constant)
    assert (found["engine"], found["arena_bytes"]) == ("keepall", by_hand)


def test_spaces_are_designed_for_it(run: Path) -> None:
    """All that is kept adds up: stem, stages, head and the image, in the largest subnet."""
    images = ("--data-shape", "28x28x1", "--classes", "10")
    where = ("--board", "stm32f746", "--engine", "keepall")
    made = document("design-space", *images, *where, "--out", "made.yaml", folder=run.parent)
    shown = document("spaces", "show", "made.yaml", *where, folder=run.parent)
    parts = {row["name"]: row["persistent"] for row in shown["stage_memory"]["rows"]}
    assert sum(parts.values()) + 28 * 28 == made["largest"]["arena_bytes"]
    assert [parts[f"stage {n}"] for n in (1, 2, 3)] == [stage["arena_bytes"] for stage in made["stages"]]


def test_it_is_among_the_engines_that_help_and_errors_name(run: Path) -> None:
    assert "[tflm|aot|keepall]" in mcofa("search", "--help", folder=run.parent).stdout
    refused = mcofa("search", "--engine", "other", folder=run.parent)
    assert refused.returncode == 2
    assert "keepall" in refused.stderr

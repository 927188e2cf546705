"""docs/api.md: its session runs as it stands, and its public names are there and documented."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_models import small_network

import mcofa.search

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", PAGE, re.MULTILINE)
NAMES = [(module, name) for module, text in ROWS for name in re.findall(r"`(\w+)`", text)]


def test_the_session_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.tflite").write_bytes(small_network())
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 9
    session: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), session)
    assert Path("run/manifest.json").is_file()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_public_names_are_there_and_say_what_they_are(module: str, name: str) -> None:
    named = getattr(importlib.import_module(module), name, None)
    assert named is not None
    assert inspect.getdoc(named)


def test_all_that_the_search_offers_is_on_the_page() -> None:
    listed = {name for module, name in NAMES if module == "mcofa.search"}
    assert listed >= set(mcofa.search.__all__)

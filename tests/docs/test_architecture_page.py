"""docs/architecture.md shows the rooms that there are, in the order that import-linter enforces."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
NO_ROOMS = {"__init__", "__pycache__", "_data", "py.typed"}


def layers(container: str) -> list[str]:
    (contract,) = (c for c in CONTRACTS["contracts"] if c.get("containers") == [container])
    assert contract["exhaustive"]
    return contract["layers"]


def rooms(of: list[str]) -> list[str]:
    return [room for layer in of for room in re.split(r" [|:] ", layer)]


def test_the_picture_is_the_contract() -> None:
    (picture,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    top, *others = layers("mcofa")
    inside = [f"    {layer}" for layer in layers("export")]
    assert picture.splitlines() == [top, "export", *inside, *others]


@pytest.mark.parametrize("container", ["mcofa", "export"])
def test_each_room_is_there_and_has_a_paragraph(container: str) -> None:
    text = PAGE.split(f"## The rooms of `{container}/`")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\*\*`(\w+)`\*\*: \w", text, re.MULTILINE)) == sorted(rooms(layers(container)))
    there = {path.stem for path in (ROOT / container).iterdir() if path.name not in NO_ROOMS} - NO_ROOMS
    assert there == set(rooms(layers(container)))


WALKED = re.findall(r"`((?:mcofa|export)(?:\.\w+)+)`", PAGE)


def test_the_walk_names_places() -> None:
    assert len(WALKED) > 10


@pytest.mark.parametrize("name", WALKED)
def test_each_place_of_the_walk_is_there(name: str) -> None:
    """A module, or what a module defines or imports: read, not imported, as some need torch."""
    *packages, last = name.split(".")
    if (ROOT.joinpath(*packages) / f"{last}.py").is_file():
        return
    tree = ast.parse(ROOT.joinpath(*packages).with_suffix(".py").read_text(encoding="utf-8"))
    assert last in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_no_module_is_long() -> None:
    """CONTRIBUTING.md promises it."""
    sources = (path for folder in ("mcofa", "export", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in sources}
    assert {name: count for name, count in lines.items() if count > 400} == {}

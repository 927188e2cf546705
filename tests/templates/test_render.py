"""The templates themselves: free text reaches a generated file through a filter for its language."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import nodes

from export.templates.render import environment
from mcofa.files.resources import data_folder

FOLDER = data_folder("firmware_templates")
TEMPLATES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.jinja"))
# What a person wrote, into a board file or as the name of a folder of images.
FREE_TEXT = {"name", "title", "notes", "install", "tx_pin", "target", "labels", "compiler_flags"}
# A model's name is a C identifier, an array's is generated, a start code's settings are numbers.
NOT_FREE = {("name", "model"), ("name", "array"), ("tx_pin", "settings")}
FREE_NAMES = {"label", "flash_command", "emulate_command"}
ESCAPES = {
    *("comment", "c_string", "recipe_word", "recipe_command", "make_value", "markdown", "memory_symbol"),
    "length",
}


def unescaped(node: nodes.Node) -> list[str]:
    """Return the free text that an expression holds outside a filter that escapes it."""
    if isinstance(node, nodes.Filter) and node.name in ESCAPES:
        return []
    if isinstance(node, nodes.CondExpr):
        return [*unescaped(node.expr1), *(unescaped(node.expr2) if node.expr2 else [])]
    found = []
    if isinstance(node, nodes.Getattr) and node.attr in FREE_TEXT:
        owner = getattr(node.node, "attr", getattr(node.node, "name", ""))
        found = [] if (node.attr, owner) in NOT_FREE else [node.attr]
    if isinstance(node, nodes.Name) and node.name in FREE_NAMES:
        found = [node.name]
    return found + [text for child in node.iter_child_nodes() for text in unescaped(child)]


@pytest.mark.parametrize("template", TEMPLATES)
def test_free_text_is_escaped(template: str) -> None:
    tree = environment().parse(Path(FOLDER / template).read_text(encoding="utf-8"))
    written = [node for output in tree.find_all(nodes.Output) for node in output.nodes]
    assert [text for node in written for text in unescaped(node)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("{{ board.title }}", ["title"]),
        ("{{ board.title | upper }}", ["title"]),
        ("{{ (board.uart.name ~ '!') }}", ["name"]),
        ("{{ board.title | comment }}", []),
        ("{{ (flash_command[0] ~ ': ' ~ board.flash.install) | recipe_word }}", []),
        ("{{ board.notes if board.flash else '' }}", ["notes"]),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str, found: list[str]) -> None:
    outputs = environment().parse(source).find_all(nodes.Output)
    assert [text for output in outputs for node in output.nodes for text in unescaped(node)] == found

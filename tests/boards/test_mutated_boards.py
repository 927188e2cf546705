"""Board files with parts exchanged: refused with one error, or a board that everything can use."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from device_projects import MODEL, copied_images, copy_engine
from hypothesis import given
from hypothesis import strategies as st

from export.firmware.project import render_firmware
from mcofa.boards import Board, board_names, load_board
from mcofa.cost.arch_cost import cost
from mcofa.errors import FileFormatError
from mcofa.space.search_space import load_space

DOCUMENTS = [load_board(name).to_json() for name in board_names()]
VALUES = st.one_of(
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, 1, -1, 16, 4096, 2**31, 2**32, "none", "auto", "cortex-m0", "rv32imac", "reference"]),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=80),
    st.lists(st.text(max_size=8), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=2),
)
SPACE = load_space("mcofa-micro")


def places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries: Any = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    document = copy.deepcopy(yaml.safe_load(yaml.safe_dump(draw(st.sampled_from(DOCUMENTS)))))
    *above, key = draw(st.sampled_from(list(places(document))))
    owner = document
    for step in above:
        owner = owner[step]
    if draw(st.booleans()):
        owner[key] = draw(VALUES)
    else:
        del owner[key]
    return dict(document)


@given(document=mutated())
def test_a_mutated_board_is_refused_or_usable(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
    try:
        board = load_board(str(path))
    except FileFormatError as error:
        error.problem.encode()
        return
    assert Board.from_json(board.to_json(), "here") == board
    assert cost(SPACE, SPACE.smallest(), board).arena_bytes > 0
    if board.core_facts.start_up:
        folder: Path = tmp_path_factory.getbasetemp() / "project"
        render_firmware(board, copy_engine(), copied_images(board, MODEL), folder)

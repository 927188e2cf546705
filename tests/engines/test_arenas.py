"""The arena with every engine, beside a count by hand, and the reasons where there is none."""

from __future__ import annotations

import pytest
from tiny_models import small_network

from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.engines.arenas import EngineArena, engine_arenas
from mcofa.engines.tflm import account
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import Graph, Op, OpKind, Tensor

BOARD = load_board("stm32f746")


def test_every_way_to_run_a_network() -> None:
    """The spans of generated C are counted by hand in ``tests/draw/test_timeline.py``."""
    graph = parse_tflite(small_network(), "small")
    assert engine_arenas(graph, BOARD) == (
        EngineArena("tflm", False, account(graph, board_target(BOARD)).minimum_bytes),
        EngineArena("aot", False, 400),
        EngineArena("aot", True, 384),
    )
    assert [one.engine for one in engine_arenas(graph, BOARD, ["aot"])] == ["aot", "aot"]


def test_why_a_network_cannot_run_so() -> None:
    graph = Graph((Tensor((1, 16)), Tensor((1, 16))), (Op(OpKind.RELU, (0,), (1,)),), (0,), (1,))
    *_, by_rows = engine_arenas(graph, BOARD)
    assert by_rows.to_json() == {
        "engine": "aot",
        "streams_input": True,
        "arena_bytes": None,
        "why_not": "the input, 1×16, has no rows that could be given one by one",
    }


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (EngineArena("tflm", False, 1), "engine tflm"),
        (EngineArena("aot", True, 1), "engine aot, image row by row"),
    ],
)
def test_titles(one: EngineArena, title: str) -> None:
    assert one.title == title

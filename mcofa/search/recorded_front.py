"""The front around what a recorded search chose, made anew from what the manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcofa.accuracy.predictor import load_predictor
from mcofa.boards import load_board
from mcofa.cost.arch_cost import EngineName
from mcofa.errors import FileFormatError
from mcofa.files.resources import data_folder
from mcofa.runs.searched_space import searched_space
from mcofa.search.budget import Budget
from mcofa.search.deadline import Deadline
from mcofa.search.found import Candidate, candidates
from mcofa.search.front import Front, search_front
from mcofa.space.arch import arch_from_json


def recorded_front(searched: Mapping[str, Any], source: str, seconds: float) -> tuple[Front, Candidate]:
    """Return a front of memory and accuracy, and what the search of the manifest ``source`` chose.

    The search's space, engine, kernels, predictor and limits hold; it takes about ``seconds``.

    Raises:
        McofaError: what the search used is not at hand, or is not as it was.
    """
    space = searched_space(searched, source)
    board = None
    if searched["board"]:
        board = replace(load_board(searched["board"]), kernels=searched["kernels"])
    engine: EngineName = searched["engine"] or "tflm"
    predictor_file = Path(searched.get("predictor", data_folder("zoo") / f"{space.name}.npz"))
    predictor = load_predictor(predictor_file, space)
    arch = arch_from_json(searched["arch"], source)
    (chosen,) = candidates(space, board, predictor, space.encode([arch]), engine)
    if not searched["predicted"].items() <= chosen.predicted().items():
        raise FileFormatError(
            source,
            "board, predictor or mcofa are not those of the search: they now predict something else",
            "search again with `mcofa search`",
        )
    front = search_front(
        space,
        board,
        Budget(**searched["budget"]),
        predictor,
        ("arena_bytes" if board else "peak_items", "top1_percent"),
        searched["seed"],
        deadline=Deadline(seconds),
        engine=engine,
        known=[arch],
    )
    return front, chosen

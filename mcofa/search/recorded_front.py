"""The front around what a recorded search chose, made anew from what the manifest says."""

from __future__ import annotations

from mcofa.accuracy.predictor import load_predictor
from mcofa.errors import FileFormatError
from mcofa.runs.manifest import Source
from mcofa.runs.run import Run
from mcofa.runs.sources import find_source
from mcofa.search.budget import recorded_budget
from mcofa.search.deadline import Deadline
from mcofa.search.found import Candidate, candidates
from mcofa.search.front import Front, search_front


def recorded_front(run: Run, seconds: float) -> tuple[Front, Candidate]:
    """Return a front of memory and accuracy, and what the search of ``run`` chose.

    The search's space, engine, kernels, predictor and limits hold; it takes about ``seconds``.

    Raises:
        McofaError: what the search used is not at hand, or is not as it was.
    """
    searched, space, arch = run.search, run.space, run.arch
    engine, streams_input = run.engine, run.search.streams_input
    board = None if searched.board is None else run.board
    used = searched.predictor or f"zoo/{space.name}.npz"
    source = Source(file=used) if isinstance(used, str) else used
    step = "search again with `mcofa search --predictor FILE`"
    predictor = load_predictor(find_source(source, run.folder, "predictor of the search", step), space)
    (chosen,) = candidates(space, board, predictor, space.encode([arch]), engine, streams_input)
    recorded = searched.predicted.model_dump(exclude_unset=True) if searched.predicted else {}
    if not recorded.items() <= chosen.predicted().items():
        raise FileFormatError(
            run.source,
            "board, predictor or mcofa are not those of the search: they now predict something else",
            "search again with `mcofa search`",
        )
    front = search_front(
        space,
        board,
        recorded_budget(searched.budget),
        predictor,
        ("arena_bytes" if board else "peak_items", "top1_percent"),
        searched.seed,
        deadline=Deadline(seconds),
        engine=engine,
        streams_input=streams_input,
        known=[arch],
    )
    return front, chosen

"""Searches that are recorded in runs: on one board, on the smallest that will do, on every board."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mcofa.boards import Board
from mcofa.engines.arenas import engine_arenas
from mcofa.lowering import lower
from mcofa.runs.run import DEFAULT_FOLDER, Run, artefact
from mcofa.runs.sources import recorded_source
from mcofa.search.evolve import Generation, search
from mcofa.search.fleet import BoardAnswer, fleet_boards, search_boards, smallest_board
from mcofa.search.found import Found
from mcofa.search.front import search_front
from mcofa.search.progress import Show, unseen
from mcofa.search.reach import refuse_out_of_reach
from mcofa.search.request import SearchRequest


class Verification(Protocol):
    """Measures what a search proposes; ``export.checks.verify_search`` has one."""

    def check(self, request: SearchRequest) -> None:
        """Refuse what cannot be measured, before anything is searched."""

    def __call__(
        self, request: SearchRequest, folder: Path, found: Found, show: Show
    ) -> tuple[Found, dict[str, Any]]:
        """Return the candidates in their new order, and what the manifest in ``folder`` says of them."""


@dataclass(frozen=True)
class Recorded:
    """A search that found something: its run, the manifest's section, and how long all searches took."""

    found: Found
    folder: Path
    section: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the section with the run's folder in front."""
        return {"run": str(self.folder), **self.section}


@dataclass(frozen=True)
class Refused:
    """A board on which nothing fits, and what would help."""

    board: str
    problem: str
    next_step: str

    def to_json(self) -> dict[str, Any]:
        """Return the three."""
        return {"board": self.board, "problem": self.problem, "next_step": self.next_step}


def search_one(
    request: SearchRequest,
    board: Board | None,
    out: Path | None = None,
    verification: Verification | None = None,
    show: Show = unseen,
) -> Recorded:
    """Search for one board, or without a board, and record the result in ``out``.

    Raises:
        BudgetError: no arch is within the budget, or none there is accurate enough.
        TimeLimitError: the time limit ended the search before one was found.
    """
    _check(request, verification)
    name = f"{request.space.name}-{request.limits.peak_items}" if board is None else board.name
    board = board if board is None else request.on(board)
    started = time.perf_counter()
    found = _find(request, board, show)
    seconds = time.perf_counter() - started
    return _record(request, board, found, out or DEFAULT_FOLDER / name, verification, show, seconds)


def search_smallest(
    request: SearchRequest,
    out: Path | None = None,
    verification: Verification | None = None,
    show: Show = unseen,
) -> tuple[Recorded, list[str]]:
    """Search for the smallest board that will do; return its record, and the boards that are too small.

    Raises:
        BudgetError: no board will do.
        TimeLimitError: the time limit left open whether a board will do.
    """
    _check(request, verification)
    started = time.perf_counter()
    answer, too_small = smallest_board(_answers(request, show))
    seconds = time.perf_counter() - started
    assert answer.found is not None
    folder = out or DEFAULT_FOLDER / answer.board.name
    recorded = _record(request, answer.board, answer.found, folder, verification, show, seconds)
    return recorded, [refused.board.name for refused in too_small]


def search_each(
    request: SearchRequest,
    out: Path | None = None,
    verification: Verification | None = None,
    show: Show = unseen,
) -> list[Recorded | Refused]:
    """Search for every board; each has a run of its own below ``out``.

    Raises:
        BudgetError: nothing fits any board.
    """
    _check(request, verification)
    started = time.perf_counter()
    answers = list(_answers(request, show))
    seconds = time.perf_counter() - started
    smallest_board(answers)
    results: list[Recorded | Refused] = []
    for answer in answers:
        if answer.found is None:
            assert answer.refusal is not None
            results.append(Refused(answer.board.name, answer.refusal.problem, answer.refusal.next_step))
        else:
            folder = (out or DEFAULT_FOLDER) / answer.board.name
            results.append(_record(request, answer.board, answer.found, folder, verification, show, seconds))
    return results


def _check(request: SearchRequest, verification: Verification | None) -> None:
    """Refuse what no search can fulfil: a supernet that cannot be measured, an accuracy out of reach."""
    if verification is not None:
        verification.check(request)
    if request.min_top1_percent is not None:
        refuse_out_of_reach(
            request.space, request.predictor, request.min_top1_percent, request.seed, request.deadline
        )


def _answers(request: SearchRequest, show: Show) -> Iterator[BoardAnswer]:
    boards = [request.on(board) for board in fleet_boards()]
    return search_boards(boards, request.budget, lambda board: _find(request, board, show), request.deadline)


def _find(request: SearchRequest, board: Board | None, show: Show) -> Found:
    with show("searching" if board is None else f"searching for {board.name}") as update:

        def report(generation: Generation) -> None:
            best = generation.best_top1_percent
            update(generation.number, generation.of, "" if best is None else f"best {best:.2f} %")

        return search(
            request.space,
            board,
            request.budget(board),
            request.predictor,
            request.seed,
            report,
            min_top1_percent=request.min_top1_percent,
            keep=request.keep,
            deadline=request.deadline,
            engine=request.engine,
            streams_input=request.streams_input,
        )


def _record(
    request: SearchRequest,
    board: Board | None,
    found: Found,
    folder: Path,
    verification: Verification | None,
    show: Show,
    seconds: float,
) -> Recorded:
    """Measure and draw what was asked for, and record all of it as the manifest's search section."""
    run = Run(folder, request.command)
    files: dict[str, bytes] = {}
    extra: dict[str, Any] = {
        "predictor": recorded_source(request.predictor_file, folder),
        "predictor_finetune_epochs": request.predictor.provenance.finetune_epochs,
    }
    if request.min_top1_percent is not None:
        extra["min_top1_percent"] = request.min_top1_percent
    if verification is not None:
        found, extra["verified"] = verification(request, folder, found, show)
    if request.measures:
        extra["pareto"], files = _front(request, board, found, show)
    if board is not None:
        arenas = engine_arenas(lower(request.space, found.arch), board, [request.engine])
        extra["arenas"] = [one.to_json() for one in arenas]
    section = {
        **found.to_json(
            request.space,
            board,
            request.budget(board),
            request.seed,
            request.engine,
            request.streams_input,
        ),
        **extra,
    }
    run.record("search", section, files)
    return Recorded(found, run.folder, section, seconds)


def _front(
    request: SearchRequest, board: Board | None, found: Found, show: Show
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the manifest says of the front, and its files."""
    from mcofa.search.front_files import as_csv, as_svg

    with show("front") as update:
        front = search_front(
            request.space,
            board,
            request.budget(board),
            request.predictor,
            request.measures,
            request.seed,
            lambda number, of, points: update(number, of, f"{points:,} points"),
            deadline=request.deadline,
            engine=request.engine,
            streams_input=request.streams_input,
            known=[candidate.arch for candidate in found.best],
        )
    table, picture = as_csv(front).encode(), as_svg(front, found.best[0]).encode()
    section = {
        **front.to_json(),
        "csv": artefact("pareto.csv", table),
        "svg": artefact("pareto.svg", picture),
        "table": [point.predicted() | {"arch_text": str(point.arch)} for point in front.shown()],
    }
    return section, {"pareto.csv": table, "pareto.svg": picture}

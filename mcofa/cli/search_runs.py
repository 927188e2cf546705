"""What `mcofa search` does: search, measure, draw the front, record it all in a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from mcofa.accuracy.predictor import Predictor, after_finetuning
from mcofa.boards import Board
from mcofa.cli.options import load_board_with, typed_command
from mcofa.cli.output import print_json, progress
from mcofa.cli.search_output import print_answer, print_fleet
from mcofa.cost.arch_cost import EngineName
from mcofa.errors import McofaError
from mcofa.runs.run import DEFAULT_FOLDER, Run
from mcofa.search import Budget, Found, Generation, board_budget
from mcofa.search import search as search_space
from mcofa.search.deadline import Deadline
from mcofa.search.fleet import BoardAnswer, fleet_boards, search_boards, smallest_board
from mcofa.search.front import search_front
from mcofa.search.front_files import as_csv, as_svg
from mcofa.search.reach import refuse_out_of_reach
from mcofa.space.search_space import SearchSpace


@dataclass(frozen=True)
class Request:
    """What the user asked for, but for the board."""

    space: SearchSpace
    predictor: Predictor
    predictor_file: Path
    checkpoint: Path
    data: str | None
    engine: EngineName
    kernels: Literal["reference", "cmsis-nn"] | None
    max_arena_bytes: int | None
    max_flash_bytes: int | None
    max_model_bytes: int | None
    max_latency_ms: float | None
    max_peak_items: int | None
    min_top1_percent: float | None
    measures: tuple[str, ...]
    verify: int | None
    int8: bool
    deadline: Deadline
    seed: int

    def on(self, board: Board) -> Board:
        """Return the board with the kernels asked for."""
        return board if self.kernels is None else replace(board, kernels=self.kernels)

    def budget(self, board: Board | None) -> Budget:
        """Return the budget on a board, or without one."""
        if board is None:
            return Budget(peak_items=self.max_peak_items)
        return board_budget(
            board,
            self.max_arena_bytes,
            self.max_flash_bytes,
            self.max_latency_ms,
            self.max_peak_items,
            self.max_model_bytes,
        )


def check_request(request: Request) -> None:
    """Refuse what no search can fulfil: a supernet that cannot be measured, an accuracy out of reach.

    Nor are predictions of fine-tuned networks checked by measuring networks that are not.
    """
    if request.verify:
        if epochs := request.predictor.provenance.finetune_epochs:
            raise McofaError(
                f"--verify {request.verify} measures subnets with the supernet's weights, but "
                f"{request.predictor_file} predicts accuracies{after_finetuning(epochs)}",
                "leave --verify out and fine-tune what is found, or choose another predictor",
            )
        from export.checks.verify_search import load_measurable

        load_measurable(request.checkpoint, request.space, request.data)
    if request.min_top1_percent is not None:
        refuse_out_of_reach(
            request.space, request.predictor, request.min_top1_percent, request.seed, request.deadline
        )


def search_one(request: Request, board_name: str | None, out: Path | None, as_json: bool) -> None:
    """Search for one board, or without a board, and print the answer."""
    board = None if board_name is None else load_board_with(board_name, request.kernels, request.engine)
    name = f"{request.space.name}-{request.max_peak_items}" if board is None else board.name
    started = time.perf_counter()
    found = _find(request, board)
    seconds = time.perf_counter() - started
    run = Run(out or DEFAULT_FOLDER / name, typed_command())
    section = _record(request, board, found, run)
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    print_answer(run.folder, section, seconds)


def search_smallest(request: Request, out: Path | None, as_json: bool) -> None:
    """Search for the smallest board that reaches the accuracy asked for, and for the smallest arena on it."""
    started = time.perf_counter()
    answer, too_small = smallest_board(_answers(request))
    seconds = time.perf_counter() - started
    assert answer.found is not None
    run = Run(out or DEFAULT_FOLDER / answer.board.name, typed_command())
    section = _record(request, answer.board, answer.found, run)
    names = [refused.board.name for refused in too_small]
    if as_json:
        print_json({"run": str(run.folder), **section, "boards_too_small": names})
        return
    click.echo(f"{answer.board.name} is the smallest board; too small: {', '.join(names) or 'none'}")
    print_answer(run.folder, section, seconds)


def search_each(request: Request, out: Path | None, as_json: bool) -> None:
    """Search for every board and print one row each; fail when nothing fits any of them."""
    answers = list(_answers(request))
    smallest_board(answers)
    rows: list[dict[str, Any]] = []
    for answer in answers:
        if answer.found is None:
            assert answer.refusal is not None
            rows.append(
                {
                    "board": answer.board.name,
                    "problem": answer.refusal.problem,
                    "next_step": answer.refusal.next_step,
                }
            )
        else:
            run = Run((out or DEFAULT_FOLDER) / answer.board.name, typed_command())
            section = _record(request, answer.board, answer.found, run)
            rows.append({"run": str(run.folder), **section})
    if as_json:
        print_json({"boards": rows})
        return
    print_fleet(rows)


def _answers(request: Request) -> Iterator[BoardAnswer]:
    boards = [request.on(board) for board in fleet_boards()]
    return search_boards(boards, request.budget, lambda board: _find(request, board), request.deadline)


def _find(request: Request, board: Board | None) -> Found:
    title = "searching" if board is None else f"searching for {board.name}"
    with progress(title) as update:

        def report(generation: Generation) -> None:
            best = generation.best_top1_percent
            update(generation.number, generation.of, "" if best is None else f"best {best:.2f} %")

        return search_space(
            request.space,
            board,
            request.budget(board),
            request.predictor,
            request.seed,
            report,
            min_top1_percent=request.min_top1_percent,
            keep=request.verify or 1,
            time_limit_s=request.deadline.seconds,
            started=request.deadline.started,
            engine=request.engine,
        )


def _record(request: Request, board: Board | None, found: Found, run: Run) -> dict[str, Any]:
    """Measure and draw what was asked for; return and record the manifest's search section."""
    extra: dict[str, Any] = {
        "predictor": str(request.predictor_file.resolve()),
        "predictor_finetune_epochs": request.predictor.provenance.finetune_epochs,
    }
    if request.min_top1_percent is not None:
        extra["min_top1_percent"] = request.min_top1_percent
    if request.verify:
        found, extra["verified"] = _verify(request, found)
    if request.measures:
        extra["pareto"] = _front(request, board, found, run)
    budget = request.budget(board)
    section = {**found.to_json(request.space, board, budget, request.seed, request.engine), **extra}
    run.record("search", section)
    return section


def _verify(request: Request, found: Found) -> tuple[Found, dict[str, Any]]:
    """Measure the best candidates; return them in their new order, and what the manifest says.

    That the search was exhaustive proves a choice only while it is the best predicted one, and the whole
    list only where the list is of the best predicted ones.
    """
    from export.checks.verify_search import ranked, verification_section, verify_candidates

    with progress("measuring on validation images") as update:
        update(0, len(found.best), "")
        measured = verify_candidates(
            request.checkpoint,
            request.space,
            found.best,
            request.int8,
            lambda done: update(done, len(found.best), ""),
            request.data,
        )
    order = ranked(measured, request.min_top1_percent)
    best = tuple(one.candidate for one in order)
    chosen = replace(found, best=best, exhaustive=found.exhaustive and best[0] == found.best[0])
    proven = {"exhaustive": found.exhaustive and request.min_top1_percent is None}
    return chosen, verification_section(request.checkpoint, order) | proven


def _front(request: Request, board: Board | None, found: Found, run: Run) -> dict[str, Any]:
    with progress("front") as update:
        front = search_front(
            request.space,
            board,
            request.budget(board),
            request.predictor,
            request.measures,
            request.seed,
            lambda number, of, points: update(number, of, f"{points:,} points"),
            time_limit_s=request.deadline.seconds,
            started=request.deadline.started,
            engine=request.engine,
            known=[candidate.arch for candidate in found.best],
        )
    return {
        **front.to_json(),
        "csv": run.write("pareto.csv", as_csv(front).encode()),
        "svg": run.write("pareto.svg", as_svg(front, found.best[0]).encode()),
        "table": [point.predicted() | {"arch_text": str(point.arch)} for point in front.shown()],
    }

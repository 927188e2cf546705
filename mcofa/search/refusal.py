"""Errors for budgets that no arch of a space meets: which one, what is the least, and where it would fit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple, NoReturn

from mcofa.boards import Board, board_names, load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.measures import MEASURES
from mcofa.cost.peak_items import peak_items
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.errors import BudgetError, TimeLimitError
from mcofa.search.budget import Budget, board_budget
from mcofa.search.costs import CandidateCosts
from mcofa.search.deadline import Deadline
from mcofa.search.pool import Pool
from mcofa.search.smallest import Least, least
from mcofa.space.search_space import SearchSpace


class _How(NamedTuple):
    """How the network is to run."""

    engine: str
    streams_input: bool


def refuse_impossible(
    space: SearchSpace,
    board: Board | None,
    budget: Budget,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> None:
    """Refuse a budget of which a limit lies below what every arch of the space takes.

    Raises:
        BudgetError: names the limit, the least that the space reaches, and the boards that would do.
    """
    smallest, how = space.smallest(), _How(engine, streams_input)
    on_board = None if board is None else cost(space, smallest, board, *how)
    if budget.met_by(on_board, int(peak_items(space, space.encode([smallest]))[0])):
        return
    costs = CandidateCosts(space, board, budget.limits, *how)
    leasts = {name: least(space, costs, name) for name in budget.limits}
    broken = [name for name, limit in budget.limits.items() if leasts[name].value > limit]
    if not broken:
        return
    where = "fits" if board is None else f"fits {board.name}"
    sentences = "; ".join(
        f"the smallest needs {_least_words(name, leasts[name])}, the budget is "
        f"{MEASURES[name].words(budget.limits[name])}"
        for name in broken
    )
    raise BudgetError(
        f"no arch of {space.name} {where}: {sentences}{_all_leasts(space, board, leasts, how)}",
        _next_step(space, board, budget, broken, leasts, how),
    )


def _least_words(name: str, found: Least) -> str:
    measure = MEASURES[name]
    return f"{measure.words(found.value)} {measure.amount}{'' if found.proven else ' (of those looked at)'}"


def _all_leasts(space: SearchSpace, board: Board | None, leasts: dict[str, Least], how: _How) -> str:
    if board is None or not {"arena_bytes", "flash_bytes"} <= leasts.keys():
        return ""
    least_flash = cost(space, leasts["flash_bytes"].arch, board, *how)
    besides_bytes = least_flash.flash_bytes - least_flash.model_bytes
    return (
        f" (smallest arena {MEASURES['arena_bytes'].words(leasts['arena_bytes'].value)}, smallest flash "
        f"{least_flash.flash_bytes:,} B of which {besides_bytes:,} B are the runtime and the firmware)"
    )


def _next_step(
    space: SearchSpace,
    board: Board | None,
    budget: Budget,
    broken: list[str],
    leasts: dict[str, Least],
    how: _How,
) -> str:
    """Say which of the user's own limits to raise, and where the board is too small which ones will do."""
    own = budget.own
    too_small = [name for name in broken if _board_limit(board, name) < leasts[name].value]
    to_raise = [
        name
        for name in broken
        if name not in too_small or own.limits.get(name, math.inf) < leasts[name].value
    ]
    if not too_small:
        return "raise " + " and ".join(
            f"{MEASURES[name].option} to {MEASURES[name].argument(leasts[name].value)}" for name in to_raise
        )
    for raised in ([], to_raise):
        fitting = _boards_that_fit(space, replace(own, **dict.fromkeys(raised)), how)
        if fitting:
            first = f"raise {' and '.join(MEASURES[name].option for name in raised)}, and " if raised else ""
            return f"{first}choose a board with more memory: {space.name} fits {', '.join(fitting)}"
    return (
        f"no board of `mcofa boards` has enough for {space.name}; choose a smaller space (`mcofa spaces`), "
        "or derive one for the board with `mcofa design-space`"
    )


def _board_limit(board: Board | None, name: str) -> float:
    return math.inf if board is None else board_budget(board).limits.get(name, math.inf)


def _boards_that_fit(space: SearchSpace, own: Budget, how: _How) -> list[str]:
    """The boards that hold the smallest arch within the user's own limits."""
    smallest = space.smallest()
    items = int(peak_items(space, space.encode([smallest]))[0])
    return [
        name
        for name in board_names()
        if board_budget(
            board := load_board(name),
            own.arena_bytes,
            own.flash_bytes,
            own.latency_ms,
            own.peak_items,
            own.model_bytes,
        ).met_by(cost(space, smallest, board, *how), items)
    ]


def refuse_nothing_found(
    space: SearchSpace,
    board: Board | None,
    budget: Budget,
    min_top1_percent: float | None,
    pool: Pool,
    exhaustive: bool,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> NoReturn:
    """Say how close the best candidate came when none met the budget and the wanted accuracy together.

    Raises:
        BudgetError: always.
    """
    tried = "all archs that could be" if exhaustive else f"{pool.candidates:,} candidates"
    where = "" if board is None else f" on {board.name}"
    reachable = pool.best_top1_percent()
    relief = _relief(space, board, budget, _How(engine, streams_input))
    if reachable is not None and min_top1_percent is not None:
        raise BudgetError(
            f"no arch of {space.name} within the budget{where} is predicted to reach {min_top1_percent:g} %, "
            f"among {tried}; the best reaches {reachable:.2f} %",
            ", or ".join([f"ask for less, as {min_top1_option(reachable)}", *relief]),
        )
    closest = pool.best_measured()
    used = ", ".join(
        f"{MEASURES[name].words(value)} {MEASURES[name].amount} "
        f"(limit {MEASURES[name].words(budget.limits[name])})"
        for name, value in closest.items()
        if name in budget.limits
    )
    raise BudgetError(
        f"each limit can be met, but no arch of {space.name} meets all of them{where}, among {tried}"
        + (f"; the closest takes {used}" if used else ""),
        ", or ".join(relief),
    )


def _relief(space: SearchSpace, board: Board | None, budget: Budget, how: _How) -> list[str]:
    """What could make room: of the limits that the largest arch breaks, the user's own or the board's."""
    costs = CandidateCosts(space, board, budget.limits, *how)
    largest = space.encode([space.largest()])
    binding = [name for name, limit in budget.limits.items() if costs.exact(largest, name)[0] > limit]
    own = [MEASURES[name].option for name in binding if budget.limits[name] < _board_limit(board, name)]
    raised = [f"raise {' or '.join(own)}"] if own else []
    return raised + (["choose a board with more memory"] if len(own) < len(binding) else [])


def min_top1_option(reachable_percent: float) -> str:
    """Return the option that asks for an accuracy that can be reached."""
    return f"--min-top1 {math.floor(100 * reachable_percent) / 100:g}"


def refuse_out_of_time(
    space: SearchSpace,
    board: Board | None,
    candidates: int,
    deadline: Deadline,
    min_top1_percent: float | None = None,
    best_top1_percent: float | None = None,
) -> NoReturn:
    """Say that the time limit ended a search before it found anything.

    Raises:
        TimeLimitError: always.
    """
    where = "" if board is None else f" on {board.name}"
    wanted = "" if min_top1_percent is None else f" that is predicted to reach {min_top1_percent:g} %"
    best = "" if best_top1_percent is None else f"; the best so far reaches {best_top1_percent:.2f} %"
    raise TimeLimitError(
        f"the time limit of {deadline.seconds:g} s ended the search before it found an arch of {space.name} "
        f"within the budget{where}{wanted}, among {candidates:,} candidates{best}",
        more_time(deadline),
    )


def more_time(deadline: Deadline) -> str:
    """Return the next step where the time limit ended something."""
    return f"give more than --time-limit {deadline.seconds:g}"

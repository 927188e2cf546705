"""The search: evolution over whole populations within the options left, finished by a local search.

This is done on islands, one after the other, as each may end at another optimum, until five have
ended at the best one found.
Where few archs are left, all of them are evaluated instead, and the result is proven. A search for
the smallest one goes on below what it found, where fewer are left, until it finds nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcofa.accuracy.predictor import Predictor
from mcofa.boards import Board
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.search.budget import Budget
from mcofa.search.costs import CandidateCosts
from mcofa.search.deadline import NEVER, Deadline
from mcofa.search.found import Found, candidates
from mcofa.search.options import Booleans, Options
from mcofa.search.pool import Goal, Judge, MostAccurate, Pool, Smallest
from mcofa.search.refusal import refuse_impossible, refuse_nothing_found, refuse_out_of_time
from mcofa.space.search_space import Genomes, SearchSpace

_MOST_ISLANDS = 12
_SAME_ENDS = 5
_POPULATION = 128
_PARENTS = 32
_GENERATIONS = 10
_MUTATION_PROBABILITY = 0.25
_PAIRS = 2_000
_CHUNK = 8_192
"""Archs evaluated at once where all are: after each the time limit is looked at."""


@dataclass(frozen=True)
class Generation:
    """Progress of a search: the best predicted accuracy so far (None: nothing fits yet)."""

    number: int
    of: int
    best_top1_percent: float | None


Report = Callable[[Generation], None]


def search(
    space: SearchSpace,
    board: Board | None,
    budget: Budget,
    predictor: Predictor,
    seed: int,
    report: Report = lambda _: None,
    *,
    min_top1_percent: float | None = None,
    keep: int = 1,
    deadline: Deadline = NEVER,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> Found:
    """Return the arch with the best predicted accuracy within the budget.

    With ``min_top1_percent`` it is the arch with the smallest arena (without a board: the fewest
    peak items) that is predicted to reach that accuracy. ``keep`` asks for more of the best
    candidates. The same seed gives the same result unless the deadline ends the search. At least one
    population is evaluated.

    Raises:
        BudgetError: no arch of the space is within the budget, or none there is that accurate.
        UnstreamableInputError: with ``streams_input`` the engine is to take the image row by row, and cannot.
        TimeLimitError: the time limit ended the search before one was found.
    """
    refuse_impossible(space, board, budget, engine, streams_input)
    size = "peak_items" if board is None else "arena_bytes"
    goal: Goal = MostAccurate(size)
    if min_top1_percent is not None:
        goal = Smallest(size, min_top1_percent)
    costs = CandidateCosts(space, board, {size, *budget.limits}, engine, streams_input)
    judge = Judge(space, budget, predictor, costs, goal)
    pool = Pool(judge, max(_PARENTS, keep))
    rng = np.random.default_rng(seed)
    exhaustive = _fill(pool, judge, rng, deadline, report)
    if min_top1_percent is not None and not exhaustive:
        exhaustive = _fill_below(pool, judge, size, rng, deadline, report)
    best = pool.acceptable(keep)
    if not len(best):
        if deadline.passed and not exhaustive:
            reached = pool.best_top1_percent()
            refuse_out_of_time(space, board, pool.candidates, deadline, min_top1_percent, reached)
        refuse_nothing_found(space, board, budget, min_top1_percent, pool, exhaustive, engine, streams_input)
    return Found(
        best=candidates(space, board, predictor, best, engine, streams_input),
        candidates=pool.candidates,
        exhaustive=exhaustive,
        stopped_early=deadline.passed and not exhaustive,
    )


def _fill(pool: Pool, judge: Judge, rng: np.random.Generator, deadline: Deadline, report: Report) -> bool:
    """Fill a pool with the best of the judge's budget; return whether all archs there were evaluated."""
    options = budget_options(judge.space, judge.budget, judge.costs)
    if not options.are_few:
        _search_islands(judge, pool, options, rng, deadline, report)
        return False
    every = options.every()
    starts = range(0, len(every), _CHUNK)
    for number, start in enumerate(starts, 1):
        if number > 1 and deadline.passed:
            return False
        pool.add(every[start : start + _CHUNK])
        report(Generation(number, len(starts), pool.best_top1_percent()))
    return True


def _fill_below(
    pool: Pool, judge: Judge, measure: str, rng: np.random.Generator, deadline: Deadline, report: Report
) -> bool:
    """Look for less of the measure than was found until there is nothing; return whether that is proven."""
    proven, found = False, len(pool.acceptable(1)) > 0
    while found and not proven and not deadline.passed:
        limit: dict[str, Any] = {measure: int(pool.best_measured()[measure]) - 1}
        narrow = replace(judge, budget=replace(judge.budget, **limit))
        below = Pool(narrow, pool.kept)
        proven = _fill(below, narrow, rng, deadline, report)
        found = len(below.acceptable(1)) > 0
        pool.absorb(below)
    return proven


def budget_options(space: SearchSpace, budget: Budget, costs: CandidateCosts) -> Options:
    """Return the options that can be part of an arch within the budget."""

    def within(genomes: Genomes) -> Booleans:
        bounds = costs.bounds(genomes)
        kept = np.ones(len(genomes), bool)
        for name, limit in budget.limits.items():
            kept &= bounds[name] <= limit
        return kept

    return Options(space, within)


def _search_islands(
    judge: Judge, pool: Pool, options: Options, rng: np.random.Generator, deadline: Deadline, report: Report
) -> None:
    ends: list[bytes] = []
    done = False
    while not done:
        island, before = Pool(judge, pool.kept), _GENERATIONS * len(ends)
        of = _GENERATIONS * max(len(ends) + 1, _SAME_ENDS)
        for generation in _evolve(judge.space, island, options, rng, deadline):
            pool.absorb(island)
            report(Generation(before + generation, of, pool.best_top1_percent()))
        _climb(judge, island, options, rng, deadline)
        pool.absorb(island)
        ends.append(bytes(island.best(1)))
        at_best = ends.count(bytes(pool.best(1)))
        done = at_best >= _SAME_ENDS or len(ends) >= _MOST_ISLANDS or deadline.passed


def _evolve(
    space: SearchSpace, pool: Pool, options: Options, rng: np.random.Generator, deadline: Deadline
) -> Iterator[int]:
    """Evolve the pool; yield the number of each generation when it is done."""
    corners = options.settle(space.encode([space.smallest(), space.largest()]), rng)
    pool.add(np.concatenate([corners, options.sample(_POPULATION, rng)]))
    for number in range(1, _GENERATIONS + 1):
        if deadline.passed:
            return
        parents = pool.best(_PARENTS)
        first, second = (parents[rng.integers(0, len(parents), _POPULATION)] for _ in range(2))
        pool.add(options.mutate(options.crossover(first, second, rng), _MUTATION_PROBABILITY, rng))
        yield number


def _climb(judge: Judge, pool: Pool, options: Options, rng: np.random.Generator, deadline: Deadline) -> None:
    """Go to the best neighbour while there is a better one, by one change or by two at once."""
    while not deadline.passed:
        best = pool.best(1)[0]
        neighbours = options.neighbours(best, rng)
        if not len(neighbours):
            return
        if not pool.add(neighbours) and not pool.add(_promising_pairs(judge, options, best, neighbours, rng)):
            return


def _promising_pairs(
    judge: Judge, options: Options, best: Genomes, neighbours: Genomes, rng: np.random.Generator
) -> Genomes:
    """Return archs with two changes that promise most when the effects of both are added up.

    One change often pays for the other: it frees the bytes that the other takes.
    """
    changed = neighbours != best
    first, second = np.triu_indices(len(neighbours), 1)
    apart = ~(changed.astype(np.int16) @ changed.T.astype(np.int16))[first, second].astype(bool)
    first, second = first[apart], second[apart]
    of_best, of_neighbours = judge.measure(best[None]), judge.measure(neighbours)
    guessed = {
        name: values[first] + values[second] - of_best[name][0] for name, values in of_neighbours.items()
    }
    order = judge.order(guessed)[:_PAIRS]
    first, second = first[order], second[order]
    return options.settle(np.where(changed[first], neighbours[first], neighbours[second]), rng)

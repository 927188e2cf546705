"""Search for the archs that no other arch within the budget beats in every measure.

All archs are evaluated where few are within the budget. Else an archive of the best ones so far
evolves: parents are drawn from it, and what it does not dominate joins it. In the end the
neighbours of its members are tried, until none of them joins or a limit is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcofa.accuracy.predictor import Predictor
from mcofa.boards import Board
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.errors import BudgetError
from mcofa.search.budget import Budget
from mcofa.search.costs import CandidateCosts, Floats, Measured
from mcofa.search.deadline import NEVER, Deadline
from mcofa.search.evolve import budget_options
from mcofa.search.found import Candidate, candidates
from mcofa.search.options import Options
from mcofa.search.pareto import dominated, hypervolume, nondominated
from mcofa.search.pool import Judge, MostAccurate
from mcofa.search.refusal import refuse_impossible, refuse_out_of_time
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace

_CHUNK = 2_048
_SHOWN = 16
_CHILDREN = 512
_GENERATIONS = 60
_MUTATION_PROBABILITY = 0.1
_LOCAL_ROUNDS = 20
_LOCAL_MEMBERS = 32


@dataclass(frozen=True)
class Front:
    """A Pareto front, by descending accuracy; ``values`` are (points, measures) in the measures' units.

    ``hypervolume`` lies between the front and ``reference``, in the product of the measures' units.
    """

    measures: tuple[str, ...]
    points: tuple[Candidate, ...]
    values: Floats
    reference: dict[str, float]
    hypervolume: float
    candidates: int
    exhaustive: bool
    stopped_early: bool

    def shown(self) -> tuple[Candidate, ...]:
        """Return at most 16 points, evenly spread by accuracy rank, both ends included."""
        rows = np.unique(np.linspace(0, len(self.points) - 1, _SHOWN).round().astype(int))
        return tuple(self.points[row] for row in rows)

    def to_json(self) -> dict[str, Any]:
        """Return what the manifest says of it; the points are in a file of their own."""
        return {
            "measures": list(self.measures),
            "points": len(self.points),
            "reference": self.reference,
            "hypervolume": self.hypervolume,
            "candidates": self.candidates,
            "exhaustive": self.exhaustive,
            "stopped_early": self.stopped_early,
        }


def search_front(
    space: SearchSpace,
    board: Board | None,
    budget: Budget,
    predictor: Predictor,
    measures: Sequence[str],
    seed: int,
    report: Callable[[int, int, int], None] = lambda number, of, points: None,
    *,
    deadline: Deadline = NEVER,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
    known: Sequence[Arch] = (),
) -> Front:
    """Return the front of two or three ``measures`` (``arena_bytes``, …, ``top1_percent``).

    ``report`` is told the generation, of how many, and the points so far. ``known`` archs take part
    from the start: each is on the front, beaten by one that is, or over the budget.

    Raises:
        BudgetError: no arch of the space is within the budget.
        TimeLimitError: the time limit ended the search before one was found.
    """
    refuse_impossible(space, board, budget, engine, streams_input)
    names = {name for name in measures if name != "top1_percent"} | set(budget.limits)
    costs = CandidateCosts(space, board, names, engine, streams_input)
    judge = Judge(space, budget, predictor, costs, MostAccurate(measures[0]))
    options = budget_options(space, budget, costs)
    archive = Archive(judge, measures)
    archive.add(space.encode(list(known)))
    exhaustive = options.are_few
    if exhaustive:
        every = options.every()
        for start in range(0, len(every), _CHUNK):
            if start and deadline.passed:
                exhaustive = False
                break
            archive.add(every[start : start + _CHUNK])
            report(min(start + _CHUNK, len(every)), len(every), len(archive.genomes))
    else:
        rng = np.random.default_rng(seed)
        corners = options.settle(space.encode([space.smallest(), space.largest()]), rng)
        archive.add(np.concatenate([corners, options.sample(_CHILDREN, rng)]))
        for number in range(1, _GENERATIONS + 1):
            if deadline.passed:
                break
            _breed(archive, options, rng)
            report(number, _GENERATIONS, len(archive.genomes))
        _try_neighbours(archive, options, rng, deadline)
    stopped_early = deadline.passed and not exhaustive
    if not len(archive.genomes):
        if stopped_early:
            refuse_out_of_time(space, board, archive.candidates, deadline)
        raise BudgetError(
            f"each limit can be met, but no arch of {space.name} meets all of them, "
            f"among {archive.candidates:,} candidates",
            "raise one of the limits",
        )
    found = candidates(space, board, predictor, archive.genomes, engine, streams_input)
    order = sorted(range(len(found)), key=lambda row: (-found[row].top1_percent, row))
    reference = _reference(judge, archive, measures)
    return Front(
        measures=tuple(measures),
        points=tuple(found[row] for row in order),
        values=np.abs(archive.objectives[order]),
        reference=dict(zip(measures, np.abs(reference).tolist(), strict=True)),
        hypervolume=hypervolume(archive.objectives, reference),
        candidates=archive.candidates,
        exhaustive=exhaustive,
        stopped_early=stopped_early,
    )


class Archive:
    """The archs that no arch seen so far dominates, exact; ``objectives`` are made small."""

    def __init__(self, judge: Judge, measures: Sequence[str]) -> None:
        self._judge, self._measures = judge, measures
        self._seen: set[bytes] = set()
        self.genomes: Genomes = judge.space.encode([])
        self.objectives: Floats = np.zeros((0, len(measures)))

    @property
    def candidates(self) -> int:
        """How many distinct candidates were evaluated."""
        return len(self._seen)

    def add(self, genomes: Genomes) -> None:
        """Let those of ``genomes`` join that are within the budget and not dominated."""
        distinct = dict(zip(map(bytes, genomes), genomes, strict=True))
        new = [genome for row, genome in distinct.items() if row not in self._seen]
        self._seen.update(distinct)
        if not new:
            return
        genomes = np.stack(new)
        measured = self._judge.measure(genomes)
        genomes, measured = self._hopeful(genomes, measured)
        if self._judge.costs.has_arena and len(genomes):
            measured["arena_bytes"] = self._judge.costs.exact_arena_bytes(genomes)
            genomes, measured = self._hopeful(genomes, measured)
        objectives = self.of(measured)
        best = nondominated(objectives)
        stays = ~dominated(self.objectives, objectives[best])
        self.genomes = np.concatenate([self.genomes[stays], genomes[best]])
        self.objectives = np.concatenate([self.objectives[stays], objectives[best]])

    def of(self, measured: Measured) -> Floats:
        """Return the objectives, (archs, measures): costs, and minus the accuracy."""
        columns = [-measured[name] if name == "top1_percent" else measured[name] for name in self._measures]
        return np.stack(columns, axis=1)

    def _hopeful(self, genomes: Genomes, measured: Measured) -> tuple[Genomes, Measured]:
        kept = (self._judge.excess(measured) == 0) & ~dominated(self.of(measured), self.objectives)
        return genomes[kept], {name: values[kept] for name, values in measured.items()}


def _breed(archive: Archive, options: Options, rng: np.random.Generator) -> None:
    parents = archive.genomes if len(archive.genomes) else options.sample(_CHILDREN, rng)
    first, second = (parents[rng.integers(0, len(parents), _CHILDREN)] for _ in range(2))
    archive.add(options.mutate(options.crossover(first, second, rng), _MUTATION_PROBABILITY, rng))


def _try_neighbours(archive: Archive, options: Options, rng: np.random.Generator, deadline: Deadline) -> None:
    tried: set[bytes] = set()
    for _ in range(_LOCAL_ROUNDS):
        open_members = [genome for genome in archive.genomes if bytes(genome) not in tried]
        if not open_members or deadline.passed:
            return
        picks = rng.permutation(len(open_members))[:_LOCAL_MEMBERS]
        tried.update(bytes(open_members[pick]) for pick in picks)
        archive.add(np.concatenate([options.neighbours(open_members[pick], rng) for pick in picks]))


def _reference(judge: Judge, archive: Archive, measures: Sequence[str]) -> Floats:
    """The worse of the smallest and the largest arch in each measure, but no more than the budget."""
    space = judge.space
    corners = space.encode([space.smallest(), space.largest()])
    measured = judge.measure(corners)
    if judge.costs.has_arena:
        measured["arena_bytes"] = judge.costs.exact_arena_bytes(corners)
    worst = archive.of(measured).max(0)
    limits = [judge.budget.limits.get(name, np.inf) for name in measures]
    return np.asarray(np.minimum(worst, limits))

"""The candidates of one search, judged: how far over budget, and how good.

The arena of a candidate is first bounded from below, which is fast, and made exact, which
takes ten times as long, as soon as the candidate would be among the best. So the best are
always exact, and what the bound rules out never costs more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mcofa.accuracy.predictor import Predictor
from mcofa.search.budget import Budget
from mcofa.search.costs import CandidateCosts, Floats, Measured
from mcofa.space.search_space import Genomes, SearchSpace

Booleans = npt.NDArray[np.bool_]


class Goal(Protocol):
    """What a search looks for."""

    def reached(self, measured: Measured) -> Booleans:
        """Say which candidates will do, (archs,)."""

    def losses(self, measured: Measured) -> tuple[Floats, ...]:
        """Return what to make small, (archs,) each: the first, of equals the second, and so on."""


@dataclass(frozen=True)
class MostAccurate:
    """The highest predicted accuracy; of equals the least of ``measure``."""

    measure: str

    def reached(self, measured: Measured) -> Booleans:
        """Return that all will do."""
        return np.ones(len(measured["top1_percent"]), bool)

    def losses(self, measured: Measured) -> tuple[Floats, ...]:
        """Return minus the accuracy, and the measure."""
        return -measured["top1_percent"], measured[self.measure]


@dataclass(frozen=True)
class Smallest:
    """The least of ``measure`` with a predicted accuracy of at least ``min_top1_percent``."""

    measure: str
    min_top1_percent: float

    def reached(self, measured: Measured) -> Booleans:
        """Say which are accurate enough."""
        return measured["top1_percent"] >= self.min_top1_percent

    def losses(self, measured: Measured) -> tuple[Floats, ...]:
        """Return what is missing of the accuracy, the measure, and minus the accuracy."""
        top1_percent = measured["top1_percent"]
        return np.maximum(self.min_top1_percent - top1_percent, 0), measured[self.measure], -top1_percent


@dataclass(frozen=True)
class Judge:
    """Measures candidates and compares them: by what they exceed, then by what the goal makes small."""

    space: SearchSpace
    budget: Budget
    predictor: Predictor
    costs: CandidateCosts
    goal: Goal

    def measure(self, genomes: Genomes) -> Measured:
        """Return the costs and the predicted ``top1_percent`` of ``genomes``; the arena is a lower bound."""
        top1_percent = self.predictor.predict(self.space, genomes).top1_percent
        return {**self.costs.bounds(genomes), "top1_percent": top1_percent}

    def excess(self, measured: Measured) -> Floats:
        """Return by how much candidates break the limits, relative to them, (archs,); 0: not at all."""
        found = np.zeros(len(measured["top1_percent"]))
        for name, limit in self.budget.limits.items():
            found += np.maximum(measured[name] / limit - 1, 0)
        return found

    def order(self, measured: Measured) -> npt.NDArray[np.intp]:
        """Return the rows of candidates, the best first."""
        return np.lexsort([*reversed(self.goal.losses(measured)), self.excess(measured)])


class Pool:
    """Every distinct candidate counted, the best ones kept, exact and in order."""

    def __init__(self, judge: Judge, kept: int) -> None:
        self._judge, self.kept = judge, kept
        self._seen: set[bytes] = set()
        self._genomes: Genomes = judge.space.encode([])
        self._measured = judge.measure(self._genomes)
        self._exact: Booleans = np.zeros(0, bool)

    @property
    def candidates(self) -> int:
        """How many distinct candidates were judged."""
        return len(self._seen)

    def add(self, genomes: Genomes) -> bool:
        """Judge the new ones among ``genomes`` and say whether the best candidate got better."""
        new = []
        for row in map(bytes, genomes):
            new.append(row not in self._seen)
            self._seen.add(row)
        return any(new) and self._keep(genomes[new])

    def absorb(self, other: Pool) -> None:
        """Take over what another pool of the same judge has seen, and its best candidates."""
        self.add(other._genomes)
        self._seen |= other._seen

    def _keep(self, genomes: Genomes) -> bool:
        measured = self._judge.measure(genomes)
        before = self._rank()
        genomes = np.concatenate([self._genomes, genomes])
        measured = {name: np.concatenate([self._measured[name], measured[name]]) for name in measured}
        exact = np.arange(len(genomes)) < len(self._exact)
        if not self._judge.costs.has_arena:
            exact[:] = True
        self._genomes, self._measured, self._exact = genomes, measured, exact
        while True:
            self._take(self._judge.order(self._measured))
            guesses = np.flatnonzero(~self._exact[: self.kept] & self._within()[: self.kept])
            if not len(guesses):
                break
            self._measured["arena_bytes"][guesses] = self._judge.costs.exact_arena_bytes(
                self._genomes[guesses]
            )
            self._exact[guesses] = True
        self._take(np.arange(min(self.kept, len(self._genomes))))
        return self._rank() < before

    def _take(self, rows: npt.NDArray[np.intp]) -> None:
        self._genomes, self._exact = self._genomes[rows], self._exact[rows]
        self._measured = {name: values[rows] for name, values in self._measured.items()}

    def _within(self) -> Booleans:
        return np.asarray(self._judge.excess(self._measured) == 0)

    def _rank(self) -> tuple[float, ...]:
        """Return what the best candidate is compared by; less is better."""
        if not len(self._genomes):
            return (np.inf,)
        best = {name: values[:1] for name, values in self._measured.items()}
        return tuple(float(value[0]) for value in (self._judge.excess(best), *self._judge.goal.losses(best)))

    def best(self, count: int) -> Genomes:
        """Return the best candidates, acceptable ones first."""
        return self._genomes[:count]

    def acceptable(self, count: int) -> Genomes:
        """Return the best candidates that are within the budget and reach the goal, at most ``count``."""
        return self._genomes[self._within() & self._judge.goal.reached(self._measured)][:count]

    def best_top1_percent(self) -> float | None:
        """Return the predicted accuracy of the best candidate, if one is within the budget."""
        return float(self._measured["top1_percent"][0]) if self._within()[:1].any() else None

    def best_measured(self) -> dict[str, float]:
        """Return what is known of the best candidate."""
        return {name: float(value) for name, values in self._measured.items() for value in values[:1]}

"""Search for the most accurate subnet that a board can hold.

Evolution over whole populations with exact vectorised costs, finished by a local search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mcofa.arch import Arch
from mcofa.boards import Board
from mcofa.cost import Cost, cost, flash_limit_bytes
from mcofa.errors import BudgetError
from mcofa.population_cost import PopulationCosts
from mcofa.predictor import Predictor
from mcofa.space import Genomes, SearchSpace

_POPULATION = 512
_PARENTS = 128
_GENERATIONS = 40
_MUTATION_PROBABILITY = 0.1


@dataclass(frozen=True)
class Budget:
    """What a subnet must stay under; ``latency_ms`` is None when any latency will do."""

    arena_bytes: int
    flash_bytes: int
    latency_ms: float | None = None

    def met_by(self, found: Cost) -> bool:
        """Say whether an exact cost is within the budget."""
        return (
            found.arena_bytes <= self.arena_bytes
            and found.flash_bytes <= self.flash_bytes
            and (self.latency_ms is None or found.latency.latency_ms <= self.latency_ms)
        )


@dataclass(frozen=True)
class Found:
    """The chosen arch, its exact cost, and its predicted accuracy with standard deviation."""

    arch: Arch
    cost: Cost
    top1_percent: float
    std_points: float
    candidates: int

    def to_json(self, space: SearchSpace, board: Board, budget: Budget, seed: int) -> dict[str, Any]:
        """Return the manifest's search section."""
        return {
            "space": space.name,
            "space_fingerprint": space.fingerprint,
            "board": board.name,
            "core": board.core,
            "kernels": board.kernels,
            "budget": asdict(budget),
            "seed": seed,
            "candidates": self.candidates,
            "arch": self.arch.to_json(),
            "predicted": {
                "arena_bytes": self.cost.arena_bytes,
                "model_bytes": self.cost.model_bytes,
                "flash_bytes": self.cost.flash_bytes,
                "macs": self.cost.macs,
                "latency_ms_estimate": round(self.cost.latency.latency_ms, 3),
                "latency_relative_error": round(self.cost.latency.relative_error, 3),
                "top1_percent": round(self.top1_percent, 3),
                "top1_std_points": round(self.std_points, 3),
            },
        }


@dataclass(frozen=True)
class Generation:
    """Progress of a search: the best predicted accuracy so far (None: nothing fits yet)."""

    number: int
    of: int
    best_top1_percent: float | None


def board_budget(
    board: Board,
    max_arena_bytes: int | None = None,
    max_flash_bytes: int | None = None,
    max_latency_ms: float | None = None,
) -> Budget:
    """Return what the board leaves for a network, or less where a smaller limit is given."""
    arena_bytes, flash_bytes = board.arena_budget_bytes, flash_limit_bytes(board)
    return Budget(
        min(arena_bytes, max_arena_bytes or arena_bytes),
        min(flash_bytes, max_flash_bytes or flash_bytes),
        max_latency_ms,
    )


def search(
    space: SearchSpace,
    board: Board,
    budget: Budget,
    predictor: Predictor,
    seed: int,
    report: Callable[[Generation], None] = lambda _: None,
) -> Found:
    """Return the arch with the best predicted accuracy whose arena and flash fit the budget.

    Raises:
        BudgetError: no arch of the space fits; names the smallest values it reaches.
    """
    _refuse_impossible(space, board, budget)
    rng = np.random.default_rng(seed)
    pool = _Pool(space, budget, predictor, PopulationCosts(space, board))
    pool.add(
        np.concatenate([space.encode([space.smallest(), space.largest()]), space.sample(_POPULATION, rng)])
    )
    for number in range(1, _GENERATIONS + 1):
        parents = pool.best(_PARENTS)
        first, second = (parents[rng.integers(0, len(parents), _POPULATION)] for _ in range(2))
        pool.add(space.mutate(space.crossover(first, second, rng), _MUTATION_PROBABILITY, rng))
        report(Generation(number, _GENERATIONS, pool.best_top1_percent()))
    while pool.add(space.neighbours(pool.best(1)[0])):
        pass
    winner = pool.best(1)
    arch, prediction = space.decode(winner[0]), predictor.predict(space, winner)
    found = cost(space, arch, board)
    assert budget.met_by(found), "the smallest arch fits, and the pool holds it"
    return Found(arch, found, float(prediction.top1_percent[0]), float(prediction.std_points[0]), pool.seen)


def _refuse_impossible(space: SearchSpace, board: Board, budget: Budget) -> None:
    smallest = cost(space, space.smallest(), board)
    arena_bytes, flash_bytes = smallest.arena_bytes, smallest.flash_bytes
    latency_ms = smallest.latency.latency_ms
    for needed, limit, written, of, option in (
        (arena_bytes, budget.arena_bytes, "{:,} B", "arena", "--max-arena-bytes"),
        (flash_bytes, budget.flash_bytes, "{:,} B", "flash", "--max-flash-bytes"),
        (latency_ms, budget.latency_ms or latency_ms, "{:,.2f} ms", "estimated latency", "--max-latency-ms"),
    ):
        if needed > limit:
            raise BudgetError(
                f"no arch of {space.name} fits {board.name}: the smallest needs {written.format(needed)} of "
                f"{of}, the budget is {written.format(limit)} (smallest arena {arena_bytes:,} B, smallest "
                f"flash {flash_bytes:,} B of which {flash_bytes - smallest.model_bytes:,} B are the runtime "
                "and the firmware)",
                f"raise {option}, or choose a board with more memory (`mcofa boards`)",
            )


class _Pool:
    """Every distinct candidate seen so far, the best ones kept."""

    _KEPT = 4_096

    def __init__(
        self, space: SearchSpace, budget: Budget, predictor: Predictor, costs: PopulationCosts
    ) -> None:
        self._space, self._budget, self._predictor, self._costs = space, budget, predictor, costs
        self._genomes = space.sample(0, np.random.default_rng(0))
        self._fitness: npt.NDArray[np.float64] = np.zeros(0)
        self.seen = 0

    def add(self, genomes: Genomes) -> bool:
        """Evaluate ``genomes`` and say whether the best candidate got better."""
        best = self._fitness[0] if len(self._fitness) else -np.inf
        self.seen += len(genomes)
        merged = np.concatenate([self._genomes, genomes])
        fitness = np.concatenate([self._fitness, self._evaluate(genomes)])
        # Rows as strings of bytes sort much faster than rows as tuples of numbers.
        _, index = np.unique(merged.view(f"S{merged.shape[1]}")[:, 0], return_index=True)
        index = index[np.argsort(-fitness[index], kind="stable")][: self._KEPT]
        self._genomes, self._fitness = merged[index], fitness[index]
        return bool(self._fitness[0] > best)

    def _evaluate(self, genomes: Genomes) -> npt.NDArray[np.float64]:
        """Predicted accuracy where the budget is met; else minus the relative excess, always below 0."""
        costs = self._costs.evaluate(genomes)
        excess = np.maximum(costs.arena_bytes / self._budget.arena_bytes - 1, 0)
        excess += np.maximum(costs.flash_bytes / self._budget.flash_bytes - 1, 0)
        if self._budget.latency_ms is not None:
            excess += np.maximum(costs.latency_ms / self._budget.latency_ms - 1, 0)
        hopeful = excess == 0  # so far: their arenas were lower bounds
        exact = self._costs.exact_arena_bytes(genomes[hopeful])
        excess[hopeful] = np.maximum(exact / self._budget.arena_bytes - 1, 0)
        accuracy = self._predictor.predict(self._space, genomes).top1_percent
        return np.where(excess > 0, -excess, accuracy)

    def best(self, count: int) -> Genomes:
        """Return the best candidates, feasible ones first."""
        return self._genomes[:count]

    def best_top1_percent(self) -> float | None:
        """Return the best predicted accuracy of a candidate that fits, if any does."""
        return float(self._fitness[0]) if self._fitness[0] >= 0 else None

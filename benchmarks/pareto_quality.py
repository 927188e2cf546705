"""Pareto fronts against NSGA-II (pymoo), at equal numbers of evaluations: hypervolume and seconds.

NSGA-II gets the same options (those that the budget leaves), the same exact costs and predictor, and a
population of 200; an arch over budget is handed to it as a broken constraint. A hypervolume of 100 % is
that of the best front of all runs together.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from mcofa.accuracy.predictor import load_predictor
from mcofa.boards import load_board
from mcofa.files.resources import data_folder
from mcofa.search import board_budget
from mcofa.search.costs import CandidateCosts
from mcofa.search.evolve import budget_options
from mcofa.search.front import search_front
from mcofa.search.pareto import hypervolume, nondominated
from mcofa.space.search_space import load_space

SEEDS = 3
POPULATION = 200
TASKS = (
    ("mcofa-micro", 262_112, ("arena_bytes", "top1_percent")),
    ("mcofa-micro", 262_112, ("arena_bytes", "flash_bytes", "top1_percent")),
    ("mcofa-micro", 40_000, ("arena_bytes", "latency_ms", "top1_percent")),
)

Floats = npt.NDArray[np.float64]


class OnBoard(Problem):  # type: ignore[misc]
    """Archs as integers: one variable a gene."""

    def __init__(self, space_name: str, arena_bytes: int, measures: tuple[str, ...]) -> None:
        self.space, board = load_space(space_name), load_board("stm32f746")
        self.predictor = load_predictor(data_folder("zoo") / f"{space_name}.npz", self.space)
        self.budget = board_budget(board, arena_bytes)
        self.measures = measures
        names = {name for name in measures if name != "top1_percent"} | set(self.budget.limits)
        self.costs = CandidateCosts(self.space, board, names)
        self.options = budget_options(self.space, self.budget, self.costs)
        highest = self.space.encode([self.space.largest()])[0]
        super().__init__(
            n_var=len(highest),
            n_obj=len(measures),
            n_ieq_constr=len(self.budget.limits),
            xl=0,
            xu=highest,
            vtype=int,
        )

    def _evaluate(self, x: npt.NDArray[np.int64], out: dict[str, Floats], *_: object, **__: object) -> None:
        genomes = self.options.settle(x.astype(np.int8), np.random.default_rng(0))
        found = self.costs.bounds(genomes)
        found["arena_bytes"] = self.costs.exact_arena_bytes(genomes)
        found["top1_percent"] = -self.predictor.predict(self.space, genomes).top1_percent
        out["F"] = np.stack([found[name] for name in self.measures], axis=1)
        out["G"] = np.stack([found[name] - limit for name, limit in self.budget.limits.items()], axis=1)


def main() -> None:
    print(
        f"{'measures':42s}{'search':10s}{'evaluations':>12s}{'points':>8s}{'hypervolume %':>15s}{'CPU s':>8s}"
    )
    for space_name, arena_bytes, measures in TASKS:
        problem = OnBoard(space_name, arena_bytes, measures)
        signs = np.array([-1 if name == "top1_percent" else 1 for name in measures])
        fronts: dict[str, list[Floats]] = {"ours": [], "NSGA-II": []}
        seconds: dict[str, list[float]] = {"ours": [], "NSGA-II": []}
        for seed in range(SEEDS):
            start = time.process_time()
            board = load_board("stm32f746")
            front = search_front(problem.space, board, problem.budget, problem.predictor, measures, seed)
            seconds["ours"].append(time.process_time() - start)
            fronts["ours"].append(front.values * signs)
            algorithm = NSGA2(
                pop_size=POPULATION,
                sampling=IntegerRandomSampling(),
                crossover=SBX(repair=RoundingRepair(), vtype=float),
                mutation=PM(repair=RoundingRepair(), vtype=float),
            )
            start = time.process_time()
            result = minimize(problem, algorithm, ("n_eval", front.candidates), seed=seed)
            seconds["NSGA-II"].append(time.process_time() - start)
            fronts["NSGA-II"].append(np.unique(result.F, axis=0))
        reference = np.array(list(front.reference.values())) * signs
        together = np.concatenate([points for found in fronts.values() for points in found])
        best = hypervolume(together[nondominated(together)], reference)
        for name, found in fronts.items():
            volume = statistics.mean(100 * hypervolume(points, reference) / best for points in found)
            points = statistics.mean(map(len, found))
            print(
                f"{', '.join(measures):42s}{name:10s}{front.candidates:12,d}{points:8.0f}{volume:15.3f}"
                f"{statistics.mean(seconds[name]):8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

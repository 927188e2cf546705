"""The search against random search and against the published evolutionary scheme, and its pick measured.

The first table: predicted accuracy after equal numbers of evaluations, mean and worst of ten seeds.
An evaluation is an arch whose accuracy is predicted. The rivals draw until an arch is within the
budget, and those draws are free for them; they draw from the whole space, as published, or, where
fewer than one draw in a thousand is within the budget, from the options that this search has left. All
candidates of this search count, those over the budget too.

The published scheme is once-for-all's EvolutionFinder (mit-han-lab/once-for-all,
ofa/tutorial/evolution_finder.py at 80a2e26): a population of 100, of which the best quarter become
parents; half of the children are mutants (each block, each depth and the resolution drawn anew with
probability 0.1), half are crossings of two parents gene by gene. It is written anew here.

With ``--count N`` the second table: validation accuracies, with the weights of the zoo's supernet, of
this search's pick and of N random archs within the same budget. Measurements are kept, and a
repeated call goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from mcofa.accuracy.predictor import Predictor, load_predictor
from mcofa.boards import Board, load_board
from mcofa.files.resources import data_folder
from mcofa.search import Budget, board_budget, search
from mcofa.search.costs import CandidateCosts
from mcofa.search.evolve import budget_options
from mcofa.search.found import candidates
from mcofa.space.search_space import Genomes, SearchSpace, load_space

SEEDS = 10
POPULATION, PARENT_RATIO, MUTATION_RATIO, MUTATION_PROBABILITY = 100, 0.25, 0.5, 0.1
MOST_DRAWS_AT_ONCE, PROBED_DRAWS, LEAST_SUCCESS = 16_384, 100_000, 1e-3
MEASURED_BUDGETS = (24_000, 32_000, 48_000)
VALIDATION_IMAGES = 5_000
CHUNK = 10
LEAST_DIFFERENCE = 5e-4

Floats = npt.NDArray[np.float64]
Draw = Callable[[int], Genomes]


@dataclass(frozen=True)
class Task:
    """What to search."""

    space: SearchSpace
    board: Board | None
    budget: Budget
    predictor: Predictor

    def within(self, costs: CandidateCosts, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Say which archs are within the budget, exactly."""
        bounds = costs.bounds(genomes)
        kept = np.all([bounds[name] <= limit for name, limit in self.budget.limits.items()], axis=0)
        if costs.has_arena and kept.any():
            kept[kept] = costs.exact_arena_bytes(genomes[kept]) <= self.budget.limits["arena_bytes"]
        return kept


class Rival:
    """Draws archs within the budget; all that are predicted count as evaluations."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.rng = task, np.random.default_rng(seed)
        self.costs = CandidateCosts(task.space, task.board, tuple(task.budget.limits))
        self.options = budget_options(task.space, task.budget, self.costs)

    def random(self, count: int) -> Genomes:
        """Return random archs within the budget."""
        probe = self.task.space.sample(PROBED_DRAWS, self.rng)
        often = self.task.within(self.costs, probe).mean() >= LEAST_SUCCESS
        source = self.task.space if often else self.options
        return self.rejecting(lambda draws: source.sample(draws, self.rng), count)

    def rejecting(self, draw: Draw, count: int) -> Genomes:
        """Draw until ``count`` archs are within the budget."""
        found: list[Genomes] = []
        draws = 2 * count
        while sum(map(len, found)) < count:
            drawn = draw(min(draws, MOST_DRAWS_AT_ONCE))
            found.append(drawn[self.task.within(self.costs, drawn)])
            draws *= 2
        return np.concatenate(found)[:count]

    def predict(self, genomes: Genomes) -> Floats:
        """Return the predicted accuracies, (archs,); each counts as one evaluation."""
        return self.task.predictor.predict(self.task.space, genomes).top1_percent


def random_search(task: Task, evaluations: int, seed: int) -> float:
    rival = Rival(task, seed)
    return float(rival.predict(rival.random(evaluations)).max())


def published_search(task: Task, evaluations: int, seed: int) -> float:
    rival, space = Rival(task, seed), task.space
    population = rival.random(POPULATION)
    accuracies = rival.predict(population)
    used, parents, mutants = POPULATION, round(PARENT_RATIO * POPULATION), round(MUTATION_RATIO * POPULATION)

    def mutated(count: int) -> Genomes:
        chosen = population[rival.rng.integers(0, parents, count)]
        fresh = space.sample(count, rival.rng)
        again = rival.rng.random(chosen.shape) < MUTATION_PROBABILITY
        # A block is drawn anew as a whole: kernel size and expand ratio together.
        blocks = slice(1 + len(space.stages), 1 + len(space.stages) + space.blocks)
        again[:, blocks.stop :] = again[:, blocks]
        mutants = np.where(again, fresh, chosen)
        # Crossing two equal archs clears the genes of blocks that a mutant no longer has.
        return space.crossover(mutants, mutants, rival.rng)

    def crossed(count: int) -> Genomes:
        first, second = (population[rival.rng.integers(0, parents, count)] for _ in range(2))
        return space.crossover(first, second, rival.rng)

    while used < evaluations:
        order = np.argsort(-accuracies, kind="stable")[:parents]
        population, accuracies = population[order], accuracies[order]
        children = np.concatenate(
            [rival.rejecting(mutated, mutants), rival.rejecting(crossed, POPULATION - mutants)]
        )[: evaluations - used]
        used += len(children)
        population = np.concatenate([population, children])
        accuracies = np.concatenate([accuracies, rival.predict(children)])
    return float(accuracies.max())


def compare(title: str, task: Task) -> None:
    ours: list[float] = []
    others = {"random search": random_search, "published evolution": published_search}
    results: dict[str, list[float]] = {name: [] for name in others}
    evaluations = []
    for seed in range(SEEDS):
        found = search(task.space, task.board, task.budget, task.predictor, seed)
        ours.append(found.top1_percent)
        evaluations.append(max(found.candidates, POPULATION))
        for name, rival in others.items():
            results[name].append(rival(task, evaluations[-1], seed))
    print(f"\n{title}: {statistics.mean(evaluations):,.0f} evaluations, predicted top-1 of {SEEDS} seeds")
    print(f"{'':24s}{'mean %':>10s}{'worst %':>10s}{'best %':>10s}  this search ahead on")
    for name, values in {"this search": ours, **results}.items():
        ahead = [
            what
            for what, better in (
                ("mean", statistics.mean(ours) > statistics.mean(values) + LEAST_DIFFERENCE),
                ("worst", min(ours) > min(values) + LEAST_DIFFERENCE),
            )
            if better
        ]
        verdict = "" if values is ours else ", ".join(ahead) or "neither (equal)"
        print(
            f"{name:24s}{statistics.mean(values):10.3f}{min(values):10.3f}{max(values):10.3f}  {verdict}",
            flush=True,
        )


def micro_task(arena_bytes: int) -> Task:
    space, board = load_space("mcofa-micro"), load_board("stm32f746")
    predictor = load_predictor(data_folder("zoo") / f"{space.name}.npz", space)
    return Task(space, board, board_budget(board, arena_bytes), predictor)


def tasks() -> list[tuple[str, Task]]:
    """Budgets on mcofa-micro, and peak items on the paper's spaces as far as they have predictors."""
    found = [
        (f"mcofa-micro, {arena_bytes:,} B of arena", micro_task(arena_bytes))
        for arena_bytes in (28_000, 32_000, 48_000)
    ]
    for name in ("ofa", "mcofa-v3"):
        path = data_folder("zoo") / f"{name}.npz"
        if not path.is_file():
            print(f"{name}: left out, as zoo/{path.name} is not there")
            continue
        space = load_space(name)
        loaded = load_predictor(path, space)
        for items in (325_000, 400_000):
            found.append(
                (f"{name}, {items:,} peak items", Task(space, None, Budget(peak_items=items), loaded))
            )
    return found


def measure_pick(task: Task, count: int, folder: Path) -> None:
    """Compare the pick with ``count`` random archs within the budget, all measured in one way."""
    space = task.space
    found = search(space, task.board, task.budget, task.predictor, 0)
    pick = space.encode([found.arch])
    drawn = np.unique(Rival(task, 0).random(10 * count), axis=0)
    others = np.random.default_rng(0).permutation(drawn[(drawn != pick).any(1)])[:count]
    accuracies = measured(task, np.concatenate([pick, others]), folder)
    own, best = accuracies[0], accuracies[1:].max()
    error = 100 * math.sqrt(2 * own / 100 * (1 - own / 100) / VALIDATION_IMAGES)
    limit = f"{task.budget.limits['arena_bytes']:,.0f}"
    rank = 1 + int((accuracies[1:] > own).sum())
    print(
        f"{limit:>10s}{len(others):8d}{own:10.2f}{accuracies[1:].mean():10.2f}{best:10.2f}"
        f"{rank:6d}{own - best:+12.2f}{error:8.2f}",
        flush=True,
    )


def measured(task: Task, genomes: Genomes, folder: Path) -> Floats:
    """Return validation accuracies of ``genomes``; what was measured before is read from ``folder``."""
    from export.checks.verify_search import verify_candidates
    from mcofa.space.arch_table import Measured, read_measured, write_measured

    checkpoint = data_folder("zoo") / f"{task.space.name}.safetensors"
    weights = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
    table = folder / f"search_quality-{weights}.csv"
    known: dict[bytes, float] = {}
    if table.is_file():
        earlier = read_measured(table, task.space)
        known = dict(zip(map(bytes, earlier.genomes), earlier.top1_percent.tolist(), strict=True))
    rest = np.array([genome for genome in genomes if bytes(genome) not in known], np.int8)
    for start in range(0, len(rest), CHUNK):
        chunk = rest[start : start + CHUNK]
        about = candidates(task.space, task.board, task.predictor, chunk)
        for genome, one in zip(chunk, verify_candidates(checkpoint, task.space, about, False), strict=True):
            known[bytes(genome)] = one.float_top1_percent
        every = np.array([np.frombuffer(row, np.int8) for row in known])
        write_measured(table, task.space, Measured(every, np.array(list(known.values())), checkpoint=weights))
        print(f"measured {min(start + CHUNK, len(rest))} of {len(rest)}", file=sys.stderr, flush=True)
    return np.array([known[bytes(genome)] for genome in genomes])


def main() -> None:
    parser = argparse.ArgumentParser(description="compare searches; measure the pick with --count")
    parser.add_argument("--count", type=int, default=0, help="random archs to measure for each budget")
    parser.add_argument("--measure-only", action="store_true", help="leave out the first table")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="where measurements go")
    options = parser.parse_args()
    for title, task in tasks() if not options.measure_only else ():
        compare(title, task)
    if options.count:
        print("\nmcofa-micro: validation top-1 in %, the pick and random archs within the same budget")
        print(
            f"{'arena B':>10s}{'random':>8s}{'pick':>10s}{'mean':>10s}{'best':>10s}{'rank':>6s}"
            f"{'pick - best':>12s}{'± s.e.':>8s}"
        )
    for arena_bytes in MEASURED_BUDGETS if options.count else ():
        measure_pick(micro_task(arena_bytes), options.count, options.out)


if __name__ == "__main__":
    main()

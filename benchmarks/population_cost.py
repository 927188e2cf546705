"""How many archs a second are costed on a board, and how long a whole search takes, start-up included.

Verdicts are on CPU time on one core, so that other work on the machine does not count.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from mcofa.boards import load_board
from mcofa.cost.population import PopulationCosts
from mcofa.space.search_space import load_space

BOARD = "stm32f746"
SPACES = ("mcofa-micro", "ofa")
FLOORS = {
    "tflm": {"mcofa-micro": (300_000, 10_000), "ofa": (300_000, 10_000)},
    "aot": {"mcofa-micro": (300_000, 50_000), "ofa": (300_000, 15_000)},
}
"""Archs a second that are wanted by engine and space: with the bound of the arena, and with the exact one."""
RUNS = 5
SEARCHES = 3
LIMIT_S = 3.0


def best_cpu_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def search_seconds() -> tuple[float, float]:
    """CPU and wall seconds of one `mcofa search`, from the start of its process to its end."""
    mcofa = Path(sys.executable).parent / "mcofa"
    with tempfile.TemporaryDirectory() as folder:
        start, start_cpu = time.perf_counter(), children_cpu_seconds()
        subprocess.run(
            [mcofa, "search", "--board", BOARD, "--out", Path(folder) / "run"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return children_cpu_seconds() - start_cpu, time.perf_counter() - start


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    print(
        f"{'engine':8s}{'space':14s}{'arena':8s}"
        f"{'archs':>9s}{'CPU s':>9s}{'archs/s':>11s}{'floor':>10s}  verdict"
    )
    for (engine, floors), name in itertools.product(FLOORS.items(), SPACES):
        space = load_space(name)
        costs = PopulationCosts(space, load_board(BOARD), engine)
        for (arena, archs, evaluate), floor in zip(
            (("bound", 100_000, costs.evaluate), ("exact", 20_000, costs.exact_arena_bytes)),
            floors[name],
            strict=True,
        ):
            genomes = space.sample(archs, np.random.default_rng(0))
            seconds = best_cpu_seconds(partial(evaluate, genomes))
            per_second = archs / seconds
            print(
                f"{engine:8s}{name:14s}{arena:8s}{archs:9,d}{seconds:9.3f}{per_second:11,.0f}{floor:10,d}"
                f"  {'kept' if per_second >= floor else 'MISSED'}"
            )
    search_seconds()
    cpu, wall = (
        statistics.median(seconds)
        for seconds in zip(*(search_seconds() for _ in range(SEARCHES)), strict=True)
    )
    print("\ncommand                          runs  median CPU s  median wall s  limit s  verdict")
    print(
        f"mcofa search --board {BOARD}   {SEARCHES:4d}  {cpu:12.3f}  {wall:13.3f}  {LIMIT_S:7.3f}"
        f"  {'within' if cpu < LIMIT_S else 'OVER'}"
    )


if __name__ == "__main__":
    main()

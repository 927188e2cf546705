"""How long `mcofa search` takes from the start of its process to its answer, and at what rate it judges.

The verdict on time is on CPU time, so that other work on the machine does not count; the verdict on
the rate is on archs whose arena is exact, TFLM's plan included, on one core.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from mcofa.accuracy.predictor import load_predictor
from mcofa.boards import load_board
from mcofa.files.resources import data_folder
from mcofa.search import board_budget, search
from mcofa.search.costs import CandidateCosts
from mcofa.space.search_space import load_space

BOARD = "stm32f746"
SPACE = "mcofa-micro"
RUNS = 3
LIMIT_S = 3.0
ARCHS = 20_000
LEAST_PER_S = 10_000
COMMANDS = (
    ("--board", BOARD),
    ("--board", "stm32f103"),
    ("--board", BOARD, "--max-arena-bytes", "32000"),
    ("--board", BOARD, "--min-top1", "90"),
    ("--board", BOARD, "--pareto", "arena_bytes,flash_bytes,top1_percent"),
)


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command_seconds(words: tuple[str, ...]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    mcofa = Path(sys.executable).parent / "mcofa"
    with tempfile.TemporaryDirectory() as folder:
        start, start_cpu = time.perf_counter(), children_cpu_seconds()
        subprocess.run(
            [mcofa, "search", *words, "--out", Path(folder) / "run"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return children_cpu_seconds() - start_cpu, time.perf_counter() - start


def main() -> None:
    print(f"{'mcofa search …':64s}{'CPU s':>8s}{'wall s':>8s}{'limit s':>9s}  verdict")
    for words in COMMANDS:
        runs = [command_seconds(words) for _ in range(RUNS)]
        cpu, wall = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
        verdict = "within" if cpu < LIMIT_S else "OVER"
        print(f"{' '.join(words):64s}{cpu:8.2f}{wall:8.2f}{LIMIT_S:9.2f}  {verdict}")

    space, board = load_space(SPACE), load_board(BOARD)
    predictor = load_predictor(data_folder("zoo") / f"{SPACE}.npz", space)
    genomes = space.sample(ARCHS, np.random.default_rng(0))
    costs = CandidateCosts(space, board, ("arena_bytes", "flash_bytes", "latency_ms"))
    start = time.process_time()
    costs.bounds(genomes)
    costs.exact_arena_bytes(genomes)
    predictor.predict(space, genomes)
    exact_per_s = ARCHS / (time.process_time() - start)
    start = time.process_time()
    found = search(space, board, board_budget(board), predictor, 0)
    searched_per_s = found.candidates / (time.process_time() - start)
    print(f"\n{'candidates per CPU second, ' + SPACE + ' on ' + BOARD:64s}{'per s':>8s}{'least':>8s}")
    for what, per_s in (
        ("arena, flash, latency and accuracy of each, all exact", exact_per_s),
        ("a whole search, which makes exact what could win", searched_per_s),
    ):
        verdict = "kept" if per_s >= LEAST_PER_S else "MISSED"
        print(f"{what:64s}{per_s:8,.0f}{LEAST_PER_S:8,d}           {verdict}")


if __name__ == "__main__":
    main()

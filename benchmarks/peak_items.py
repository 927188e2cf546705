"""How many archs a second the paper's metrics are computed for, and CSVs of archs are read.

The clock is the process's own CPU time on one core, so that other work on the machine does not count.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from mcofa.cost.peak_items import macs, params, peak_items
from mcofa.space.arch_table import Measured, read_archs, write_measured
from mcofa.space.search_space import load_space, space_names

ARCHS = 200_000
CSV_ARCHS = 100_000
RUNS = 5
FLOOR = {("ofa", "peak_items"): 1_000_000}


def best_cpu_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    print(f"{'space':22s}{'metric':12s}{'archs':>9s}{'CPU s':>9s}{'archs/s':>13s}{'floor':>11s}  verdict")
    for name in space_names():
        space = load_space(name)
        genomes = space.sample(ARCHS, np.random.default_rng(0))
        for metric in (peak_items, macs, params):
            metric(space, genomes[:1])  # fills the tables
            seconds = best_cpu_seconds(partial(metric, space, genomes))
            per_second = ARCHS / seconds
            floor = FLOOR.get((name, metric.__name__))
            verdict = "" if floor is None else "kept" if per_second >= floor else "MISSED"
            print(
                f"{name:22s}{metric.__name__:12s}{ARCHS:9,d}{seconds:9.3f}{per_second:13,.0f}"
                f"{'' if floor is None else format(floor, ','):>11s}  {verdict}".rstrip()
            )
    space = load_space("ofa")
    some = np.tile(space.sample(1_000, np.random.default_rng(0)), (CSV_ARCHS // 1_000, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archs.csv"
        write_measured(path, space, Measured(some, np.full(len(some), 50.0)))
        seconds = best_cpu_seconds(lambda: read_archs(path, space), runs=2)
    print(f"{'ofa':22s}{'read CSV':12s}{CSV_ARCHS:9,d}{seconds:9.3f}{CSV_ARCHS / seconds:13,.0f}")


if __name__ == "__main__":
    main()

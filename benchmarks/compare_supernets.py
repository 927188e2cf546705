"""Several supernets of one space on the same archs: mean top-1 by arena, and Kendall tau with the first.

    mcofa measure one.safetensors --count 80 --seed 1 --out one.csv
    mcofa measure other.safetensors --count 80 --seed 1 --out other.csv
    python benchmarks/compare_supernets.py ofa-micro one.csv other.csv

A part's row holds the archs of a quarter, from the smallest arenas on stm32f746 to the largest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from mcofa.accuracy.fit import quality
from mcofa.boards import load_board
from mcofa.cost.population import PopulationCosts
from mcofa.errors import McofaError
from mcofa.space.arch_table import Measured, read_measured
from mcofa.space.search_space import load_space

PARTS = 4


def by_arch(measured: Measured) -> dict[bytes, float]:
    archs = (genome.tobytes() for genome in measured.genomes)
    return dict(zip(archs, measured.top1_percent.tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("space")
    parser.add_argument("tables", type=Path, nargs="+", help="tables of mcofa measure")
    options = parser.parse_args()
    space = load_space(options.space)
    tables = [read_measured(path, space) for path in options.tables]
    found = [by_arch(table) for table in tables]
    genomes = np.array([genome for genome in tables[0].genomes if all(genome.tobytes() in t for t in found)])
    if len(genomes) < PARTS:
        sys.exit(f"Error: the tables share {len(genomes)} archs, at least {PARTS} needed")
    arenas = PopulationCosts(space, load_board("stm32f746")).exact_arena_bytes(genomes)
    order = np.argsort(arenas, kind="stable")
    top1 = np.array([[table[genome.tobytes()] for genome in genomes[order]] for table in found])
    print(f"| arena (B) | archs | {' | '.join(path.stem for path in options.tables)} |")
    print(f"|---|---:|{'---:|' * len(tables)}")
    for part in [*np.array_split(np.arange(len(genomes)), PARTS), np.arange(len(genomes))]:
        ends = arenas[order[part[[0, -1]]]]
        means = " | ".join(f"{mean:.2f}" for mean in top1[:, part].mean(1))
        print(f"| {ends[0]:,} to {ends[1]:,} | {len(part)} | {means} |")
    for path, other in zip(options.tables[1:], top1[1:], strict=True):
        difference, tau = other - top1[0], quality(other, top1[0]).kendall_tau
        print(
            f"{path.stem} - {options.tables[0].stem}: {difference.mean():+.2f} points on average, "
            f"{difference.std():.2f} their standard deviation; Kendall tau {tau:.2f}"
        )


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")

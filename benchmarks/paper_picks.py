"""The archs of the paper's table, scored by a predictor that had no part in choosing them.

A quadratic kernel ridge on one-hot options and the measurement batch, fitted on the archs that Girard
et al. measured on ImageNet, against the best that a search with such a predictor of its own found
anywhere in the space. Needs the measured archs: set MCOFA_DATA to the folder that holds imagenet_subnets/.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from predictor_models import Floats, inputs, measured_archs, quadratic_kernel

from mcofa.space.arch_table import Measured, read_archs, read_measured
from mcofa.space.search_space import Genomes, SearchSpace, load_space

DOCS = Path(__file__).resolve().parent.parent / "docs"
# Top-1 in percent for at most 325, 350, 400, 450, 500, 600, 700 and 800 thousand peak items.
BEST_OF_A_SEARCH_WITH_KERNEL_RIDGE = {
    "ofa": (71.61, 71.66, 71.66, 75.13, 75.13, 77.01, 77.01, 77.19),
    "compofa": (71.69, 71.99, 71.99, 75.34, 75.34, 77.04, 77.04, 77.26),
    "mcofa-v3": (72.97, 72.97, 74.26, 75.17, 76.42, 76.66, 77.71, 77.75),
}


def scores(space: SearchSpace, measured: Measured, genomes: Genomes) -> Floats:
    """Top-1 in percent, (archs,), averaged over the measurement batches."""
    assert measured.batches is not None
    by_batch = []
    for batch in sorted(set(measured.batches)):
        both = Measured(
            np.concatenate([measured.genomes, genomes]),
            np.concatenate([measured.top1_percent, np.zeros(len(genomes))]),
            measured.batches + (batch,) * len(genomes),
        )
        values = inputs(space, both, sums_share=0)
        fitted = len(measured)
        by_batch.append(quadratic_kernel(values[:fitted], measured.top1_percent, values[fitted:]))
    return np.asarray(np.mean(by_batch, axis=0))


def main() -> None:
    folder = measured_archs()
    print(
        f"{'space':10s}{'limit':>8s}{'range':>10s}{'ours':>8s}{'kernel ridge':>14s}{'against its best':>18s}"
    )
    for name, best in BEST_OF_A_SEARCH_WITH_KERNEL_RIDGE.items():
        space = load_space(name)
        measured = read_measured(folder / f"{name.replace('-', '_')}.csv", space)
        rows, genomes = read_archs(DOCS / f"paper-table-{name}.csv", space)
        by_limit = dict(zip(dict.fromkeys(row["max_peak_items"] for row in rows), best, strict=True))
        for row, score in zip(rows, scores(space, measured, genomes), strict=True):
            limit, ours = row["max_peak_items"], float(row["predicted_top1_percent"])
            print(
                f"{name:10s}{int(limit) // 1000:7d}k{row['range']:>10s}{ours:8.2f}"
                f"{score:14.2f}{score - by_limit[limit]:+18.2f}"
            )


if __name__ == "__main__":
    main()

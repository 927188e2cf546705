"""Which model predicts accuracy best, on the archs that Girard et al. measured on ImageNet.

Two questions: RMSE on a fifth of the archs, held out at random, and for archs with more MACs than
those fitted on: of each resolution the lower two thirds are fitted, the upper sixth predicted. All
models know the measurement batch. Needs the measured archs: set MCOFA_DATA to the folder that
holds imagenet_subnets/. ``--expect-all`` fails where they are missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
from evidence import outside_data, report_evidence

from mcofa.accuracy.features import features, options
from mcofa.cost.peak_items import macs
from mcofa.space.arch_table import Measured, read_measured
from mcofa.space.search_space import SearchSpace, load_space

TABLES = ("ofa.csv", "compofa.csv", "mcofa_v3.csv")
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Model = Callable[[Floats, Floats, Floats], Floats]

# What is predicted instead of the accuracy, and how it is turned back.
LINKS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "accuracy": (lambda top1: top1, lambda value: value),
    "root of error": (lambda top1: np.sqrt(100 - top1), lambda value: 100 - value**2),
    "log of error": (lambda top1: np.log(100 - top1), lambda value: 100 - np.exp(value)),
}


def quadratic_kernel(train: Floats, targets: Floats, test: Floats) -> Floats:
    from sklearn.kernel_ridge import KernelRidge

    model = KernelRidge(alpha=1, kernel="poly", degree=2, gamma=1, coef0=30)
    return model.fit(train, targets - targets.mean()).predict(test) + targets.mean()


def bayesian_ridge(train: Floats, targets: Floats, test: Floats) -> Floats:
    from sklearn.linear_model import BayesianRidge

    return BayesianRidge().fit(train, targets).predict(test)


def lightgbm(train: Floats, targets: Floats, test: Floats) -> Floats:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=600, learning_rate=0.05, num_leaves=15, n_jobs=1, verbose=-1)
    return model.fit(train, targets).predict(test)


# With the share that the sums by stage have of the features' mean square.
MODELS: dict[str, tuple[Model, str, float]] = {
    "ridge, options": (bayesian_ridge, "accuracy", 0),
    "LightGBM": (lightgbm, "accuracy", 0.5),
    "quadratic, options": (quadratic_kernel, "accuracy", 0),
    "quadratic": (quadratic_kernel, "accuracy", 0.5),
    "quadratic, log of error": (quadratic_kernel, "log of error", 0.5),
    "quadratic, root of error": (quadratic_kernel, "root of error", 0.5),
    "the same, sums 0.15": (quadratic_kernel, "root of error", 0.15),
}


def inputs(space: SearchSpace, measured: Measured, sums_share: float) -> Floats:
    """Options and sums by stage, with their shares of a mean square of 1, then the batch."""
    raw = features(space, measured.genomes).astype(np.float64)
    groups = np.split(raw, [options(space, measured.genomes).shape[1]], axis=1)
    centred = [group - group.mean(0) for group in groups]
    scaled = [
        group * np.sqrt(share / (group**2).sum(1).mean())
        for group, share in zip(centred, (1 - sums_share, sums_share), strict=True)
    ]
    batches = np.unique(np.array(measured.batches), return_inverse=True)[1]
    return np.concatenate([*scaled, 0.3 * np.eye(batches.max() + 1)[batches]], axis=1)


def splits(space: SearchSpace, measured: Measured) -> dict[str, tuple[Rows, Rows]]:
    order = np.random.default_rng(1).permutation(len(measured))
    amounts, fitted, beyond = macs(space, measured.genomes), [], []
    for resolution in range(len(space.resolutions)):
        rows = np.flatnonzero(measured.genomes[:, 0] == resolution)
        rows = rows[np.argsort(amounts[rows])]
        fitted.append(rows[: len(rows) * 2 // 3])
        beyond.append(rows[len(rows) * 5 // 6 :])
    fifth = len(measured) // 5
    return {
        "at random": (order[fifth:], order[:fifth]),
        "more MACs": (np.concatenate(fitted), np.concatenate(beyond)),
    }


def measured_archs() -> Path:
    """The folder of the measured archs; ends where one of their tables is missing."""
    folder = outside_data() / "imagenet_subnets"
    missing = {name for name in TABLES if not (folder / name).is_file()}
    report_evidence("tables of measured archs", len(TABLES) - len(missing), len(TABLES), missing)
    if missing:
        sys.exit(0)
    return folder


def main() -> None:
    folder = measured_archs()
    print(f"{'space':10s}{'model':26s}{'RMSE at random':>15s}{'RMSE more MACs':>16s}{'too low by':>12s}")
    for name in ("ofa", "compofa", "mcofa-v3"):
        space = load_space(name)
        measured = read_measured(folder / f"{name.replace('-', '_')}.csv", space)
        for title, (model, link, share) in MODELS.items():
            values, (to_target, from_target) = inputs(space, measured, share), LINKS[link]
            numbers = []
            for fitted, tried in splits(space, measured).values():
                found = from_target(
                    model(values[fitted], to_target(measured.top1_percent[fitted]), values[tried])
                )
                missing = measured.top1_percent[tried] - found
                numbers += [float(np.sqrt(np.mean(missing**2))), float(missing.mean())]
            print(f"{name:10s}{title:26s}{numbers[0]:15.3f}{numbers[2]:16.3f}{numbers[3]:+12.3f}", flush=True)


if __name__ == "__main__":
    main()

"""Fitting an accuracy predictor on measured archs.

Fewer than 30 archs do not tell what each option is worth: they give a linear model of the logarithms
of MACs and parameters, by least squares. After fine-tuning that is all that accuracy was found to
follow (docs/training.md).

From 30 archs on: kernel ridge regression with the kernel (x · y + 30)², which is ridge regression on
all products of two features. Options and sums by stage share a mean square of 1: with few archs the
sums have half of it, with thousands, which tell what each option is worth, less (``_sums_share``).
Where archs were measured in batches, the batch is a feature of its own, so that what a batch adds to
all its accuracies is not taken for a property of archs. The ridge is chosen by exact leave-one-out
errors, in each fold of the cross-validation anew.

Repeated measurements of an arch are all in one fold.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcofa.accuracy.features import SIZES, features, options, sizes
from mcofa.accuracy.predictor import Floats, Predictor, Provenance, root_errors
from mcofa.cost.peak_items import macs
from mcofa.errors import McofaError
from mcofa.space.arch_table import Measured
from mcofa.space.search_space import Genomes, SearchSpace

_FOLDS = 10
_FEWEST_ARCHS = 6
_ENOUGH_FOR_OPTIONS = 3 * _FOLDS
_OFFSET = 30.0
_BATCH_SCALE = 0.3
_ARCHS_WORTH_THE_SUMS = 300
_RIDGES = _OFFSET * np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10])


class TooFewArchsError(McofaError):
    """Not enough measurements to fit and cross-validate a predictor."""


class EqualAccuraciesError(McofaError):
    """Measurements that leave nothing to tell archs apart by."""


@dataclass(frozen=True)
class Quality:
    """How far predictions are from measurements: RMSE in points, and Kendall's tau (b)."""

    rmse_points: float
    kendall_tau: float


def quality(predicted: Floats, measured: Floats) -> Quality:
    """Compare accuracies in percent, (archs,) each."""
    rmse_points = float(np.sqrt(np.mean((predicted - measured) ** 2)))
    return Quality(round(rmse_points, 4), round(_kendall_tau(predicted, measured), 4))


def fit_predictor(space: SearchSpace, measured: Measured, measured_on: str) -> Predictor:
    """Fit a predictor and cross-validate it in ten folds; ``measured_on`` says where accuracies are from.

    Fewer than 30 distinct archs give one of sizes alone, which does not tell batches apart.

    Raises:
        TooFewArchsError: fewer than 6 distinct archs.
        EqualAccuraciesError: all accuracies are the same, or all but those of one fold.
    """
    rows = len(measured)
    folds = _folds(measured.genomes)
    fit = _fit_options if len(np.unique(measured.genomes, axis=0)) >= _ENOUGH_FOR_OPTIONS else _fit_sizes
    whole = fit(space, measured)
    held_out, in_batch, scale = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for fold in folds:
        fitted = fit(space, measured.take(np.setdiff1d(np.arange(rows), fold)))
        rest = measured.take(fold)
        found = fitted.predict(space, rest.genomes)
        held_out[fold], scale[fold] = found.top1_percent, found.std_points
        in_batch[fold] = fitted.predict(space, rest.genomes, rest.batches).top1_percent
    anywhere, known = quality(held_out, measured.top1_percent), quality(in_batch, measured.top1_percent)
    provenance = dataclasses.replace(
        whole.provenance,
        measured_on=measured_on,
        rmse_points=anywhere.rmse_points,
        kendall_tau=anywhere.kendall_tau,
        rmse_points_in_batch=known.rmse_points,
        kendall_tau_in_batch=known.kendall_tau,
    )
    noise = float(np.sqrt(np.mean(((held_out - measured.top1_percent) / scale) ** 2)))
    return dataclasses.replace(whole, provenance=provenance, noise=noise)


def _folds(genomes: Genomes) -> list[npt.NDArray[np.intp]]:
    """Share the rows among ten folds, those of equal archs in one."""
    _, first, arch_of = np.unique(genomes, axis=0, return_index=True, return_inverse=True)
    archs = np.sort(first)
    if len(archs) < _FEWEST_ARCHS:
        raise TooFewArchsError(
            f"{len(archs)} distinct archs measured, at least {_FEWEST_ARCHS} are needed",
            "measure more with `mcofa measure CHECKPOINT --count N`",
        )
    repeats = [np.flatnonzero(arch_of == arch_of[row]) for row in archs]
    shares = np.array_split(np.random.default_rng(0).permutation(len(archs)), min(_FOLDS, len(archs)))
    return [np.concatenate([repeats[arch] for arch in share]) for share in shares]


def _fit_sizes(space: SearchSpace, measured: Measured) -> Predictor:
    """Fit a predictor of sizes whose quality and noise are not known yet: the noise is 1."""
    raw: Floats = sizes(space, measured.genomes).astype(np.float64)
    targets = _targets(measured)
    centred = raw - raw.mean(0)
    slopes = np.linalg.lstsq(centred, targets - targets.mean(), rcond=None)[0]
    return Predictor(
        provenance=dataclasses.replace(_provenance(space, measured), batches=(), encoding=SIZES),
        mean_features=raw.mean(0).astype(np.float32),
        quadratic=np.zeros((2, 2), np.float32),
        linear=slopes[None].astype(np.float32),
        constants=targets.mean(keepdims=True).astype(np.float32),
        spread=np.linalg.pinv(centred.T @ centred).astype(np.float32),
        noise=1.0,
    )


def _fit_options(space: SearchSpace, measured: Measured) -> Predictor:
    """Fit a predictor of options whose quality and noise are not known yet: the noise is 1."""
    raw: Floats = features(space, measured.genomes).astype(np.float64)
    mean = raw.mean(0)
    scale = _scale(raw - mean, options(space, measured.genomes).shape[1])
    inputs = (raw - mean) / scale
    names, rows = np.unique(np.array(measured.batches or [""] * len(raw)), return_inverse=True)
    batches = np.eye(len(names))[rows] * _BATCH_SCALE
    batches, each_batch = batches - batches.mean(0), np.eye(len(names)) * _BATCH_SCALE - batches.mean(0)

    targets = _targets(measured)
    weights, left_out = _kernel_ridge(
        (inputs @ inputs.T + batches @ batches.T + _OFFSET) ** 2, targets - targets.mean()
    )
    likeness = each_batch @ batches.T
    ridge = np.mean(left_out**2) / max(targets.var(), np.mean(left_out**2))
    return Predictor(
        provenance=_provenance(space, measured),
        mean_features=mean.astype(np.float32),
        quadratic=((inputs.T * weights) @ inputs / np.outer(scale, scale)).astype(np.float32),
        linear=(2 * ((weights * (_OFFSET + likeness)) @ inputs) / scale).astype(np.float32),
        constants=(targets.mean() + ((_OFFSET + likeness) ** 2) @ weights).astype(np.float32),
        spread=(
            np.linalg.inv(inputs.T @ inputs + ridge * np.eye(len(scale))) / np.outer(scale, scale)
        ).astype(np.float32),
        noise=1.0,
    )


def _targets(measured: Measured) -> Floats:
    """Return what is fitted, (archs,)."""
    targets = root_errors(measured.top1_percent)
    if np.ptp(targets) == 0:
        raise EqualAccuraciesError(
            f"{len(targets)} measurements have the same top-1 accuracy, {measured.top1_percent[0]:g} %: "
            "there is nothing to fit",
            "see whether the checkpoint is trained and the data are its own, then measure again",
        )
    return targets


def _provenance(space: SearchSpace, measured: Measured) -> Provenance:
    """Say what is known before the cross-validation."""
    arch_macs = macs(space, measured.genomes)
    unknown = float("nan")
    return Provenance(
        space=space.name,
        space_fingerprint=space.fingerprint,
        measured_on="",
        measured_archs=len(np.unique(measured.genomes, axis=0)),
        batches=tuple(np.unique(measured.batches).tolist()) if measured.batches else (),
        lowest_top1_percent=float(measured.top1_percent.min()),
        highest_top1_percent=float(measured.top1_percent.max()),
        lowest_macs=int(arch_macs.min()),
        highest_macs=int(arch_macs.max()),
        rmse_points=unknown,
        kendall_tau=unknown,
        rmse_points_in_batch=unknown,
        kendall_tau_in_batch=unknown,
        finetune_epochs=measured.finetune_epochs,
    )


def _scale(centred: Floats, one_hot: int) -> Floats:
    """Return by what to divide features so that the mean squares of the groups are their shares of 1."""
    sums_share = _sums_share(len(centred))
    groups = np.split(centred, [one_hot], axis=1)
    squares = [
        float(np.mean((group**2).sum(1))) / share
        for group, share in zip(groups, (1 - sums_share, sums_share), strict=True)
    ]
    return np.repeat([np.sqrt(square) or 1.0 for square in squares], [group.shape[1] for group in groups])


def _sums_share(archs: int) -> float:
    """Return how much of the features' mean square the sums have.

    A half predicts best for a few hundred archs. For the 2,000 of the paper's spaces the share hardly
    matters to archs like the measured ones; a half predicts better beyond their MACs, a smaller one finds
    archs that another predictor rates higher (benchmarks/predictor_models.py and paper_picks.py).
    """
    return min(0.5, _ARCHS_WORTH_THE_SUMS / archs)


def _kernel_ridge(kernel: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Return the dual weights for the best ridge, and the residuals of leaving each arch out, (archs,) each.

    The kernel is decomposed once: K = V diag(w) V', and leaving arch i out makes its residual
    a_i / (K + ridge)^-1_ii (Golub, Heath and Wahba 1979).
    """
    eigenvalues, vectors = np.linalg.eigh(kernel)
    projected, squared = vectors.T @ targets, vectors**2
    best: tuple[Floats, Floats] | None = None
    for ridge in _RIDGES:
        inverse = 1 / (np.maximum(eigenvalues, 0) + ridge)
        weights = vectors @ (inverse * projected)
        left_out = weights / (squared @ inverse)
        if best is None or np.sum(left_out**2) < np.sum(best[1] ** 2):
            best = weights, left_out
    assert best is not None
    return best


def _kendall_tau(one: Floats, other: Floats) -> float:
    """Rank correlation in which ties count for nothing (Kendall's tau b); 0 when everything ties."""
    agreement = one_differs = other_differs = 0.0
    for i in range(1, len(one)):
        a, b = np.sign(one[:i] - one[i]), np.sign(other[:i] - other[i])
        agreement += float(a @ b)
        one_differs += float(a @ a)
        other_differs += float(b @ b)
    return agreement / float(np.sqrt(one_differs * other_differs)) if one_differs * other_differs else 0.0

"""Accuracy predictors: Bayesian linear regression on one-hot genomes, run with numpy alone.

A predictor is one ``.npz``; ``mcofa fit-predictor`` writes it (scikit-learn's
BayesianRidge). The prediction's standard deviation comes from the posterior of the
weights and the noise of the measurements. Predictions are bounded by the measured
accuracies, widened by one standard deviation of the noise: nothing is promised that
lies beyond what was seen.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.files import atomic_path
from mcofa.space import Genomes, SearchSpace

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Provenance:
    """Where a predictor comes from and how good it is.

    ``rmse_points`` and ``kendall_tau`` are cross-validated on held-out archs.
    """

    space: str
    measured_archs: int
    lowest_top1_percent: float
    highest_top1_percent: float
    rmse_points: float
    kendall_tau: float
    measured_on: str


@dataclass(frozen=True)
class Prediction:
    """Predicted top-1 accuracies and their standard deviations in percent, (archs,) each."""

    top1_percent: Floats
    std_points: Floats


@dataclass(frozen=True)
class Predictor:
    """Weights (features,), their covariance (features, features), and the noise of a measurement."""

    provenance: Provenance
    mean_features: Floats
    weights: Floats
    covariance: Floats
    intercept: float
    noise_points: float

    def predict(self, space: SearchSpace, genomes: Genomes) -> Prediction:
        """Predict the accuracy of ``genomes``, (archs, genes)."""
        centred = features(space, genomes) - self.mean_features
        mean = centred @ self.weights + self.intercept
        variance = np.einsum("nf,fg,ng->n", centred, self.covariance, centred, optimize=True)
        lowest = max(self.provenance.lowest_top1_percent - self.noise_points, 0)
        highest = min(self.provenance.highest_top1_percent + self.noise_points, 100)
        return Prediction(np.clip(mean, lowest, highest), np.sqrt(variance + self.noise_points**2))


def features(space: SearchSpace, genomes: Genomes) -> Floats:
    """Encode genomes as one-hot vectors, (archs, features).

    One feature for each resolution, for each depth of each stage, and for each kernel
    size and each expand ratio of each block; an inactive block's are all 0.
    """
    active = space.active(genomes)[..., None]
    parts = [
        np.eye(len(space.resolutions))[genomes[:, 0]],
        np.eye(len(space.depths))[space.depth_genes(genomes)],
        np.eye(len(space.kernel_sizes))[space.kernel_genes(genomes)] * active,
        np.eye(len(space.expand_ratios))[space.expand_genes(genomes)] * active,
    ]
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], axis=1)


def save_predictor(path: Path, predictor: Predictor) -> None:
    """Write a predictor, whole or not at all.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            provenance=np.array(json.dumps(asdict(predictor.provenance))),
            mean_features=predictor.mean_features,
            weights=predictor.weights,
            covariance=predictor.covariance,
            intercept=predictor.intercept,
            noise_points=predictor.noise_points,
        )


def load_predictor(path: Path, space: SearchSpace) -> Predictor:
    """Read a predictor for ``space``.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged, or was fitted on another space.
    """
    step = f"fit one with `mcofa measure CHECKPOINT` and `mcofa fit-predictor CSV --space {space.name}`"
    if not path.is_file():
        raise MissingFileError(path, f"accuracy predictor of {space.name}", step)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            predictor = Predictor(
                provenance=Provenance(**json.loads(str(file["provenance"]))),
                mean_features=_finite(file["mean_features"]),
                weights=_finite(file["weights"]),
                covariance=_finite(file["covariance"]),
                intercept=float(_finite(file["intercept"])),
                noise_points=float(_finite(file["noise_points"])),
            )
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged files
        raise FileFormatError(path, f"not an accuracy predictor: {error}", step) from error
    count = features(space, space.encode([space.smallest()])).shape[1]
    shapes = predictor.mean_features.shape, predictor.weights.shape, predictor.covariance.shape
    if predictor.provenance.space != space.name or shapes != ((count,), (count,), (count, count)):
        raise FileFormatError(
            path,
            f"was fitted on the space {predictor.provenance.space} with weights {predictor.weights.shape}, "
            f"not on {space.name} with weights {(count,)}",
            step,
        )
    return predictor


def _finite(values: npt.ArrayLike) -> Floats:
    floats = np.asarray(values, np.float64)
    if not np.isfinite(floats).all():
        raise ValueError("holds numbers that are not finite")
    return floats

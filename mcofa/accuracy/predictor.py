"""Accuracy predictors: a quadratic model of an arch's options, or of its sizes, run with numpy alone.

A predictor is one ``.npz``; ``mcofa fit-predictor`` writes it. It predicts the square root of the
top-1 error: on archs with more MACs than those fitted, over the paper's spaces, that has a smaller
RMSE than predicting the error or its logarithm (benchmarks/predictor_models.py).

Nothing is promised far beyond what was seen: where the model leaves the measured accuracies its
answer bends off, and never passes an error a tenth below the lowest or above the highest measured
one. Archs whose MACs or options were not measured are marked.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mcofa.accuracy.features import OPTIONS_AND_SUMS, Features, encode
from mcofa.cost.peak_items import macs
from mcofa.errors import FileFormatError, McofaError
from mcofa.files.atomic import atomic_path
from mcofa.files.read import read_file
from mcofa.space.search_space import Genomes, SearchSpace

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_LEAST_ERROR_PERCENT = 0.01
_MARGIN = 1 - math.sqrt(0.9)
_CHUNK_ARCHS = 2_048
"""Archs evaluated at once: their features stay in the processor's cache."""


class OtherSpaceError(FileFormatError):
    """A predictor of another space, be it of the same name."""


@dataclass(frozen=True)
class Provenance:
    """Where a predictor comes from and how good it is.

    RMSE and Kendall's tau are cross-validated on held-out archs: for an arch measured in a batch
    that is not named, and (``_in_batch``) for one in a batch that is. ``batches`` are the labels
    of the batches in which archs were measured, none when the table did not tell them apart. Each
    arch was fine-tuned for ``finetune_epochs`` before; 0: it had the supernet's weights. ``encoding``
    says what the features are (``arch_features.encode``).
    """

    space: str
    space_fingerprint: str
    measured_on: str
    measured_archs: int
    batches: tuple[str, ...]
    lowest_top1_percent: float
    highest_top1_percent: float
    lowest_macs: int
    highest_macs: int
    rmse_points: float
    kendall_tau: float
    rmse_points_in_batch: float
    kendall_tau_in_batch: float
    finetune_epochs: int = 0
    encoding: str = OPTIONS_AND_SUMS


def after_finetuning(epochs: int) -> str:
    """Say what an accuracy is of, to be appended to other words; nothing where nothing was fine-tuned."""
    return f" after {epochs} epoch{'s' * (epochs > 1)} of fine-tuning" if epochs else ""


OUTSIDE = "OUTSIDE what was measured"
"""Said of an accuracy whose ``Prediction.extrapolates`` is true."""


@dataclass(frozen=True)
class Prediction:
    """Predicted top-1 accuracies and their standard deviations in percent, (archs,) each.

    The deviation is that of one measurement of the arch from the prediction. ``extrapolates``
    says which archs have fewer or more MACs than every measured one, or an option that none has.
    """

    top1_percent: Floats
    std_points: Floats
    extrapolates: Booleans


@dataclass(frozen=True)
class Predictor:
    """The root of the error in percent as a quadratic function of centred features.

    ``quadratic`` is (features, features), ``linear`` (batches, features) and ``constants``
    (batches,), with a single batch when none were told apart. The root of a measured error deviates
    by ``noise`` · √(1 + x · ``spread`` · x) from that of features *x*.
    """

    provenance: Provenance
    mean_features: Features
    quadratic: Features
    linear: Features
    constants: Features
    spread: Features
    noise: float

    def predict(
        self, space: SearchSpace, genomes: Genomes, batches: Sequence[str] | None = None
    ) -> Prediction:
        """Predict the accuracy of ``genomes``, (archs, genes).

        ``batches`` names the batch in which each is measured. Without it, and for batches that are
        not in the provenance, the average over all batches is predicted.
        """
        rows = self._batch_rows(batches, len(genomes))
        starts = range(0, max(len(genomes), 1), _CHUNK_ARCHS)
        columns = zip(
            *(self._predict(space, genomes[i:j], rows[i:j]) for i in starts for j in [i + _CHUNK_ARCHS]),
            strict=True,
        )
        return Prediction(*map(np.concatenate, columns))

    def _batch_rows(self, batches: Sequence[str] | None, archs: int) -> npt.NDArray[np.intp]:
        """Which row of ``linear`` each arch takes; the row after the last is their average."""
        average = len(self.linear)
        if batches is None:
            return np.full(archs, average)
        known = {name: row for row, name in enumerate(self.provenance.batches)}
        return np.array([known.get(name, average) for name in batches], np.intp)

    def _predict(
        self, space: SearchSpace, genomes: Genomes, rows: npt.NDArray[np.intp]
    ) -> tuple[Floats, Floats, Booleans]:
        encoded = encode(self.provenance.encoding, space, genomes)
        centred = encoded - self.mean_features
        linear = np.vstack([self.linear, self.linear.mean(0)])
        constants = np.append(self.constants, self.constants.mean())
        by_batch = centred @ linear.T + constants
        root = _quadratic_form(centred, self.quadratic) + by_batch[np.arange(len(rows)), rows]
        seen = self.provenance
        lowest, highest = root_errors(np.array([seen.highest_top1_percent, seen.lowest_top1_percent]))
        inside = np.clip(root, lowest, highest)
        bounded = inside * (1 + _MARGIN * np.tanh((root / inside - 1) / _MARGIN))
        deviation = self.noise * np.sqrt(1 + np.maximum(_quadratic_form(centred, self.spread), 0))
        # An option that no measured arch has is 0 in all of them, and so is its mean.
        unseen = (encoded[:, self.mean_features == 0] > 0).any(1)
        arch_macs = macs(space, genomes)
        unseen |= (arch_macs < seen.lowest_macs) | (arch_macs > seen.highest_macs)
        return np.clip(100 - bounded**2, 0, 100), 2 * bounded * deviation, unseen


def root_errors(top1_percent: Floats) -> Floats:
    """Return the square roots of errors in percent; none is taken to be below 0.01 %."""
    return np.sqrt(np.maximum(100 - top1_percent, _LEAST_ERROR_PERCENT))


def _quadratic_form(vectors: Features, matrix: Features) -> Floats:
    values: Features = np.einsum("nf,nf->n", vectors @ matrix, vectors)
    return values.astype(np.float64)


def save_predictor(path: Path, predictor: Predictor) -> None:
    """Write a predictor, whole or not at all.

    Raises:
        McofaError: it holds numbers that are not finite.
        DiskWriteError: the operating system refused to write.
    """
    numbers = (predictor.mean_features, predictor.quadratic, predictor.linear, predictor.constants)
    if not all(np.isfinite(array).all() for array in (*numbers, predictor.spread, predictor.noise)):
        raise McofaError(
            f"{path} is not written: the fit gave numbers that are not finite",
            "look for accuracies or archs out of line in the table, or measure more",
        )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            provenance=np.array(json.dumps(asdict(predictor.provenance))),
            mean_features=predictor.mean_features,
            quadratic=predictor.quadratic,
            linear=predictor.linear,
            constants=predictor.constants,
            spread=predictor.spread,
            noise=predictor.noise,
        )


def load_predictor(path: Path, space: SearchSpace) -> Predictor:
    """Read a predictor for ``space``.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged.
        OtherSpaceError: it was fitted on another space.
    """
    step = (
        f"fit one for {space.name} with `mcofa measure CHECKPOINT` (--count 8 --finetune-epochs 10 for "
        "--finetuned) and `mcofa fit-predictor CSV --space SPACE`, and name it with --predictor"
    )
    content = read_file(path, f"accuracy predictor of {space.name}", step)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            provenance = json.loads(str(file["provenance"]))
            provenance["batches"] = tuple(provenance["batches"])
            fitted = Provenance(**provenance)
            count = encode(fitted.encoding, space, space.encode([space.smallest()])).shape[1]
            predictor = Predictor(
                provenance=fitted,
                mean_features=_finite(file["mean_features"]),
                quadratic=_finite(file["quadratic"]),
                linear=_finite(file["linear"]),
                constants=_finite(file["constants"]),
                spread=_finite(file["spread"]),
                noise=float(_finite(file["noise"])),
            )
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged files
        raise FileFormatError(path, f"not an accuracy predictor: {error}", step) from error
    if fitted.space_fingerprint != space.fingerprint:
        raise OtherSpaceError(
            path,
            f"was fitted on the space {fitted.space} ({fitted.space_fingerprint}), not on {space.name} "
            f"({space.fingerprint})",
            step,
        )
    rows = max(len(fitted.batches), 1)
    arrays = (
        predictor.mean_features,
        predictor.quadratic,
        predictor.linear,
        predictor.constants,
        predictor.spread,
    )
    shapes = [array.shape for array in arrays]
    if shapes != [(count,), (count, count), (rows, count), (rows,), (count, count)]:
        raise FileFormatError(
            path,
            f"not an accuracy predictor: arrays of {shapes} for {count} features and {rows} batch(es)",
            step,
        )
    return predictor


def _finite(values: npt.ArrayLike) -> Features:
    floats = np.asarray(values, np.float32)
    if not np.isfinite(floats).all():
        raise ValueError("holds numbers that are not finite")
    return floats

"""Measuring what a search proposes, so that the choice rests on more than a prediction.

Only training images (batch norm, calibration) and validation images (accuracy) are used.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.checks.evaluate import quantize_images
from export.convert.calibration import calibration_images
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.runtimes import litert
from mcofa.accuracy.predictor import after_finetuning
from mcofa.errors import McofaError
from mcofa.files.resources import data_folder
from mcofa.runs.sources import recorded_source
from mcofa.search import Candidate, Found, SearchRequest
from mcofa.search.progress import Show
from mcofa.space.fit import Fit
from mcofa.space.search_space import GlobalAverage, SearchSpace
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.measure.evaluate import calibrate, top1_percent
from mcofa.supernet.network.checkpoint import load_supernet_of
from mcofa.supernet.network.subnet import Subnet
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.network.trained import check_trained


@dataclass(frozen=True)
class Measured:
    """A candidate and its accuracy on the validation split, int8 only where it was asked for."""

    candidate: Candidate
    float_top1_percent: float
    int8_top1_percent: float | None
    images: int

    @property
    def top1_percent(self) -> float:
        """What the candidates are ranked by: the int8 accuracy, or without one the float accuracy."""
        return self.float_top1_percent if self.int8_top1_percent is None else self.int8_top1_percent

    @property
    def standard_error_points(self) -> float:
        """How far an accuracy on that many images is off by chance, in points."""
        share = self.top1_percent / 100
        return 100 * math.sqrt(share * (1 - share) / self.images)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's entry."""
        int8 = (
            {} if self.int8_top1_percent is None else {"int8_top1_percent": round(self.int8_top1_percent, 3)}
        )
        return {
            "arch": self.candidate.arch.to_json(),
            "arch_text": str(self.candidate.arch),
            "predicted_top1_percent": round(self.candidate.top1_percent, 3),
            "float_top1_percent": round(self.float_top1_percent, 3),
            **int8,
            "standard_error_points": round(self.standard_error_points, 3),
        }


@dataclass(frozen=True)
class Verify:
    """What ``mcofa search --verify`` adds to a search: the best candidates measured, and ranked by that.

    ``checkpoint`` holds the supernet, by default that in the zoo; ``data_name`` stands in for the data
    set it was trained on.
    """

    checkpoint: Path | None = None
    int8: bool = False
    data_name: str | None = None

    def check(self, request: SearchRequest) -> None:
        """Refuse a supernet that cannot be measured, and predictions that measuring says nothing about.

        Raises:
            McofaError: the predictor's accuracies are those of fine-tuned networks.
            MissingFileError: there is no such checkpoint.
            FileFormatError: the checkpoint is damaged, of another space, not fully trained, or names no
                data set.
        """
        if epochs := request.predictor.provenance.finetune_epochs:
            raise McofaError(
                f"--verify {request.keep} measures subnets with the supernet's weights, but "
                f"{request.predictor_file} predicts accuracies{after_finetuning(epochs)}",
                "leave --verify out and fine-tune what is found, or choose another predictor",
            )
        load_measurable(self._of(request.space), request.space, self.data_name)

    def __call__(
        self, request: SearchRequest, folder: Path, found: Found, show: Show
    ) -> tuple[Found, dict[str, Any]]:
        """Measure the best candidates; return them in their new order, and what the manifest in folder says.

        That the search was exhaustive proves a choice only while it is the best predicted one, and the
        whole list only where the list is of the best predicted ones.
        """
        checkpoint = self._of(request.space)
        with show("measuring on validation images") as update:
            update(0, len(found.best), "")
            measured = verify_candidates(
                checkpoint,
                request.space,
                found.best,
                self.int8,
                lambda done: update(done, len(found.best), ""),
                self.data_name,
            )
        order = ranked(measured, request.min_top1_percent)
        best = tuple(one.candidate for one in order)
        chosen = replace(found, best=best, exhaustive=found.exhaustive and best[0] == found.best[0])
        proven = {"exhaustive": found.exhaustive and request.min_top1_percent is None}
        return chosen, verification_section(recorded_source(checkpoint, folder), order) | proven

    def _of(self, space: SearchSpace) -> Path:
        return self.checkpoint or data_folder("zoo") / f"{space.name}.safetensors"


def load_measurable(
    checkpoint: Path, space: SearchSpace, data_name: str | None = None
) -> tuple[Supernet, str, Fit]:
    """Return the supernet that measures archs of ``space``, the data set to measure on, and how it is fitted.

    Raises:
        MissingFileError: there is no such checkpoint.
        FileFormatError: the checkpoint is damaged, of another space, not fully trained, or names no data set.
    """
    header, supernet = load_supernet_of(space.name, space.fingerprint, checkpoint)
    check_trained(checkpoint, header, space.smallest())
    return supernet, data_name or header.data, header.fit


def verify_candidates(
    checkpoint: Path,
    space: SearchSpace,
    candidates: Sequence[Candidate],
    int8: bool,
    report: Callable[[int], None] = lambda done: None,
    data_name: str | None = None,
) -> tuple[Measured, ...]:
    """Measure candidates with the supernet's weights, batch norm recalibrated for each, in their order.

    With ``int8`` each is also exported and its int8 model measured (LiteRT, reference kernels).
    ``report`` is called with the number done; ``data_name`` stands in for the data set of the checkpoint.

    Raises:
        MissingFileError: checkpoint or data set missing.
        FileFormatError: the checkpoint is damaged, of another space, not fully trained, or names no data set.
    """
    supernet, data_name, fit = load_measurable(checkpoint, space, data_name)
    data_at = functools.cache(load_data_for(space, data_name, fit).at)
    measured: list[Measured] = []
    for candidate in candidates:
        data = data_at(candidate.arch.resolution)
        subnet = calibrate(supernet.extract(candidate.arch), data.train, data.preprocessing)
        measured.append(
            Measured(
                candidate=candidate,
                float_top1_percent=top1_percent(subnet, data.validation, data.preprocessing),
                int8_top1_percent=_int8_top1_percent(subnet, data, space.global_average) if int8 else None,
                images=len(data.validation),
            )
        )
        report(len(measured))
    return tuple(measured)


def ranked(measured: Sequence[Measured], min_top1_percent: float | None) -> tuple[Measured, ...]:
    """Return the most accurate first, of equals in the order given.

    With ``min_top1_percent`` those that reach it come first, as they were: the search has put the
    smallest first.
    """

    def place(found: Measured) -> float:
        reached = min_top1_percent is not None and found.top1_percent >= min_top1_percent
        return -math.inf if reached else -found.top1_percent

    return tuple(sorted(measured, key=place))


def verification_section(checkpoint: dict[str, str], measured: Sequence[Measured]) -> dict[str, Any]:
    """Return what the manifest says of measured candidates, given as they were ranked.

    ``checkpoint`` is what it says of their weights.
    """
    return {
        "checkpoint": checkpoint,
        "split": "validation",
        "images": measured[0].images,
        "ranked_by": "float" if measured[0].int8_top1_percent is None else "int8",
        "candidates": [found.to_json() for found in measured],
    }


def _int8_top1_percent(subnet: Subnet, data: ImageData, global_average: GlobalAverage) -> float:
    images = calibration_images(data)
    model = to_tflite(to_onnx(subnet, images.shape[2:]), images, global_average)
    source = {
        "scale": model.input_quantization.scale,
        "zero_point": model.input_quantization.zero_point,
        "rotate_180": model.rotate_180,
    }
    right = 0
    for chunk in data.validation.chunks():
        quantized = quantize_images(data.preprocessing.normalise(chunk.images).numpy(), source)
        right += int((litert.invoke(model.data, quantized).argmax(1) == chunk.targets.numpy()).sum())
    return 100 * (right / len(data.validation))

"""The accuracies of a run, in the order in which its commands predicted and measured them.

Each says of what weights and of what images it is: the supernet's weights and those after
fine-tuning, validation and test images are not to be compared as if they were one.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.accuracy.predictor import OUTSIDE, after_finetuning
from mcofa.runs.manifest import Manifest, SearchSection

_SUPERNET, _FINETUNED = "the supernet's weights", "fine-tuned weights"


@dataclass(frozen=True)
class Step:
    """One accuracy in percent, with its standard deviation or error where that is known."""

    name: str
    top1_percent: float
    weights: str
    images: str
    deviation_points: float | None = None
    note: str = ""

    @property
    def words(self) -> str:
        """The value, and all that it is of."""
        spread = "" if self.deviation_points is None else f" ± {self.deviation_points:.2f}"
        note = f"; {self.note}" if self.note else ""
        return f"{self.top1_percent:.2f}{spread} % of {self.images}, {self.weights}{note}"


def accuracy_steps(manifest: Manifest) -> list[Step]:
    """Return every accuracy that the manifest holds."""
    return [*_searched(manifest.search), *_finetuned(manifest), *_evaluated(manifest)]


def weights_note(manifest: Manifest, run: str) -> str:
    """Say where the exported weights are not those that the prediction is of; nothing where they are."""
    if manifest.export is None:
        return ""
    epochs = manifest.search.predictor_finetune_epochs
    exported = _exported(manifest)
    if bool(epochs) == (exported == _FINETUNED):
        return ""
    note = f"The prediction is of {_predicted_weights(epochs)}, the exported file has {exported}"
    if epochs:
        return f"{note}: `mcofa finetune {run} --epochs {epochs}`, then `mcofa export {run}`."
    return f"{note}."


def _predicted_weights(epochs: int) -> str:
    return f"weights{after_finetuning(epochs)}" if epochs else _SUPERNET


def _exported(manifest: Manifest) -> str:
    return _FINETUNED if manifest.export and manifest.export.weights == "finetuned" else _SUPERNET


def _searched(searched: SearchSection) -> list[Step]:
    steps = []
    if predicted := searched.predicted:
        weights = _predicted_weights(searched.predictor_finetune_epochs)
        note = OUTSIDE if predicted.outside_measured_range else ""
        top1, std = predicted.top1_percent, predicted.top1_std_points
        steps.append(Step("predicted", top1, weights, "validation images", std, note))
    if verified := searched.verified:
        chosen = verified.candidates[0]
        images = f"{verified.images:,} {verified.split} images"
        name, top1 = f"verified, {verified.ranked_by}", chosen.top1_percent
        steps.append(Step(name, top1, _SUPERNET, images, chosen.standard_error_points))
    return steps


def _finetuned(manifest: Manifest) -> list[Step]:
    if (tuned := manifest.finetune) is None:
        return []
    top1 = tuned.validation_top1_percent
    images = f"{tuned.validation_images:,} validation images ({tuned.validated_as})"
    used = manifest.export is None or _exported(manifest) == _FINETUNED
    return [
        Step("before fine-tuning", top1.before, _SUPERNET, images),
        Step("fine-tuned", top1.after, _FINETUNED, images, note="" if used else "not exported"),
    ]


def _evaluated(manifest: Manifest) -> list[Step]:
    if (measured := manifest.evaluate) is None:
        return []
    weights = _exported(manifest)
    images = f"{measured.test_images:,} test images"
    differ = measured.tflm_images_that_differ_from_litert
    some = f"{measured.tflm_images:,} test images"
    return [
        Step("float", measured.float_top1_percent, weights, images),
        Step("int8, LiteRT", measured.int8_top1_percent, weights, images),
        Step("int8, TFLM", measured.tflm_top1_percent, weights, some, note=f"{differ} differ from LiteRT"),
    ]

"""The accuracies of a run, in the order in which its commands predicted and measured them.

Each says of what weights and of what images it is: the supernet's weights and those after
fine-tuning, validation and test images are not to be compared as if they were one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcofa.accuracy.predictor import OUTSIDE, after_finetuning

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


def accuracy_steps(manifest: dict[str, Any]) -> list[Step]:
    """Return every accuracy that the manifest holds."""
    return [*_searched(manifest["search"]), *_finetuned(manifest), *_evaluated(manifest)]


def weights_note(manifest: dict[str, Any], run: str) -> str:
    """Say where the exported weights are not those that the prediction is of; nothing where they are."""
    if "export" not in manifest:
        return ""
    epochs = manifest["search"].get("predictor_finetune_epochs", 0)
    exported = _exported(manifest)
    if bool(epochs) == (exported == _FINETUNED):
        return ""
    note = f"The prediction is of {_predicted_weights(epochs)}, the exported file has {exported}"
    if epochs:
        return f"{note}: `mcofa finetune {run} --epochs {epochs}`, then `mcofa export {run}`."
    return f"{note}."


def _predicted_weights(epochs: int) -> str:
    return f"weights{after_finetuning(epochs)}" if epochs else _SUPERNET


def _exported(manifest: dict[str, Any]) -> str:
    return _FINETUNED if manifest["export"].get("weights") == "finetuned" else _SUPERNET


def _searched(searched: dict[str, Any]) -> list[Step]:
    predicted = searched["predicted"]
    weights = _predicted_weights(searched.get("predictor_finetune_epochs", 0))
    note = OUTSIDE if predicted["outside_measured_range"] else ""
    top1, std = predicted["top1_percent"], predicted["top1_std_points"]
    steps = [Step("predicted", top1, weights, "validation images", std, note)]
    if "verified" in searched:
        verified = searched["verified"]
        chosen, by = verified["candidates"][0], verified["ranked_by"]
        images = f"{verified['images']:,} {verified['split']} images"
        top1, error = chosen[f"{by}_top1_percent"], chosen["standard_error_points"]
        steps.append(Step(f"verified, {by}", top1, _SUPERNET, images, error))
    return steps


def _finetuned(manifest: dict[str, Any]) -> list[Step]:
    if "finetune" not in manifest:
        return []
    tuned = manifest["finetune"]
    top1 = tuned["validation_top1_percent"]
    images = f"{tuned['validation_images']:,} validation images ({tuned['validated_as']})"
    used = "export" not in manifest or _exported(manifest) == _FINETUNED
    return [
        Step("before fine-tuning", top1["before"], _SUPERNET, images),
        Step("fine-tuned", top1["after"], _FINETUNED, images, note="" if used else "not exported"),
    ]


def _evaluated(manifest: dict[str, Any]) -> list[Step]:
    if "evaluate" not in manifest:
        return []
    measured, weights = manifest["evaluate"], _exported(manifest)
    images = f"{measured['test_images']:,} test images"
    differ = measured["tflm_images_that_differ_from_litert"]
    some = f"{measured['tflm_images']:,} test images"
    return [
        Step("float", measured["float_top1_percent"], weights, images),
        Step("int8, LiteRT", measured["int8_top1_percent"], weights, images),
        Step("int8, TFLM", measured["tflm_top1_percent"], weights, some, note=f"{differ} differ from LiteRT"),
    ]

"""The accuracies of a run, in the order in which its commands predicted and measured them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcofa.accuracy.predictor import OUTSIDE, after_finetuning


@dataclass(frozen=True)
class Step:
    """One accuracy: what it is of, its value, and the value in words, with the images behind it."""

    name: str
    top1_percent: float
    words: str


def accuracy_steps(manifest: dict[str, Any]) -> list[Step]:
    """Return every accuracy that the manifest holds."""
    return [
        *_searched(manifest["search"]),
        *_finetuned(manifest),
        *_evaluated(manifest.get("evaluate")),
    ]


def _searched(searched: dict[str, Any]) -> list[Step]:
    predicted = searched["predicted"]
    outside = f"; {OUTSIDE}" if predicted["outside_measured_range"] else ""
    std = predicted["top1_std_points"]
    of = f"(validation{after_finetuning(searched.get('predictor_finetune_epochs', 0))}{outside})"
    steps = [_step("predicted", predicted["top1_percent"], of, std)]
    if "verified" in searched:
        verified = searched["verified"]
        chosen, by = verified["candidates"][0], verified["ranked_by"]
        images = f"of {verified['images']:,} {verified['split']} images"
        error = chosen["standard_error_points"]
        steps.append(_step(f"verified, {by}", chosen[f"{by}_top1_percent"], images, error))
    return steps


def _finetuned(manifest: dict[str, Any]) -> list[Step]:
    if "finetune" not in manifest:
        return []
    tuned = manifest["finetune"]
    top1 = tuned["validation_top1_percent"]
    images = f"of {tuned['validation_images']:,} validation images ({tuned['validated_as']})"
    used = manifest.get("export", {}).get("weights", "finetuned") == "finetuned"
    return [
        _step("before fine-tuning", top1["before"], images),
        _step("fine-tuned", top1["after"], images if used else f"{images}, but not exported"),
    ]


def _evaluated(measured: dict[str, Any] | None) -> list[Step]:
    if measured is None:
        return []
    images = f"of {measured['test_images']:,} test images"
    differ = measured["tflm_images_that_differ_from_litert"]
    tflm_images = f"of {measured['tflm_images']:,} test images, of which {differ} differ from LiteRT"
    return [
        _step("float", measured["float_top1_percent"], images),
        _step("int8, LiteRT", measured["int8_top1_percent"], images),
        _step("int8, TFLM", measured["tflm_top1_percent"], tflm_images),
    ]


def _step(name: str, top1_percent: float, of: str, deviation: float | None = None) -> Step:
    """``deviation``: the standard deviation or error in points, where it is known."""
    spread = "" if deviation is None else f" ± {deviation:.2f}"
    return Step(name, top1_percent, f"{top1_percent:.2f}{spread} % {of}")

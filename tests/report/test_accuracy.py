"""Every accuracy of a run says of what weights and what images it is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from recorded_sections import manifest_of

from mcofa.report.accuracy import accuracy_steps, weights_note

PREDICTED = {"top1_percent": 93.7, "top1_std_points": 0.1, "outside_measured_range": False}
TUNED = {
    "validation_images": 5_000,
    "validated_as": "float",
    "validation_top1_percent": {"before": 91.0, "after": 93.0},
}
MEASURED = {
    "float_top1_percent": 92.5,
    "int8_top1_percent": 92.4,
    "tflm_top1_percent": 93.1,
    "test_images": 10_000,
    "tflm_images": 1_000,
    "tflm_images_that_differ_from_litert": 0,
}
VERIFIED = {
    "split": "validation",
    "images": 5_000,
    "ranked_by": "float",
    "candidates": [{"float_top1_percent": 91.0, "standard_error_points": 0.4}],
}


def manifest(epochs: int, exported: str | None, *, tuned: bool, verified: bool) -> dict[str, Any]:
    searched: dict[str, Any] = {"predicted": PREDICTED, "predictor_finetune_epochs": epochs}
    sections: dict[str, Any] = {"search": searched}
    if verified:
        searched["verified"] = VERIFIED
    if tuned:
        sections["finetune"] = TUNED
    if exported:
        sections |= {"export": {"weights": exported}, "evaluate": MEASURED}
    return sections


CASES = [
    manifest(epochs, exported, tuned=tuned, verified=verified)
    for epochs, exported, tuned, verified in itertools.product(
        (0, 1, 10), (None, "supernet", "finetuned"), (False, True), (False, True)
    )
]


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_that_were_predicted_tuned_or_exported(case: dict[str, Any]) -> None:
    steps = {step.name: step for step in accuracy_steps(manifest_of(case))}
    epochs = case["search"]["predictor_finetune_epochs"]
    after = f"weights after {epochs} epoch{'s' * (epochs > 1)} of fine-tuning"
    assert steps["predicted"].weights == (after if epochs else "the supernet's weights")
    of_supernet = {"verified, float", "before fine-tuning"} & steps.keys()
    assert {steps[name].weights for name in of_supernet} <= {"the supernet's weights"}
    if "export" in case:
        exported = {"supernet": "the supernet's weights", "finetuned": "fine-tuned weights"}
        weights = {steps[name].weights for name in ("float", "int8, LiteRT", "int8, TFLM")}
        assert weights == {exported[case["export"]["weights"]]}
    for step in steps.values():
        assert step.weights in step.words
        assert step.images in step.words
        assert "images" in step.images


@pytest.mark.parametrize("case", CASES)
def test_weights_other_than_the_predicted_ones_are_pointed_out(case: dict[str, Any]) -> None:
    epochs = case["search"]["predictor_finetune_epochs"]
    note = weights_note(manifest_of(case), "runs/x")
    differ = "export" in case and (case["export"]["weights"] == "finetuned") != bool(epochs)
    assert bool(note) == differ
    assert (f"`mcofa finetune runs/x --epochs {epochs}`" in note) == (differ and epochs > 0)

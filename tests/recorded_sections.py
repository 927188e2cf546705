"""Sections of a manifest for tests that need a run, but not the command that would have recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcofa.runs.checked_manifest import typed_manifest
from mcofa.runs.manifest import Manifest
from mcofa.runs.run import artefact


def export_section(
    files: Mapping[str, bytes],
    resolution: int = 28,
    preprocessing: Mapping[str, float] | None = None,
    scale: float = 0.5,
    zero_point: int = 0,
    rotate_180: bool = False,
) -> dict[str, Any]:
    """Return the export section of a grey network with the files network.onnx and network.tflite."""
    quantized = {"scale": scale, "zero_point": zero_point}
    return {
        "checkpoint": {"file": "zoo/mcofa-micro.safetensors", "sha256": "0" * 64},
        "weights": "supernet",
        "data": "fashion-mnist",
        "resolution": resolution,
        "channels": 1,
        "labels": [f"class {number}" for number in range(10)],
        "preprocessing": dict(preprocessing or {"mean": 0.5, "std": 0.25}),
        "calibration": {"split": "train", "images": 64},
        "input": {"shape": [1, resolution, resolution, 1], **quantized, "rotate_180": rotate_180},
        "output": {"shape": [1, 10], **quantized},
        "op_kinds": ["CONV_2D"],
        "arena_bytes": 20_000,
        "offline_plan": {"used": False, "saved_bytes": 0, "growth_bytes": 0},
        "onnx": artefact("network.onnx", files["network.onnx"]),
        "tflite": artefact("network.tflite", files["network.tflite"]),
        "c_arrays": [],
    }


def finetune_section(arch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the finetune section of an arch, as JSON, whose weights are no file."""
    return {
        "checkpoint": {"file": "zoo/mcofa-micro.safetensors", "sha256": "0" * 64},
        "arch": dict(arch),
        "data": "fashion-mnist",
        "settings": {"epochs": 2},
        "validation_images": 5_000,
        "validated_as": "float",
        "validation_top1_percent": {"before": 88.5, "after": 90.25, "epochs": [89.0, 90.25]},
        "kept_epoch": 2,
        "seconds": 1.5,
        "weights": artefact("finetuned.safetensors", b""),
    }


def evaluate_section() -> dict[str, Any]:
    """Return an evaluate section."""
    return {
        "data": "fashion-mnist",
        "test_images": 10_000,
        "float_top1_percent": 90.5,
        "int8_top1_percent": 90.25,
        "tflm_images": 1_000,
        "tflm_top1_percent": 91.0,
        "tflm_images_that_differ_from_litert": 0,
    }


def verify_section() -> dict[str, Any]:
    """Return a verify section."""
    return {
        "data": "fashion-mnist",
        "split": "validation",
        "images": 100,
        "top1_percent": {"PyTorch": 90.0, "ONNX": 90.0, "LiteRT": 90.0, "TFLM": 90.0},
        "steps": [],
        "ops": [],
        "passed": True,
    }


def search_section() -> dict[str, Any]:
    """Return the search section of a search without a board."""
    return {
        "space": "mcofa-micro",
        "space_fingerprint": "0",
        "arch": {"resolution": 28, "kernel_sizes": [[3]], "expand_ratios": [[1]]},
        "predicted": {
            "macs": 1_000,
            "peak_items": 1_000,
            "top1_percent": 90.0,
            "top1_std_points": 0.2,
            "outside_measured_range": False,
        },
    }


def arena_check_section() -> dict[str, Any]:
    """Return an arena-check section as mcofa 0.1 recorded it."""
    return {
        "board": "stm32f746",
        "core": "cortex-m7",
        "kernels": "cmsis-nn",
        "arena_bytes": 17_000,
        "arena_budget_bytes": 262_112,
        "x86_64_predicted_head_bytes": 7_008,
        "x86_64_measured_head_bytes": 7_008,
        "x86_64_predicted_tail_bytes": 5,
        "x86_64_measured_tail_bytes": 5,
        "passed": True,
        "failures": [],
    }


_NO_FILES = {"network.onnx": b"", "network.tflite": b""}
_VERIFIED = {
    "checkpoint": {"file": "zoo/mcofa-micro.safetensors", "sha256": "0" * 64},
    "candidates": [{"float_top1_percent": 90.0, "standard_error_points": 0.4}],
}
_COMPLETE: Mapping[str, dict[str, Any]] = {
    "search": search_section(),
    "finetune": finetune_section(search_section()["arch"]),
    "export": export_section(_NO_FILES),
    "evaluate": evaluate_section(),
    "verify": verify_section(),
    "arena_check": arena_check_section(),
}


def manifest_of(sections: Mapping[str, Any]) -> Manifest:
    """Return a manifest with these sections; what they leave out is made up."""
    document: dict[str, Any] = {"mcofa_version": "0"}
    for name, given in sections.items():
        document[name] = _completed(_COMPLETE[name], given) if name in _COMPLETE else given
    return typed_manifest(document, Path("manifest.json"))


def _completed(complete: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**complete, **given}
    if "verified" in given:
        merged["verified"] = _completed(_VERIFIED, given["verified"])
        made_up = _VERIFIED["candidates"][0]
        merged["verified"]["candidates"] = [made_up | one for one in given["verified"]["candidates"]]
    for key in ("predicted", "tflite", "offline_plan"):
        if key in given and key in complete:
            merged[key] = {**complete[key], **given[key]}
    return merged

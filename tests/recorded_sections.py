"""Sections of a manifest for tests that need a run, but not the command that would have recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

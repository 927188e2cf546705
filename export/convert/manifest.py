"""What the manifest says of an export besides the files: versions, sizes, agreement of ONNX with PyTorch."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from export.runtimes import float_onnx
from export.runtimes import tflm as arena
from export.tflite.model_file import ModelFile
from export.tflite.quantization import FloatArray
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.graph import Graph

_PACKAGES = (
    "ai-edge-litert",
    "flatbuffers",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "tflite-micro",
    "torch",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an export depends on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def sizes(predicted: Graph, model: ModelFile, plan_growth_bytes: int) -> dict[str, Any]:
    """Return predicted and measured sizes of the file ``model``, in bytes.

    ``predicted`` is the graph that the search knew; ``plan_growth_bytes`` is what an offline memory
    plan adds to its file. The arena is measured where TFLM runs, on x86-64.
    """
    on_host = account(model.graph, target("x86-64", "reference"))
    measured = arena.measure(model.data, model.name)
    return {
        "model_predicted_bytes": model_file_bytes(predicted) + plan_growth_bytes,
        "model_bytes": len(model.data),
        "x86_64_head_predicted_bytes": on_host.head_bytes,
        "x86_64_head_bytes": measured.head_bytes,
        "x86_64_tail_predicted_bytes": on_host.recording_tail_bytes,
        "x86_64_tail_bytes": measured.recording_tail_bytes,
    }


def onnx_agreement(model: bytes, expected: FloatArray, images: FloatArray, split: str) -> dict[str, Any]:
    """Compare the ONNX ``model`` with PyTorch, whose logits are ``expected``, on images of a split."""
    found = float_onnx.logits(model, images)
    return {
        "split": split,
        "images": len(images),
        "max_abs_error": float(np.abs(found - expected).max()),
        "top1_agreement_percent": round(100 * float((found.argmax(1) == expected.argmax(1)).mean()), 2),
    }

"""Accuracy of a run's models on the test split: float (ONNX), int8 on LiteRT, int8 on TFLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from export.runtimes import float_onnx, litert
from export.runtimes import tflm as arena
from mcofa.runs.run import Run
from mcofa.supernet.data.datasets import load_test_split
from mcofa.supernet.data.splits import Preprocessing

TFLM_IMAGES = 1_000


def evaluate_run(run: Run, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return (and record) the manifest's evaluate section; ``report`` is told what runs next.

    TFLM runs on the first 1,000 test images, the others on all. This is the only place
    where a run meets test images.

    Raises:
        RunError: the run was not exported yet.
        MissingFileError: a file of the run or the data set is missing.
        FileFormatError: a file of the run has changed or is damaged.
    """
    exported = run.export
    preprocessing = Preprocessing.recorded(exported.preprocessing)
    split = load_test_split(exported.data, exported.resolution, exported.channels, preprocessing)
    targets = split.targets.numpy()
    onnx_model, tflite = run.read(exported.onnx), run.read(exported.tflite)

    float_classes, outputs = [], []
    first: list[npt.NDArray[np.int8]] = []
    report(f"float (ONNX) and int8 model (LiteRT, reference kernels) on {len(targets):,} test images")
    for chunk in split.chunks():
        normalised = preprocessing.normalise(chunk.images).numpy()
        quantized = quantize_images(normalised, exported.input.model_dump())
        float_classes.append(float_onnx.logits(onnx_model, normalised).argmax(1))
        outputs.append(litert.invoke(tflite, quantized))
        first.append(quantized[: TFLM_IMAGES - sum(len(some) for some in first)])
    litert_outputs = np.concatenate(outputs)
    report(f"int8 model (TFLM) on {min(TFLM_IMAGES, len(targets)):,} test images")
    tflm_outputs = arena.invoke(tflite, np.concatenate(first))

    section = {
        "data": exported.data,
        "test_images": len(targets),
        "float_top1_percent": _top1_percent(np.concatenate(float_classes), targets),
        "int8_top1_percent": _top1_percent(litert_outputs.argmax(1), targets),
        "tflm_images": len(tflm_outputs),
        "tflm_top1_percent": _top1_percent(tflm_outputs.argmax(1), targets[:TFLM_IMAGES]),
        "tflm_images_that_differ_from_litert": int(
            (tflm_outputs != litert_outputs[: len(tflm_outputs)]).any(1).sum()
        ),
    }
    run.record("evaluate", section)
    return section


def quantize_images(normalised: npt.NDArray[np.float32], source: dict[str, Any]) -> npt.NDArray[np.int8]:
    """Turn normalised images (n, c, h, w) into a model's int8 input (n, h, w, c).

    ``source`` holds the input's ``scale`` and ``zero_point``, and in ``rotate_180`` whether the
    model reads its images rotated by 180 degrees.
    """
    steps = np.round(normalised.transpose(0, 2, 3, 1) / source["scale"]) + source["zero_point"]
    quantized: npt.NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
    return quantized[:, ::-1, ::-1] if source["rotate_180"] else quantized


def _top1_percent(classes: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> float:
    return round(100 * float((classes == targets).mean()), 2)

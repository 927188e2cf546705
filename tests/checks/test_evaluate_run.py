"""The accuracy of a run's models, measured in pieces, is that of all test images at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from example_networks import exported, fashion, micro_space, random_arch

from export.checks import evaluate
from export.convert.to_tflite import to_tflite
from export.runtimes import float_onnx, litert
from mcofa.supernet.data import splits
from mcofa.supernet.data.datasets import ImageSource

pytestmark = pytest.mark.torch

IMAGES, TFLM_IMAGES = 60, 25


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = random_arch(0)
    data = fashion(arch.resolution)
    split = data.validation.take(slice(0, IMAGES))
    bytes_each = split.images[0].numel()
    source = ImageSource(data.labels, split.targets, lambda index: split.images[index], bytes_each)
    images = np.ascontiguousarray(data.preprocessing.normalise(split.images).numpy())
    onnx_model, model = exported(arch), to_tflite(exported(arch), images[:32], micro_space().global_average)
    rule = {
        "scale": model.input_quantization.scale,
        "zero_point": model.input_quantization.zero_point,
        "rotate_180": model.rotate_180,
    }
    files = {"onnx": onnx_model.SerializeToString(), "tflite": model.data}
    recorded: dict[str, Any] = {}
    run: Any = SimpleNamespace(
        export=SimpleNamespace(
            data="clothes",
            resolution=arch.resolution,
            channels=1,
            preprocessing=data.preprocessing,
            input=SimpleNamespace(model_dump=lambda: rule),
            onnx="onnx",
            tflite="tflite",
        ),
        read=files.__getitem__,
        record=recorded.__setitem__,
    )
    monkeypatch.setattr(evaluate, "load_test_split", lambda *_: source)
    monkeypatch.setattr(evaluate, "TFLM_IMAGES", TFLM_IMAGES)

    targets = split.targets.numpy()
    answers = litert.invoke(model.data, evaluate.quantize_images(images, rule)).argmax(1)
    expected = {
        "data": "clothes",
        "test_images": IMAGES,
        "float_top1_percent": percent(float_onnx.logits(files["onnx"], images).argmax(1) == targets),
        "int8_top1_percent": percent(answers == targets),
        "tflm_images": TFLM_IMAGES,
        "tflm_top1_percent": percent((answers == targets)[:TFLM_IMAGES]),
        "tflm_images_that_differ_from_litert": 0,
    }
    for images_at_once in (IMAGES, 10, 7, 1):
        monkeypatch.setattr(splits, "_CHUNK_BYTES", images_at_once * bytes_each)
        assert len(next(source.chunks())) == images_at_once
        assert evaluate.evaluate_run(run) == recorded["evaluate"] == expected


def percent(right: Any) -> float:
    return round(100 * float(np.mean(right)), 2)

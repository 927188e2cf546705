"""A subnet as the files that stand for it: float ONNX and int8 .tflite, and how they came about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from export.convert.calibration import calibration_images, normalised
from export.convert.manifest import onnx_agreement
from export.convert.run_subnet import RunSubnet
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import TfliteModel
from export.tflite.model_file import ModelFile
from mcofa.errors import ArenaCheckError
from mcofa.lowering import lower
from mcofa.supernet.measure.evaluate import logits

_COMPARED_IMAGES = 256


@dataclass(frozen=True)
class Converted:
    """The float ONNX model, the int8 one with its file, and what the manifest says of the way there."""

    onnx: bytes
    tflite: TfliteModel
    file: ModelFile
    calibration: dict[str, Any]
    onnx_against_pytorch: dict[str, Any]


def convert(source: RunSubnet) -> Converted:
    """Convert a subnet, calibrated on training images spread over the split.

    Raises:
        ArenaCheckError: the .tflite file does not hold the graph that the search predicts from.
        UnsupportedOpError: a node that no layer stands for.
    """
    arch, data = source.searched.arch, source.data
    model = to_onnx(source.subnet, arch.resolution)
    onnx = model.SerializeToString()
    images = calibration_images(data)
    held_out = normalised(data, data.validation.spread(_COMPARED_IMAGES))
    tflite = source.to_tflite(model, images)
    file = ModelFile(tflite.data)
    if file.graph != lower(source.searched.header.space, arch):
        raise ArenaCheckError(
            f"the exported graph differs from the one that the search predicted from ({arch})",
            "report this as a bug, with the run's manifest.json",
        )
    return Converted(
        onnx=onnx,
        tflite=tflite,
        file=file,
        calibration={
            "split": "train",
            "images": len(images),
            "sha256": hashlib.sha256(images.tobytes()).hexdigest(),
            "method": source.range_method,
        },
        onnx_against_pytorch=onnx_agreement(onnx, logits(source.subnet, held_out), held_out, "validation"),
    )

"""The images whose ranges int8 activations take."""

from __future__ import annotations

import numpy as np

from export.tflite.quantization import FloatArray
from mcofa.supernet.data.datasets import ImageData
from mcofa.supernet.data.splits import Split

CALIBRATION_IMAGES = 128


def calibration_images(data: ImageData, count: int = CALIBRATION_IMAGES) -> FloatArray:
    """Return ``count`` training images spread over the split, (n, channels, rows, columns)."""
    return normalised(data, data.train.spread(count))


def normalised(data: ImageData, split: Split) -> FloatArray:
    """Return the images of a split as the float network reads them, (n, channels, rows, columns)."""
    return np.ascontiguousarray(data.preprocessing.normalise(split.images).numpy())

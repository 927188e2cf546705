"""Test images of a run's data set, as its model reads them, for the self-test of a firmware."""

from __future__ import annotations

from typing import Any

from export.checks.evaluate import quantize_images
from export.firmware.device_images import EMULATED_IMAGES
from export.runtimes.litert import Int8Array
from mcofa.space.resolution import resolution_from_json
from mcofa.supernet.data.datasets import load_test_split
from mcofa.supernet.data.splits import Preprocessing


def run_images(exported: dict[str, Any]) -> Int8Array:
    """Return test images of the run, int8 (n, rows, columns, channels), spread over the split.

    ``exported`` is the manifest's export section. Nothing is chosen by them: a firmware only
    compares its answers to them with the host's.

    Raises:
        MissingFileError: the data set is not there.
        FileFormatError: a file of it is damaged.
    """
    resolution = resolution_from_json(exported["resolution"])
    split = load_test_split(exported["data"], resolution, exported["channels"])
    images = split.spread(EMULATED_IMAGES).images
    normalised = Preprocessing(**exported["preprocessing"]).normalise(images).numpy()
    return quantize_images(normalised, exported["input"])

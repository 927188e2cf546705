"""Test images of a run's data set, as its model reads them, for the self-test of a firmware."""

from __future__ import annotations

from export.checks.evaluate import quantize_images
from export.firmware.device_images import EMULATED_IMAGES
from export.runtimes.litert import Int8Array
from mcofa.runs.manifest import ExportSection
from mcofa.supernet.data.datasets import load_test_split
from mcofa.supernet.data.splits import Preprocessing


def run_images(exported: ExportSection) -> Int8Array:
    """Return test images of the run, int8 (n, rows, columns, channels), spread over the split.

    Nothing is chosen by them: a firmware only
    compares its answers to them with the host's.

    Raises:
        MissingFileError: the data set is not there.
        FileFormatError: a file of it is damaged.
    """
    preprocessing = Preprocessing.recorded(exported.preprocessing)
    split = load_test_split(exported.data, exported.resolution, exported.channels, preprocessing)
    images = split.spread(EMULATED_IMAGES).images
    return quantize_images(preprocessing.normalise(images).numpy(), exported.input.model_dump())

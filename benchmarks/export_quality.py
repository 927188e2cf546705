"""What quantization costs: float and int8 accuracy, runtimes, time, file and arena of three archs.

The smallest, a middle and the largest subnet of the supernet in zoo/: batch norm recalibrated,
exported as ``mcofa export`` does, tested on the test images of Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from export.checks.evaluate import quantize_images
from export.convert.calibration import CALIBRATION_IMAGES
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.runtimes import float_onnx, litert
from export.runtimes import tflm as arena
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.files.resources import data_folder
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.datasets import load_data_for, load_test_split
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.checkpoint import load_supernet

TFLM_IMAGES = 1_000


def middle(space: SearchSpace) -> Arch:
    """The arch halfway between the smallest and the largest in every choice."""
    smallest, largest = space.encode([space.smallest(), space.largest()])
    return space.decode((smallest + largest) // 2)


def top1(outputs: npt.NDArray[np.int8] | npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> float:
    return 100 * float((outputs.argmax(1) == targets).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    parser.add_argument(
        "--calibration", type=int, nargs="*", default=[CALIBRATION_IMAGES], help="image counts"
    )
    arguments = parser.parse_args()

    header, supernet = load_supernet(data_folder("zoo") / "mcofa-micro.safetensors")
    space = header.space
    columns = (
        "arch", "calibration", "float", "int8", "drop", "TFLM ≠ LiteRT", "ONNX → .tflite",
        "file, predicted", "written", "head + tail, predicted", "TFLM",
    )  # fmt: skip
    table = Table(*columns)
    for arch in (space.smallest(), middle(space), space.largest()):
        data = load_data_for(space, header.data, header.fit).at(arch.resolution)
        source = load_test_split(header.data, arch.resolution, space.input_channels, data.preprocessing)
        test = source.spread(arguments.images)
        subnet = calibrate(supernet.extract(arch), data.train, data.preprocessing)
        model = to_onnx(subnet, arch.resolution)
        normalised, targets = data.preprocessing.normalise(test.images).numpy(), test.targets.numpy()
        float_top1 = top1(float_onnx.logits(model.SerializeToString(), normalised), targets)
        predicted = account(lower(space, arch), target("x86-64", "reference"))
        for count in arguments.calibration:
            calibration = data.preprocessing.normalise(data.train.spread(count).images).numpy()
            start = time.perf_counter()
            tflite = to_tflite(model, np.ascontiguousarray(calibration))
            seconds = time.perf_counter() - start
            scale, zero_point = tflite.input_quantization.scale, tflite.input_quantization.zero_point
            source = {"scale": scale, "zero_point": zero_point, "rotate_180": tflite.rotate_180}
            quantized = quantize_images(normalised, source)
            outputs = litert.invoke(tflite.data, quantized)
            on_tflm = arena.invoke(tflite.data, quantized[:TFLM_IMAGES])
            int8_top1 = top1(outputs, targets)
            measured = arena.measure(tflite.data)
            table.add_row(
                str(arch),
                str(count),
                f"{float_top1:.2f} %",
                f"{int8_top1:.2f} %",
                f"{float_top1 - int8_top1:+.2f}",
                f"{(on_tflm != outputs[:TFLM_IMAGES]).any(1).sum()} of {len(on_tflm):,}",
                f"{seconds:.2f} s",
                f"{model_file_bytes(lower(space, arch)):,} B",
                f"{len(tflite.data):,} B",
                f"{predicted.head_bytes:,} + {predicted.recording_tail_bytes:,} B",
                f"{measured.head_bytes:,} + {measured.recording_tail_bytes:,} B",
            )
    Console(width=230).print(table)


if __name__ == "__main__":
    main()

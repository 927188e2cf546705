"""Test accuracy of one subnet of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mcofa.cost.arch_cost import graph_macs
from mcofa.files.read import read_file
from mcofa.lowering import lower
from mcofa.space.arch import Arch, parse_arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.datasets import load_data_for, load_test_split
from mcofa.supernet.measure.evaluate import CALIBRATION_IMAGES, calibrate, correct
from mcofa.supernet.network.checkpoint import load_supernet
from mcofa.supernet.network.trained import check_trained
from mcofa.supernet.training.distributed import own_device


def evaluate_checkpoint(
    checkpoint: Path, arch_choice: str, seed: int, data_name: str | None = None
) -> dict[str, Any]:
    """Return the float test accuracy of the subnet ``largest``, ``smallest``, ``random`` or in a JSON file.

    ``data_name`` stands in for the data set that the checkpoint was trained on. Computed on a GPU if
    there is one.

    Raises:
        MissingFileError: checkpoint, arch file or data set missing.
        FileFormatError: one of them is damaged, the data set has other classes than the space, or the
            arch is not trained yet.
        InvalidArchError: the arch is not in the checkpoint's space.
    """
    header, supernet = load_supernet(checkpoint)
    space = header.space
    arch = _choose(space, arch_choice, seed)
    graph = lower(space, arch)
    check_trained(checkpoint, header, arch)
    name = data_name or header.data
    device, data = own_device(), load_data_for(space, name, header.fit)
    preprocessing = data.preprocessing
    calibration = data.train.spread(CALIBRATION_IMAGES).resized(arch.resolution, preprocessing.fit)
    subnet = calibrate(supernet.extract(arch).to(device), calibration.to(device), preprocessing)
    test = load_test_split(name, arch.resolution, space.input_channels, preprocessing)
    right = sum(correct(subnet, chunk.to(device), preprocessing) for chunk in test.chunks())
    return {
        "checkpoint": str(checkpoint),
        "space": space.name,
        "arch": arch.to_json(),
        "arch_text": str(arch),
        "test_images": len(test),
        "float_top1_percent": round(100 * right / len(test), 2),
        "macs": graph_macs(graph),
    }


def _choose(space: SearchSpace, choice: str, seed: int) -> Arch:
    if choice == "largest":
        return space.largest()
    if choice == "smallest":
        return space.smallest()
    if choice == "random":
        return space.decode(space.sample(1, np.random.default_rng(seed))[0])
    step = "use largest, smallest, random, or a JSON file as in a run's manifest"
    return parse_arch(read_file(Path(choice), "arch", step).decode("utf-8", "replace"), choice)

"""Measuring the accuracy of many subnets of a supernet on the validation split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcofa.arch import Arch
from mcofa.arch_table import read_measured, write_measured
from mcofa.errors import FileFormatError
from mcofa.supernet.checkpoint import load_supernet
from mcofa.supernet.data import load_data
from mcofa.supernet.evaluate import calibrate, top1_percent


def measure(
    checkpoint: Path, count: int, seed: int, out: Path, report: Callable[[int], None] = lambda _: None
) -> list[tuple[Arch, float]]:
    """Measure ``count`` archs: the smallest, the largest, and random ones.

    Every result is written to ``out`` at once; a later call with the same checkpoint and
    seed goes on where this one stopped. ``report`` is called with the number done.

    Raises:
        FileFormatError: ``out`` holds measurements of other archs.
    """
    header, supernet = load_supernet(checkpoint)
    space = header.space
    genomes = space.sample(count, np.random.default_rng(seed))
    archs = [space.smallest(), space.largest(), *(space.decode(genome) for genome in genomes)][:count]
    measured = read_measured(out, space) if out.exists() else []
    if [arch for arch, _ in measured][:count] != archs[: len(measured)]:
        raise FileFormatError(
            out,
            f"holds other archs than seed {seed} draws",
            "choose another --out or the seed it was made with",
        )
    data = load_data(header.data, space.resolutions[-1], space.input_channels)
    for arch in archs[len(measured) :]:
        subnet = calibrate(supernet.extract(arch), data.train, data.preprocessing)
        measured.append((arch, top1_percent(subnet, data.validation, data.preprocessing)))
        write_measured(out, space, measured)
        report(len(measured))
    return measured[:count]

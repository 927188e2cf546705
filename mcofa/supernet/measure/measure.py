"""Measuring the accuracy of many subnets of a supernet on the validation split."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mcofa.accuracy.sample import balanced_archs
from mcofa.boards import Board
from mcofa.errors import FileFormatError
from mcofa.space.arch import Arch
from mcofa.space.arch_table import Measured, read_measured, write_measured
from mcofa.space.search_space import Genomes, SearchSpace
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.data.splits import Split
from mcofa.supernet.finetune.finetune import FinetuneSettings, finetuned_top1_percent
from mcofa.supernet.measure.evaluate import CALIBRATION_IMAGES, calibrate, top1_percent
from mcofa.supernet.network.checkpoint import Header, load_supernet
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.network.trained import check_trained
from mcofa.supernet.training.distributed import own_device

Report = Callable[[int, int], None]


def measure(
    checkpoint: Path,
    count: int,
    seed: int,
    board: Board,
    out: Path,
    data_name: str | None = None,
    finetune_epochs: int = 0,
    report: Report = lambda done, of: None,
) -> Measured | None:
    """Measure ``count`` archs (see ``balanced_archs``), each at its own resolution.

    Every result is written at once; a later call goes on where this one stopped. Of the processes
    that torchrun starts, each measures its share into a file in the folder OUT.parts, beside what was
    known when it started, and whichever finds everything measured writes ``out``; the others return
    None. ``data_name`` stands in for the data set of the checkpoint. With ``finetune_epochs`` each
    arch is fine-tuned for so long before (``FinetuneSettings``). ``report`` is called with
    the number done, and of how many.

    Raises:
        FileFormatError: a table holds archs of another checkpoint, other data, other fine-tuning or another
            seed; the data set has other classes than the space; the space is not trained whole yet; or
            imported weights, of which no training is known, are to be fine-tuned.
        MissingFileError: the checkpoint or the data set is missing.
        DiskWriteError: the operating system refused to write.
    """
    header, supernet = load_supernet(checkpoint)
    space = header.space
    check_trained(checkpoint, header, space.smallest())
    data = load_data_for(space, data_name or header.data, header.fit)
    order = balanced_archs(space, board, seed)
    weights = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
    tables = _Tables(space, weights, data.fingerprint, finetune_epochs, order, seed, out)
    archs, done = order[:count], tables.read()
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    share = archs[rank::processes]
    own = out if processes == 1 else tables.part(rank)
    accuracy = _accuracy(checkpoint, header, supernet, data, finetune_epochs)
    for genome in (row for row in share if bytes(row) not in done):
        done[bytes(genome)] = accuracy(space.decode(genome))
        tables.write(own, done)
        report(sum(bytes(row) in done for row in share), len(share))
    done = tables.read()
    if any(bytes(row) not in done for row in archs):
        return None
    if processes > 1:
        tables.write(out, done)
    return tables.measured(done, archs)


def _accuracy(
    checkpoint: Path, header: Header, supernet: Supernet, data: ImageData, finetune_epochs: int
) -> Callable[[Arch], float]:
    """Return what measures an arch."""
    if finetune_epochs:
        config, settings = header.config, FinetuneSettings(epochs=finetune_epochs)
        if config is None:
            raise FileFormatError(
                checkpoint,
                "imported weights, whose training is not known, cannot be fine-tuned",
                "measure them without --finetune-epochs, or train with `mcofa train`",
            )
        return lambda arch: finetuned_top1_percent(supernet, arch, data, config, settings)

    device = own_device()
    data = replace(data, train=data.train.spread(CALIBRATION_IMAGES))
    at = functools.cache(lambda resolution: _splits(data.at(resolution), device))

    def inherited(arch: Arch) -> float:
        train, validation = at(arch.resolution)
        subnet = calibrate(supernet.extract(arch).to(device), train, data.preprocessing)
        return top1_percent(subnet, validation, data.preprocessing)

    return inherited


def _splits(data: ImageData, device: torch.device) -> tuple[Split, Split]:
    """Return the images to recalibrate with and those to measure on, on a device."""
    return data.train.to(device), data.validation.to(device)


@dataclass(frozen=True)
class _Tables:
    """The table ``out`` and its parts, one a process; accuracies are kept by the bytes of a genome."""

    space: SearchSpace
    checkpoint: str
    data: str
    finetune_epochs: int
    order: Genomes
    seed: int
    out: Path

    def part(self, rank: int) -> Path:
        return self.out.with_name(f"{self.out.name}.parts") / f"{rank}.csv"

    def read(self) -> dict[bytes, float]:
        """Return everything measured so far."""
        found: dict[bytes, float] = {}
        known = set(map(bytes, self.order))
        for path in (self.out, *sorted(self.part(0).parent.glob("*.csv"))):
            if not path.exists():
                continue
            measured = read_measured(path, self.space)
            step = "choose another --out, or move the table away"
            for what in ("checkpoint", "data"):
                if getattr(measured, what) != getattr(self, what):
                    raise FileFormatError(
                        path,
                        f"was measured on {what} {getattr(measured, what) or 'unknown'}, "
                        f"this is {getattr(self, what)}",
                        step,
                    )
            if measured.finetune_epochs != self.finetune_epochs:
                raise FileFormatError(
                    path,
                    f"was measured after {measured.finetune_epochs} epochs of fine-tuning, "
                    f"this is after {self.finetune_epochs}",
                    step,
                )
            found |= zip(map(bytes, measured.genomes), measured.top1_percent.tolist(), strict=True)
            if not set(found) <= known:
                raise FileFormatError(
                    path,
                    f"holds other archs than seed {self.seed} draws",
                    "choose another --out or the seed and board it was made with",
                )
        return found

    def measured(self, done: dict[bytes, float], archs: Genomes) -> Measured:
        """Return ``archs`` with their accuracies."""
        accuracies = np.array([done[bytes(row)] for row in archs])
        return Measured(archs, accuracies, None, self.checkpoint, self.data, self.finetune_epochs)

    def write(self, path: Path, done: dict[bytes, float]) -> None:
        """Write everything that is done, in the order in which archs are drawn."""
        rows = [bytes(row) in done for row in self.order]
        write_measured(path, self.space, self.measured(done, self.order[rows]))

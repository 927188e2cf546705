"""Ten archs with the weights of the supernet, and trained alone for as many epochs: gap and rank correlation.

Trained alone means from random weights, with the supernet's data, augmentation, batch, learning rate
and weight decay along one cosine; the accuracy is that after the last epoch. The archs are balanced
over their arena on stm32f746, the smallest and the largest among them. Both accuracies are of the
validation images. Runs below ``--work`` keep what is done, so an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from mcofa.accuracy.fit import quality
from mcofa.accuracy.sample import balanced_archs
from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.errors import McofaError
from mcofa.files.atomic import write_atomic
from mcofa.files.resources import data_folder
from mcofa.runs.run import Run
from mcofa.space.arch import Arch
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.finetune.finetune import FinetuneSettings, Progress, finetune
from mcofa.supernet.measure.evaluate import calibrate, top1_percent
from mcofa.supernet.network.checkpoint import Header, load_checkpoint, save_checkpoint
from mcofa.supernet.network.supernet import Supernet

ROOT = Path(__file__).resolve().parent.parent
BOARD = load_board("stm32f746")
SEED = 1


@dataclass(frozen=True)
class Row:
    """One arch: what it costs, and its two accuracies."""

    arch: str
    arena_bytes: int
    macs: int
    inherited_top1_percent: float
    alone_top1_percent: float


def inherited(supernet: Supernet, arch: Arch, data: ImageData) -> float:
    data = data.at(arch.resolution)
    subnet = calibrate(supernet.extract(arch), data.train, data.preprocessing)
    return top1_percent(subnet, data.validation, data.preprocessing)


def alone(run: Run, untrained: Path, header: Header, arch: Arch, settings: FinetuneSettings) -> float:
    space = header.space
    run.record(
        "search",
        {
            "space": space.name,
            "space_fingerprint": space.fingerprint,
            "arch": arch.to_json(),
        },
    )

    def report(at: Progress) -> None:
        if at.step % 100 == 0:
            print(f"\r{arch}: step {at.step} of {at.steps}, loss {at.loss:.3f}", end="", file=sys.stderr)

    section = finetune(run, untrained, settings, report)
    return float(section["validation_top1_percent"]["epochs"][-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=data_folder("zoo") / "mcofa-micro.safetensors")
    parser.add_argument("--archs", type=int, default=10, help="default: 10")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "alone", help="folder of the runs")
    options = parser.parse_args()
    header, tensors = load_checkpoint(options.checkpoint)
    config, space = header.config, header.space
    if config is None or len(config.phases) != 1:
        sys.exit(f"Error: {options.checkpoint} was not trained in one phase")
    phase = config.phases[0]
    supernet = Supernet(space)
    supernet.load_state_dict(tensors)
    settings = FinetuneSettings(
        epochs=round(phase.epochs + phase.warmup_epochs),
        learning_rate=phase.base_learning_rate * config.batch_size / 64,
        batch_size=config.batch_size,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        seed=config.seed,
    )
    work = options.work / hashlib.sha256(options.checkpoint.read_bytes()).hexdigest()[:12]
    work.mkdir(parents=True, exist_ok=True)
    untrained = work / "untrained.safetensors"
    if not untrained.exists():
        torch.manual_seed(SEED)
        save_checkpoint(untrained, header, dict(Supernet(space).state_dict()))
    data = load_data_for(space, header.data, header.fit)
    rows = []
    for number, genome in enumerate(balanced_archs(space, BOARD, SEED)[: options.archs]):
        arch = space.decode(genome)
        path = work / f"{number}.json"
        if path.exists():
            row = Row(**json.loads(path.read_text()))
        else:
            costs = cost(space, arch, BOARD)
            row = Row(
                str(arch),
                costs.arena_bytes,
                costs.macs,
                inherited(supernet, arch, data),
                alone(Run(work / str(number)), untrained, header, arch, settings),
            )
            write_atomic(path, json.dumps(asdict(row)).encode())
        rows.append(row)
        print(
            f"| `{row.arch.replace(' | ', ' / ')}` | {row.arena_bytes:,} | {row.macs / 1e6:.2f} M | "
            f"{row.inherited_top1_percent:.2f} | {row.alone_top1_percent:.2f} |",
            flush=True,
        )
    of_supernet = np.array([row.inherited_top1_percent for row in rows])
    of_alone = np.array([row.alone_top1_percent for row in rows])
    print(
        f"{len(rows)} archs, {settings.epochs} epochs: inherited - alone "
        f"{np.mean(of_supernet - of_alone):+.2f} points, Kendall tau "
        f"{quality(of_supernet, of_alone).kendall_tau:.2f}"
    )


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")

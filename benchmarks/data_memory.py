"""How much memory the commands that read images take for each byte of images.

A data set of 96×96×3 pixels is written twice, the second time three times as large, and each command
runs on both. What its peak grows by, divided by what the images of a split grow by (uint8, at the size
that the networks read), is the memory that a byte of images costs; what the command takes besides, in
libraries and activations, falls out. The smaller set already exceeds what is held at a time (16 MiB of
pixels, and 2,048 images for batch norm). Runs in a folder of its own, and takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from mcofa.accuracy.fit import fit_predictor
from mcofa.accuracy.predictor import save_predictor
from mcofa.space.arch_table import Measured
from mcofa.space.search_space import SearchSpace

SIDE, CHANNELS, CLASSES = 96, 3, 2
BYTES_EACH = SIDE * SIDE * CHANNELS
GROWTH = 3
BOARD = "stm32h743"
SPACE: dict[str, Any] = {
    "name": "memory",
    "title": "Small networks for large images",
    "input_channels": CHANNELS,
    "classes": CLASSES,
    "padding": "same",
    "resolutions": [SIDE],
    "kernel_sizes": [3],
    "expand_ratios": [1, 2],
    "depths": [1, 2],
    "stem": {
        "width": 4, "stride": 2, "activation": "relu",
        "first_block_width": 8, "first_block_activation": "relu",
    },
    "stages": [
        {"width": 8, "stride": 2, "activation": "relu", "squeeze_excite": False},
        {"width": 8, "stride": 2, "activation": "relu", "squeeze_excite": False},
    ],
    "head": {"final_expand_width": 16, "feature_width": 8, "activation": "relu"},
}  # fmt: skip
PHASE = {"step": "sandwich", "epochs": 0.1, "warmup_epochs": 0, "base_learning_rate": 0.05, "subnets": 2}


def write_images(folder: Path, count: int) -> None:
    """Write ``count`` training and as many test images."""
    rng = np.random.default_rng(0)
    for number in range(count):
        for part in ("train", "test"):
            path = folder / part / str(number % CLASSES) / f"{number:05}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, CHANNELS), np.uint8)).save(path)


def write_config(folder: Path) -> None:
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    config = yaml.safe_load((Path(__file__).parents[1] / "configs" / "mcofa-micro.yaml").read_text())
    config |= {"space": str(folder / "space.yaml"), "data": str(folder / "images"), "phases": [PHASE]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_predictor(path: str) -> None:
    """Fit a predictor on made-up accuracies: which network is chosen does not matter here."""
    space = SearchSpace.model_validate(SPACE)
    genomes = space.sample(30, np.random.default_rng(0))
    save_predictor(Path(path), fit_predictor(space, Measured(genomes, 50 + genomes.sum(1)), "made up"))


def peak_bytes(*command: str) -> int:
    """Run a command of mcofa; return the most memory that it, or a process of its, had."""
    mcofa = Path(sys.executable).parent / "mcofa"
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([mcofa, *command], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            sys.exit(f"mcofa {' '.join(command)}:\n{said.read().decode()[-2000:]}")
    return usage.ru_maxrss * 1024


def peaks(folder: Path, count: int) -> dict[str, int]:
    """Return the peak of each command on ``count`` training and as many test images."""
    write_images(folder / "images", count)
    write_config(folder)
    checkpoint, run = str(folder / "supernet.safetensors"), str(folder / "run")
    predictor = str(folder / "predictor.npz")
    space = ("--space", str(folder / "space.yaml"))
    found = {"train": peak_bytes("train", str(folder / "config.yaml"), "--out", checkpoint)}
    measure = ("measure", checkpoint, "--count", "2", "--board", BOARD)
    found["measure"] = peak_bytes(*measure, "--out", str(folder / "archs.csv"))
    write_predictor(predictor)
    verify = ("--verify", "1", "--int8", "--checkpoint", checkpoint)
    found["search --verify --int8"] = peak_bytes(
        "search", "--board", BOARD, *space, "--predictor", predictor, *verify, "--out", run
    )
    found["finetune"] = peak_bytes("finetune", run, "--epochs", "1", "--qat")
    found["export"] = peak_bytes("export", run)
    found["evaluate RUN"] = peak_bytes("evaluate", run)
    found["evaluate CHECKPOINT"] = peak_bytes("evaluate", checkpoint)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2_100, help="of the smaller data set, for each split")
    count = parser.parse_args().images
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        small, large = (peaks(Path(name) / str(n), n) for n in (count, GROWTH * count))
    grown = (GROWTH - 1) * count * BYTES_EACH
    print(f"images of each split, as bytes: {count * BYTES_EACH:,} and {GROWTH * count * BYTES_EACH:,}")
    print(f"{'command':24} {'peak, MB':>10} {'peak, MB':>10} {'bytes per byte of images':>26}")
    for command, peak in small.items():
        ratio = (large[command] - peak) / grown
        print(f"{command:24} {peak / 1e6:10,.0f} {large[command] / 1e6:10,.0f} {ratio:26.2f}")


if __name__ == "__main__":
    main()

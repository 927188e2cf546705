"""A space, a data set and a configuration so small that a training run takes a second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from PIL import Image

from mcofa.space.search_space import SearchSpace
from mcofa.supernet.network.checkpoint import Header, save_checkpoint
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.training.config import TrainConfig

CLASSES = ("across", "down", "plain")
SIDE = 12
TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "Space for tests",
    "input_channels": 1,
    "classes": len(CLASSES),
    "padding": "same",
    "resolutions": [SIDE],
    "kernel_sizes": [3, 5, 7],
    "expand_ratios": [1, 1.5],
    "depths": [1, 2],
    "stem": {
        "width": 8, "stride": 2, "activation": "relu",
        "first_block_width": 8, "first_block_activation": "relu",
    },
    "stages": [
        {"width": 8, "stride": 1, "activation": "relu", "squeeze_excite": False},
        {"width": 16, "stride": 2, "activation": "hard_swish", "squeeze_excite": True},
    ],
    "head": {"final_expand_width": 16, "feature_width": 8, "activation": "hard_swish"},
}  # fmt: skip


def tiny_space() -> SearchSpace:
    return SearchSpace.model_validate(TINY)


SANDWICH = {"step": "sandwich", "epochs": 1.5, "warmup_epochs": 0.5, "base_learning_rate": 0.4, "subnets": 3}
SHRINKING: list[dict[str, Any]] = [
    {"step": "teacher", "epochs": 1, "warmup_epochs": 0, "base_learning_rate": 0.4, "subnets": 1},
    {"step": "kernel", "epochs": 0.5, "warmup_epochs": 0.25, "base_learning_rate": 0.4, "subnets": 1},
    {"step": "depth", "epochs": 0.5, "warmup_epochs": 0, "base_learning_rate": 0.4, "subnets": 2},
    {"step": "expand", "epochs": 0.5, "warmup_epochs": 0, "base_learning_rate": 0.4, "subnets": 2},
]


def config(folder: Path, **changes: Any) -> TrainConfig:
    """A run of 2 epochs of 8 steps; its space file and its images lie in ``folder``.

    ``changes`` are keys of the configuration, or of its only phase.
    """
    phase = {key: changes.pop(key, value) for key, value in SANDWICH.items()}
    values: dict[str, Any] = {
        "space": str(folder / "tiny.yaml"),
        "data": str(folder / "images"),
        "seed": 0,
        "batch_size": 16,
        "micro_batch_size": changes.get("batch_size", 16),
        "mixed_precision": False,
        "momentum": 0.9,
        "weight_decay": 4e-5,
        "label_smoothing": 0.1,
        "max_gradient_norm": 5.0,
        "flip": True,
        "shift_pixels": 1,
        "crop_area": None,
        "phases": [phase],
    }
    return TrainConfig.model_validate({**values, **changes})


def write_inputs(folder: Path) -> None:
    """Write the space and 180 images in three classes: 138 train, 12 validate, 30 test."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for number in range(60):
            write_image(folder / "images" / name / f"{number:02}.png", striped_image(name, rng))


def striped_image(name: str, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Noise with bright rows, bright columns, or neither."""
    image = rng.integers(0, 100, (SIDE, SIDE))
    start = rng.integers(0, 3)
    if name == "across":
        image[start::3] += 150
    elif name == "down":
        image[:, start::3] += 150
    return image.astype(np.uint8)


def write_image(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def randomised(space: SearchSpace, seed: int = 0) -> Supernet:
    """A supernet in which no parameter is at its start value, kernel transformations included."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        supernet = Supernet(space)
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return supernet


def header(space: SearchSpace, train_config: TrainConfig, **changes: Any) -> Header:
    values: dict[str, Any] = {
        "space": space,
        "config": train_config,
        "phase": "sandwich",
        "step": 3,
        "seconds": 1.5,
        "mcofa_version": "0",
        "torch_version": torch.__version__,
        "hardware": "test",
        "validation_top1_percent": {"smallest": 50.0, "largest": 60.0},
    }
    return Header(**{**values, **changes})


def untrained_checkpoint(folder: Path) -> Path:
    """A supernet that knows nothing yet, beside its data set."""
    write_inputs(folder)
    space = tiny_space()
    path = folder / "supernet.safetensors"
    save_checkpoint(path, header(space, config(folder)), dict(randomised(space).state_dict()))
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as sums depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

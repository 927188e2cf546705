"""Published data sets, whole and in memory: Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

import functools
import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.space.fit import Fit
from mcofa.space.levels import BYTES, Levels
from mcofa.space.resolution import Resolution
from mcofa.supernet.data.source import ImageSource, Part, source_in_memory

Whole = tuple[tuple[str, ...], Tensor, Tensor]
"""Class labels; images as uint8, (n, channels, height, width); and their class indices as int64, (n,)."""

_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_FASHION_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}


def _read_fashion_mnist(part: Literal["train", "test"]) -> Whole:
    folder = _find_fashion_mnist()
    images_name, targets_name, count = _FASHION_FILES[part]
    images = _read_idx(folder, images_name, (count, 28, 28))
    targets = _read_idx(folder, targets_name, (count,))
    return _FASHION_LABELS, torch.from_numpy(images).unsqueeze(1), torch.from_numpy(targets).long()


@functools.cache
def _find_fashion_mnist() -> Path:
    wanted = _FASHION_FILES["train"][0]
    chosen = os.environ.get("MCOFA_DATASETS")
    if chosen is not None:
        candidates = [Path(chosen) / "fashion-mnist", Path(chosen)]
    else:
        candidates = [_DEBIAN_FOLDER, _cache_folder() / "FashionMNIST" / "raw"]
    for folder in candidates:
        if _idx_file(folder, wanted) is not None:
            return folder
    if chosen is None and _download(_cache_folder()):
        return candidates[-1]
    raise MissingFileError(
        " or ".join(str(folder / wanted) for folder in candidates),
        "Fashion-MNIST",
        "install the Debian package dataset-fashion-mnist, or put its four IDX files into a folder "
        "fashion-mnist and set MCOFA_DATASETS to the folder above it",
    )


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcofa"


def _download(folder: Path) -> bool:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(folder), download=True)
    except (OSError, RuntimeError):
        return False
    return True


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)


def _read_idx(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read one IDX file of bytes (format: big-endian magic 0x08NN, NN dimension sizes, data)."""
    path = _idx_file(folder, name)
    step = "install the Debian package dataset-fashion-mnist again, or point MCOFA_DATASETS to a whole copy"
    if path is None:
        raise MissingFileError(folder / name, "Fashion-MNIST file", step)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(path, f"damaged: {error}", step) from error
    header = np.array([0x0800 + len(shape), *shape], ">u4").tobytes()
    if not raw.startswith(header) or len(raw) != len(header) + int(np.prod(shape)):
        raise FileFormatError(
            path, f"not an IDX file of {'×'.join(map(str, shape))} bytes ({len(raw)} bytes found)", step
        )
    return np.frombuffer(raw, np.uint8, offset=len(header)).reshape(shape).copy()


def _read_cifar_10(part: Literal["train", "test"]) -> Whole:
    from torchvision.datasets import CIFAR10

    chosen = os.environ.get("MCOFA_DATASETS")
    root = _cache_folder() if chosen is None else Path(chosen)
    try:
        found = CIFAR10(str(root), train=part == "train", download=chosen is None)
    except (OSError, RuntimeError) as error:
        raise MissingFileError(
            root / CIFAR10.base_folder,
            "CIFAR-10",
            "unpack cifar-10-python.tar.gz and set MCOFA_DATASETS to the folder that holds "
            f"{CIFAR10.base_folder}",
        ) from error
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return tuple(found.classes), images, torch.tensor(found.targets)


@dataclass(frozen=True)
class PublishedSet:
    """A data set that is known by name.

    ``read`` reads its training or its test images; it raises MissingFileError where they are not there,
    FileFormatError where a file is damaged.
    """

    name: str
    read: Callable[[Literal["train", "test"]], Whole]
    has_validation: bool = False
    levels: Levels = BYTES

    def open(self, part: Part, size: Resolution, channels: int, fit: Fit, levels: Levels) -> ImageSource:
        """Open a split, see ``DataSet``; its levels are those of bytes.

        Raises:
            MissingFileError: the data is not there.
            FileFormatError: a file is damaged, or the images have other channels.
        """
        assert part != "validation"
        return source_in_memory(self.name, *self.read(part), size, channels, fit)


PUBLISHED = {
    name: PublishedSet(name, read)
    for name, read in (("fashion-mnist", _read_fashion_mnist), ("cifar-10", _read_cifar_10))
}
"""The published data sets by their names."""

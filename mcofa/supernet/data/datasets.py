"""Image data sets as tensors: Fashion-MNIST, CIFAR-10, or any folder of images.

Splits are fixed. Of the training images every twelfth (indices 11, 23, …) is the
validation split, of more than 120,000 one in so many that about 10,000 are; the test
split is read by ``mcofa evaluate`` alone.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.image_folder import ImageFiles, list_images

_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_FASHION_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}
_VALIDATION_PERIOD = 12
_MOST_VALIDATION_IMAGES = 10_000
# Of a folder with more bytes than this only some images are kept in memory.
_LARGEST_BYTES_IN_MEMORY = 4 * 2**30
_SAMPLED_IMAGES = 2_048
_RESIZED_AT_ONCE = 1_024


@dataclass(frozen=True)
class Split:
    """Images as uint8, (n, channels, side, side), and their class indices as int64, (n,)."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor | slice) -> Split:
        """Return the chosen images."""
        return Split(self.images[index], self.targets[index])

    def to(self, device: torch.device) -> Split:
        """Return the split on a device."""
        return Split(self.images.to(device), self.targets.to(device))

    def resized(self, side: int) -> Split:
        """Return the split with all images ``side`` pixels high and wide."""
        return Split(_resize(self.images, side), self.targets)

    def spread(self, count: int) -> Split:
        """Return ``count`` images (or all, if there are fewer) evenly spread over the split."""
        return self.take(torch.linspace(0, len(self) - 1, min(count, len(self))).long())


@dataclass(frozen=True)
class Preprocessing:
    """A pixel becomes ``(pixel / 255 - mean) / std``, the same for every channel."""

    mean: float
    std: float

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 images to float32, in channels-last memory order."""
        return (
            images.to(torch.float32)
            .div_(255 * self.std)
            .sub_(self.mean / self.std)
            .contiguous(memory_format=torch.channels_last)
        )


@dataclass(frozen=True)
class ImageData:
    """One data set: its class labels, preprocessing (from training images alone), and splits.

    ``train`` holds all training images, or 2,048 of a folder too large for memory; of a folder,
    ``train_files`` are all of them.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    preprocessing: Preprocessing
    train_files: ImageFiles | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the validation split, at the resolution it has, and of the class labels."""
        found = hashlib.sha256(repr((self.labels, self.validation.images.shape)).encode())
        found.update(self.validation.images.contiguous().numpy().data)
        found.update(self.validation.targets.contiguous().numpy().data)
        return found.hexdigest()[:16]

    def at(self, resolution: int) -> ImageData:
        """Return the data set at another resolution, preprocessing unchanged."""
        return replace(
            self, train=self.train.resized(resolution), validation=self.validation.resized(resolution)
        )


@dataclass(frozen=True)
class _Part:
    """The training or the test images of a data set; ``read`` gives the chosen ones as uint8."""

    labels: tuple[str, ...]
    targets: Tensor
    read: Callable[[Tensor], Tensor]
    files: ImageFiles | None = None


def load_data(name: str, resolution: int, channels: int) -> ImageData:
    """Load the training and validation splits.

    ``name`` is ``fashion-mnist``, ``cifar-10`` or the path of a folder with one subfolder of images
    a class (or with such folders in ``train`` and ``test`` or ``val``, as ImageNet has).

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, or too few images.
    """
    part = _open_part(name, "train", resolution, channels)
    count = len(part.targets)
    period = max(_VALIDATION_PERIOD, count // _MOST_VALIDATION_IMAGES)
    held_out = torch.arange(count) % period == period - 1
    if not held_out.any():
        raise FileFormatError(
            name, f"{count} training images, at least {_VALIDATION_PERIOD} needed", "add images"
        )
    files = None if part.files is None else part.files.take((~held_out).nonzero()[:, 0])
    kept = (~held_out).nonzero()[:, 0]
    if len(kept) * channels * resolution**2 > _LARGEST_BYTES_IN_MEMORY:
        kept = kept[torch.linspace(0, len(kept) - 1, _SAMPLED_IMAGES).long()]
    train, validation = (
        Split(part.read(index), part.targets[index]) for index in (kept, held_out.nonzero()[:, 0])
    )
    pixels = train.images.to(torch.float32) / 255
    preprocessing = Preprocessing(round(pixels.mean().item(), 4), round(max(pixels.std().item(), 1e-3), 4))
    return ImageData(name, part.labels, train, validation, preprocessing, files)


def load_data_for(space: SearchSpace, name: str) -> ImageData:
    """Load the training and validation splits, see ``load_data``, at the largest resolution of ``space``.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, too few images, or other channels or classes than the space's.
    """
    data = load_data(name, space.resolutions[-1], space.input_channels)
    if len(data.labels) != space.classes:
        raise FileFormatError(
            name,
            f"has {len(data.labels)} classes, the search space {space.name} has {space.classes}",
            f"choose data with {space.classes} classes, or train a space for these: `classes: "
            f"{len(data.labels)}` in a copy of its file, or `mcofa design-space`",
        )
    return data


def load_test_split(name: str, resolution: int, channels: int) -> Split:
    """Load the test split; for ``mcofa evaluate`` only.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged.
    """
    part = _open_part(name, "test", resolution, channels)
    return Split(part.read(torch.arange(len(part.targets))), part.targets)


def _open_part(name: str, part: Literal["train", "test"], resolution: int, channels: int) -> _Part:
    if name not in _IN_MEMORY:
        labels, files = list_images(Path(name), part)
        return _Part(labels, files.targets, lambda index: files.read(index, resolution, channels), files)
    labels, images, targets = _IN_MEMORY[name](part)
    if images.shape[1] != channels:
        raise FileFormatError(
            name,
            f"images have {images.shape[1]} channel(s), the search space takes {channels}",
            f"set `input_channels: {images.shape[1]}` in a copy of the space's file, or make a space for "
            "your data with `mcofa design-space`",
        )
    return _Part(labels, targets, lambda index: _resize(images[index], resolution))


def _resize(images: Tensor, side: int) -> Tensor:
    """Return uint8 images (n, channels, h, w) ``side`` pixels high and wide."""
    if images.shape[-1] == side:
        return images
    resized = [
        functional.interpolate(some.to(torch.float32), size=(side, side), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for some in images.split(_RESIZED_AT_ONCE)
    ]
    return torch.cat(resized)


def _read_fashion_mnist(part: Literal["train", "test"]) -> tuple[tuple[str, ...], Tensor, Tensor]:
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


def _read_cifar_10(part: Literal["train", "test"]) -> tuple[tuple[str, ...], Tensor, Tensor]:
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


_IN_MEMORY = {"fashion-mnist": _read_fashion_mnist, "cifar-10": _read_cifar_10}

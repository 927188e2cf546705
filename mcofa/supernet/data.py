"""Image data sets as tensors: Fashion-MNIST, or any folder of images.

Splits are fixed. Of the training images every twelfth (indices 11, 23, …) is the
validation split; the test split is read by ``mcofa evaluate`` alone.
"""

from __future__ import annotations

import functools
import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mcofa.errors import FileFormatError, MissingFileError

SplitName = Literal["train", "validation", "test"]

_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_FASHION_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}
_VALIDATION_PERIOD = 12
_IMAGE_FOLDER_PERIOD = 6


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
    """One data set: its class labels, preprocessing (from training images alone), and splits."""

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    preprocessing: Preprocessing


def load_data(name: str, resolution: int, channels: int) -> ImageData:
    """Load the training and validation splits.

    ``name`` is ``fashion-mnist`` or the path of a folder with one subfolder of images a
    class (or with such folders in ``train`` and ``test`` or ``val``).

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, or too few images.
    """
    labels, images, targets = _load_part(name, "train", resolution, channels)
    held_out = torch.arange(len(targets)) % _VALIDATION_PERIOD == _VALIDATION_PERIOD - 1
    if not held_out.any():
        raise FileFormatError(
            name, f"{len(targets)} training images, at least {_VALIDATION_PERIOD} needed", "add images"
        )
    train = Split(images[~held_out], targets[~held_out])
    pixels = train.images.to(torch.float32) / 255
    preprocessing = Preprocessing(round(pixels.mean().item(), 4), round(max(pixels.std().item(), 1e-3), 4))
    return ImageData(name, labels, train, Split(images[held_out], targets[held_out]), preprocessing)


def load_test_split(name: str, resolution: int, channels: int) -> Split:
    """Load the test split; for ``mcofa evaluate`` only.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged.
    """
    _, images, targets = _load_part(name, "test", resolution, channels)
    return Split(images, targets)


def _load_part(
    name: str, part: Literal["train", "test"], resolution: int, channels: int
) -> tuple[tuple[str, ...], Tensor, Tensor]:
    if name == "fashion-mnist":
        labels, images, targets = _read_fashion_mnist(part)
    else:
        labels, images, targets = _read_image_folder(Path(name), part, resolution, channels)
    if images.shape[1] != channels:
        raise FileFormatError(
            name,
            f"images have {images.shape[1]} channel(s), the search space takes {channels}",
            "choose a space with that many input channels (`mcofa spaces`)",
        )
    if images.shape[-1] != resolution:
        resized = functional.interpolate(
            images.to(torch.float32), size=(resolution, resolution), mode="bilinear", antialias=True
        )
        images = resized.round_().clamp_(0, 255).to(torch.uint8)
    return labels, images, targets


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


def _read_image_folder(
    folder: Path, part: Literal["train", "test"], resolution: int, channels: int
) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Read a folder of images through torchvision's ImageFolder, resized and centre-cropped."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import find_classes
    from torchvision.transforms import v2

    if not folder.is_dir():
        raise MissingFileError(
            folder, "data set", "name `fashion-mnist` or a folder with one subfolder of images a class"
        )
    held_out = [folder / name for name in ("test", "val") if (folder / name).is_dir()]
    separate = (folder / "train").is_dir() and bool(held_out)
    root = folder
    if separate:
        root = folder / "train" if part == "train" else held_out[0]
    transform = v2.Compose(
        [
            v2.Grayscale() if channels == 1 else v2.RGB(),
            v2.Resize(resolution),
            v2.CenterCrop(resolution),
            v2.PILToTensor(),
        ]
    )
    try:
        found = ImageFolder(str(root), transform, loader=_read_image)
        indices = [
            i for i in range(len(found)) if separate or (i % _IMAGE_FOLDER_PERIOD == 0) == (part == "test")
        ]
        images = torch.stack([found[i][0] for i in indices])
    except (OSError, RuntimeError, FileNotFoundError) as error:
        raise FileFormatError(
            root, f"cannot be read as images: {error}", "give each class a subfolder with its images"
        ) from error
    if separate and found.classes != (expected := find_classes(str(folder / "train"))[0]):
        raise FileFormatError(
            root,
            f"holds the classes {found.classes}, train holds {expected}",
            "give both the same subfolders",
        )
    return tuple(found.classes), images, torch.tensor([found.targets[i] for i in indices])


def _read_image(path: str) -> object:
    from torchvision.datasets.folder import default_loader

    try:
        return default_loader(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise FileFormatError(path, f"cannot be read as an image: {error}", "replace or remove it") from error

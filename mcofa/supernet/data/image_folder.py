"""Folders of images: one subfolder a class, or such folders in ``train`` and ``test`` or ``val``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mcofa.errors import FileFormatError, MissingFileError

# Without a folder of its own, every sixth image is a test image.
_TEST_PERIOD = 6


@dataclass(frozen=True)
class ImageFiles:
    """Image files and their class indices, int64, (n,)."""

    paths: tuple[str, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor) -> ImageFiles:
        """Return the chosen files."""
        return ImageFiles(tuple(self.paths[i] for i in index.tolist()), self.targets[index])

    def read(self, index: Tensor, resolution: int, channels: int) -> Tensor:
        """Read images as uint8, (n, channels, resolution, resolution), resized and cropped at the centre.

        Raises:
            FileFormatError: a file holds no image that can be read.
        """
        from torchvision.transforms import v2

        transform = v2.Compose(
            [
                colours(channels),
                v2.Resize(resolution),
                v2.CenterCrop(resolution),
                v2.PILToTensor(),
            ]
        )
        images = torch.empty(len(index), channels, resolution, resolution, dtype=torch.uint8)
        with ThreadPoolExecutor() as pool:
            read = pool.map(lambda i: transform(read_image(self.paths[i])), index.tolist())
            for place, image in enumerate(read):
                images[place] = image
        return images


def list_images(folder: Path, part: Literal["train", "test"]) -> tuple[tuple[str, ...], ImageFiles]:
    """Return the class labels and the files of one part of an image folder.

    Raises:
        MissingFileError: there is no such folder.
        FileFormatError: it holds no classes, an empty one, or other classes for the test than to train.
    """
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import find_classes

    if not folder.is_dir():
        raise MissingFileError(
            folder,
            "data set",
            "name `fashion-mnist`, `cifar-10` or a folder with one subfolder of images a class",
        )
    held_out = [folder / name for name in ("test", "val") if (folder / name).is_dir()]
    separate = (folder / "train").is_dir() and bool(held_out)
    root = folder
    if separate:
        root = folder / "train" if part == "train" else held_out[0]
    try:
        found = ImageFolder(str(root))
        expected = find_classes(str(folder / "train"))[0] if separate else found.classes
    except (OSError, RuntimeError) as error:
        raise FileFormatError(
            root, f"cannot be read as images: {error}", "give each class a subfolder with its images"
        ) from error
    if found.classes != expected:
        raise FileFormatError(
            root,
            f"holds the classes {found.classes}, train holds {expected}",
            "give both the same subfolders",
        )
    index = torch.arange(len(found.samples))
    if not separate:
        index = index[(index % _TEST_PERIOD == 0) == (part == "test")]
    files = ImageFiles(tuple(path for path, _ in found.samples), torch.tensor(found.targets))
    return tuple(found.classes), files.take(index)


def colours(channels: int) -> torch.nn.Module:
    """Return the transform that makes an image grey (1 channel) or coloured."""
    from torchvision.transforms import v2

    transform: torch.nn.Module = v2.Grayscale() if channels == 1 else v2.RGB()
    return transform


def read_image(path: str) -> object:
    """Read one image file.

    Raises:
        FileFormatError: it holds no image that can be read.
    """
    from torchvision.datasets.folder import default_loader

    try:
        return default_loader(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise FileFormatError(path, f"cannot be read as an image: {error}", "replace or remove it") from error

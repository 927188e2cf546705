"""Image data sets as tensors: Fashion-MNIST, CIFAR-10, or any folder of images.

Splits are fixed. A folder may name its validation split; otherwise every twelfth training image
(indices 11, 23, …) validates, of more than 120,000 one in so many that about 10,000 do. The test
split is read by ``mcofa evaluate`` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mcofa.errors import FileFormatError
from mcofa.space.resolution import Resolution, size_of
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.image_folder import ImageFiles, ImageFolder, Part
from mcofa.supernet.data.published import PUBLISHED
from mcofa.supernet.data.splits import Preprocessing, Split, chunk_slices, resized, spread_index

_VALIDATION_PERIOD = 12
_MOST_VALIDATION_IMAGES = 10_000
# Of a folder with more bytes than this only some images are kept in memory.
_LARGEST_BYTES_IN_MEMORY = 4 * 2**30
_SAMPLED_IMAGES = 2_048


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
        """A hash of the validation split, at the size it has, and of the class labels."""
        found = hashlib.sha256(repr((self.labels, self.validation.images.shape)).encode())
        found.update(self.validation.images.contiguous().numpy().data)
        found.update(self.validation.targets.contiguous().numpy().data)
        return found.hexdigest()[:16]

    def at(self, size: Resolution) -> ImageData:
        """Return the data set at another size, preprocessing unchanged."""
        return replace(self, train=self.train.resized(size), validation=self.validation.resized(size))


@dataclass(frozen=True)
class ImageSource:
    """Images of one size and their class indices, int64, (n,); the images are read when they are needed."""

    labels: tuple[str, ...]
    targets: Tensor
    read: Callable[[Tensor], Tensor]
    bytes_each: int
    files: ImageFiles | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: Tensor) -> Split:
        """Read the chosen images."""
        return Split(self.read(index), self.targets[index])

    def spread(self, count: int) -> Split:
        """Read ``count`` images (or all, if there are fewer) evenly spread over the source."""
        return self.take(spread_index(len(self), count))

    def chunks(self) -> Iterator[Split]:
        """Read the images in pieces of 16 MiB of pixels, or of one image where that is larger."""
        order = torch.arange(len(self))
        return (self.take(order[piece]) for piece in chunk_slices(len(self), self.bytes_each))


def load_data(name: str, size: Resolution, channels: int) -> ImageData:
    """Load the training and validation splits, every image ``size`` (height and width) large.

    ``name`` is ``fashion-mnist``, ``cifar-10`` or the path of a folder of images (see ``image_folder``
    for its layouts). Images of another shape are scaled to cover ``size`` and cut at the centre.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, there are too few images, or a class has none to train on.
    """
    folder = None if name in PUBLISHED else ImageFolder(Path(name))
    source = _open(name, folder, "train", size, channels)
    held_out = torch.zeros(len(source), dtype=torch.bool)
    if folder is None or not folder.has_validation:
        held_out = _validating(name, len(source))
    kept, validating = (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
    _check_every_class_trains(name, source, kept)
    files = None if source.files is None else source.files.take(kept)
    if len(kept) * source.bytes_each > _LARGEST_BYTES_IN_MEMORY:
        kept = kept[spread_index(len(kept), _SAMPLED_IMAGES)]
    train = source.take(kept)
    if folder is None or not folder.has_validation:
        validation = source.take(validating)
    else:
        validation = _open(name, folder, "validation", size, channels).spread(_MOST_VALIDATION_IMAGES)
    return ImageData(name, source.labels, train, validation, Preprocessing.of(train), files)


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


def load_test_split(name: str, size: Resolution, channels: int) -> ImageSource:
    """Open the test split; for ``mcofa evaluate`` only.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged; an image, when it is read.
    """
    folder = None if name in PUBLISHED else ImageFolder(Path(name))
    return _open(name, folder, "test", size, channels)


def _open(name: str, folder: ImageFolder | None, part: Part, size: Resolution, channels: int) -> ImageSource:
    height, width = size_of(size)
    bytes_each = channels * height * width
    if folder is not None:
        if channels not in (1, 3):
            raise _other_channels(name, "are read as grey (1 channel) or in colour (3)", channels, "1 or 3")
        files = folder.files(part)
        return ImageSource(
            folder.labels, files.targets, lambda index: files.read(index, size, channels), bytes_each, files
        )
    assert part != "validation"
    labels, images, targets = PUBLISHED[name](part)
    if images.shape[1] != channels:
        found = f"have {images.shape[1]} channel(s)"
        raise _other_channels(name, found, channels, str(images.shape[1]))
    return ImageSource(labels, targets, lambda index: resized(images[index], size), bytes_each)


def _other_channels(name: str, found: str, channels: int, fitting: str) -> FileFormatError:
    return FileFormatError(
        name,
        f"images {found}, the search space takes {channels}",
        f"set `input_channels: {fitting}` in a copy of the space's file, or make a space for "
        "your data with `mcofa design-space`",
    )


def _validating(name: str, count: int) -> Tensor:
    """Return which of ``count`` training images validate."""
    period = max(_VALIDATION_PERIOD, count // _MOST_VALIDATION_IMAGES)
    held_out = torch.arange(count) % period == period - 1
    if not held_out.any():
        raise FileFormatError(
            name, f"{count} training images, at least {_VALIDATION_PERIOD} needed", "add images"
        )
    return held_out


def _check_every_class_trains(name: str, source: ImageSource, kept: Tensor) -> None:
    trained = source.targets[kept].bincount(minlength=len(source.labels))
    missing = [label for label, count in zip(source.labels, trained.tolist(), strict=True) if not count]
    if missing:
        raise FileFormatError(
            name,
            f"no training image is left of class {', '.join(missing)}: other images test and validate",
            "add images, at least 3 a class; or leave the class out",
        )

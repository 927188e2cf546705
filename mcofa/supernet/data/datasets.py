"""Image data sets as tensors: Fashion-MNIST, CIFAR-10, or any folder of images.

Splits are fixed. A folder may name its validation split; otherwise every twelfth training image
(indices 11, 23, …) validates, of more than 120,000 one in so many that about 10,000 do. The test
split is read by ``mcofa evaluate`` alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit
from mcofa.space.resolution import Resolution
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.array_folder import ArrayFolder
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.data.image_folder import ImageFolder
from mcofa.supernet.data.published import PUBLISHED
from mcofa.supernet.data.source import DataSet, ImageSource
from mcofa.supernet.data.splits import Preprocessing, Split, spread_index

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
        fit = self.preprocessing.fit
        return replace(
            self, train=self.train.resized(size, fit), validation=self.validation.resized(size, fit)
        )


def load_data(name: str, size: Resolution, channels: int, fit: Fit = "crop") -> ImageData:
    """Load the training and validation splits, every image fitted to ``size``.

    ``name`` is ``fashion-mnist``, ``cifar-10``, or the path of a folder of images (see ``image_folder``
    for its layouts) or of arrays (see ``array_folder``).

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, there are too few images, or a class has none to train on.
    """
    found = _find(name)
    source = found.open("train", size, channels, fit, found.levels)
    held_out = torch.zeros(len(source), dtype=torch.bool)
    if not found.has_validation:
        held_out = _validating(name, len(source))
    kept, validating = (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
    _check_every_class_trains(name, source, kept)
    files = None if source.files is None else source.files.take(kept)
    if len(kept) * source.bytes_each > _LARGEST_BYTES_IN_MEMORY:
        kept = kept[spread_index(len(kept), _SAMPLED_IMAGES)]
    train = source.take(kept)
    if found.has_validation:
        validation = found.open("validation", size, channels, fit, found.levels).spread(
            _MOST_VALIDATION_IMAGES
        )
    else:
        validation = source.take(validating)
    return ImageData(
        name, source.labels, train, validation, Preprocessing.of(train, fit, found.levels), files
    )


def load_data_for(space: SearchSpace, name: str, fit: Fit) -> ImageData:
    """Load the training and validation splits, see ``load_data``, at the largest resolution of ``space``.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged, too few images, or other channels or classes than the space's.
    """
    data = load_data(name, space.resolutions[-1], space.input_channels, fit)
    if len(data.labels) != space.classes:
        raise FileFormatError(
            name,
            f"has {len(data.labels)} classes, the search space {space.name} has {space.classes}",
            f"choose data with {space.classes} classes, or train a space for these: `classes: "
            f"{len(data.labels)}` in a copy of its file, or `mcofa design-space`",
        )
    return data


def load_test_split(name: str, size: Resolution, channels: int, preprocessing: Preprocessing) -> ImageSource:
    """Open the test split as ``preprocessing`` fits its images; for ``mcofa evaluate`` only.

    Raises:
        MissingFileError: the data is not there.
        FileFormatError: a file is damaged; an image, when it is read.
    """
    return _find(name).open("test", size, channels, preprocessing.fit, preprocessing.levels)


def _find(name: str) -> DataSet:
    if name in PUBLISHED:
        return PUBLISHED[name]
    folder = Path(name)
    return ArrayFolder(folder) if ArrayFolder.is_in(folder) else ImageFolder(folder)


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

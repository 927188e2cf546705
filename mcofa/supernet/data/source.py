"""What every data set gives: splits of images that are read when they are needed, and their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit
from mcofa.space.levels import Levels
from mcofa.space.resolution import Resolution, size_of
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.data.splits import Split, chunk_slices, resized, spread_index

Part = Literal["train", "validation", "test"]


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


def source_in_memory(
    name: str,
    labels: tuple[str, ...],
    images: Tensor,
    targets: Tensor,
    size: Resolution,
    channels: int,
    fit: Fit,
) -> ImageSource:
    """Return uint8 images (n, channels, height, width) of the data set ``name`` as a source.

    Raises:
        FileFormatError: they have other channels.
    """
    if images.shape[1] != channels:
        raise other_channels(name, f"have {images.shape[1]} channel(s)", channels, str(images.shape[1]))
    height, width = size_of(size)
    return ImageSource(
        labels, targets, lambda index: resized(images[index], size, fit), channels * height * width
    )


class DataSet(Protocol):
    """Images and classes in some form of files."""

    @property
    def has_validation(self) -> bool:
        """Whether the data itself says which images validate."""
        ...

    @property
    def levels(self) -> Levels:
        """Which numbers the levels of the training images stand for."""
        ...

    def open(self, part: Part, size: Resolution, channels: int, fit: Fit, levels: Levels) -> ImageSource:
        """Open a split, its images fitted to ``size``, their numbers as the nearest of ``levels``.

        Raises:
            MissingFileError: the data is not there.
            FileFormatError: it is damaged, or its images have other channels.
        """
        ...


def other_channels(name: str, found: str, channels: int, fitting: str) -> FileFormatError:
    """Return the error that images are not as a search space takes them."""
    return FileFormatError(
        name,
        f"images {found}, the search space takes {channels}",
        f"set `input_channels: {fitting}` in a copy of the space's file, or make a space for "
        "your data with `mcofa design-space`",
    )

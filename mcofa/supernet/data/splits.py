"""Images and their classes in memory, how pixels become numbers, and the statistics of pixels.

Whatever works on a whole split does so in chunks of 16 MiB of pixels, so that it takes little memory
beside the split itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mcofa.runs.manifest import Normalisation
from mcofa.space.fit import Fit, window
from mcofa.space.levels import BYTES, Levels
from mcofa.space.resolution import Resolution, Size, size_of

_CHUNK_BYTES = 1 << 24
_SMALLEST_STD = 1e-3


@dataclass(frozen=True)
class Split:
    """Images as uint8, (n, channels, height, width), and their class indices as int64, (n,)."""

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

    def resized(self, size: Resolution, fit: Fit) -> Split:
        """Return the split with all images fitted to a size."""
        return Split(resized(self.images, size, fit), self.targets)

    def spread(self, count: int) -> Split:
        """Return ``count`` images (or all, if there are fewer) evenly spread over the split."""
        return self.take(spread_index(len(self), count))

    def chunks(self) -> Iterator[Split]:
        """Yield the split in pieces of 16 MiB of pixels, or of one image where that is larger."""
        return (self.take(piece) for piece in chunk_slices(len(self), self.images.shape[1:].numel()))


@dataclass(frozen=True)
class Preprocessing:
    """How what a data set holds becomes what a network reads.

    An image of another shape is made to ``fit``, a number becomes the nearest of ``levels``, and level k
    ``(k / 255 - mean) / std``, the same for every channel.
    """

    mean: float
    std: float
    fit: Fit = "crop"
    levels: Levels = BYTES

    @classmethod
    def of(cls, split: Split, fit: Fit = "crop", levels: Levels = BYTES) -> Preprocessing:
        """Return what gives the pixels of a split mean 0 and standard deviation 1, to 4 digits.

        Sums are of integers, so that neither chunks nor their order matter.
        """
        counts = np.zeros(256, np.int64)
        for chunk in split.chunks():
            counts += np.bincount(chunk.images.flatten().numpy(), minlength=256)
        counted = list(enumerate(counts.tolist()))
        pixels = sum(count for _, count in counted)
        total = sum(level * count for level, count in counted)
        squares = sum(level**2 * count for level, count in counted)
        variance = (pixels * squares - total**2) / (pixels * (pixels - 1))
        std = max(float(np.sqrt(variance)) / 255, _SMALLEST_STD)
        return cls(round(total / (255 * pixels), 4), round(std, 4), fit, levels)

    @classmethod
    def recorded(cls, section: Normalisation) -> Preprocessing:
        """Return what an export recorded."""
        return cls(section.mean, section.std, section.fit, section.levels)

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 images to float32, in channels-last memory order."""
        return (
            images.to(torch.float32)
            .div_(255 * self.std)
            .sub_(self.mean / self.std)
            .contiguous(memory_format=torch.channels_last)
        )


def spread_index(of: int, count: int) -> Tensor:
    """Return ``count`` indices (or all, if there are fewer) evenly spread over ``of``."""
    return torch.linspace(0, of - 1, min(count, of)).long()


def chunk_slices(count: int, bytes_each: int) -> Iterator[slice]:
    """Yield slices of ``count`` images that hold 16 MiB each, or one image where that is larger."""
    step = max(1, _CHUNK_BYTES // bytes_each)
    return (slice(start, start + step) for start in range(0, count, step))


def resized(images: Tensor, size: Resolution, fit: Fit) -> Tensor:
    """Return uint8 images (n, channels, h, w) fitted to a size."""
    height, width = size_of(size)
    if images.shape[2:] == (height, width):
        return images
    result = torch.empty(*images.shape[:2], height, width, dtype=torch.uint8)
    bytes_each = max(images.shape[1:].numel(), result.shape[1:].numel())
    for piece in chunk_slices(len(images), bytes_each):
        scaled = scaled_to(images[piece].to(torch.float32), size, fit)
        result[piece] = scaled.round_().clamp_(0, 255).to(torch.uint8)
    return result


def scaled_to(images: Tensor, size: Resolution, fit: Fit) -> Tensor:
    """Return float images (n, channels, h, w) fitted to a size, channels last in memory."""
    wanted = height, width = size_of(size)
    found = images.shape[2], images.shape[3]
    if found == wanted:
        return images
    scaled, top, left = window(found, wanted, fit)
    images = _interpolated(images, scaled)
    if scaled != wanted:
        margins = (-left, left + width - scaled[1], -top, top + height - scaled[0])
        images = functional.pad(images, margins)
    return images.contiguous(memory_format=torch.channels_last)


def _interpolated(images: Tensor, size: Size) -> Tensor:
    # torch (2.14) scales the height of images wrongly that become one pixel wide, the width of no image.
    if size[1] == 1 < size[0]:
        return _interpolated(images.mT, (1, size[0])).mT
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)

"""Image files and their classes, read when they are needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit
from mcofa.space.resolution import Resolution, size_of
from mcofa.supernet.data.image_file import fitted, pillow_warnings_ignored, read_image


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

    def read(self, index: Tensor, size: Resolution, channels: int, fit: Fit) -> Tensor:
        """Read images as uint8, (n, channels, height, width), fitted to ``size``.

        Raises:
            FileFormatError: a file holds no image that can be read.
        """
        height, width = size_of(size)
        images = torch.empty(len(index), channels, height, width, dtype=torch.uint8)
        with pillow_warnings_ignored(), ThreadPoolExecutor() as pool:
            read = pool.map(lambda i: _read(self.paths[i], (height, width), channels, fit), index.tolist())
            for place, image in enumerate(read):
                images[place] = torch.from_numpy(image).view(height, width, channels).permute(2, 0, 1)
        return images


def _read(path: str, size: tuple[int, int], channels: int, fit: Fit) -> npt.NDArray[np.uint8]:
    image = read_image(path, channels)
    try:
        return np.array(fitted(image, size, fit))
    except ValueError as error:
        step = "crop or remove it, or train with `fit: stretch` or `fit: pad`"
        raise FileFormatError(path, str(error), step) from error

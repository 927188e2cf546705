"""Augmentation of image batches on the device that holds them, the same for equal seeds on every device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def seeded(*key: int) -> torch.Generator:
    """Return a CPU generator for ``key``, such as (seed, step); other keys give independent streams."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def augment(images: Tensor, generator: torch.Generator, *, flip: bool, shift_pixels: int) -> Tensor:
    """Mirror (half of them) and shift a batch of images (n, channels, h, w), each in its own way.

    The pixels that a shift uncovers are black. ``generator`` lives on the CPU (see ``seeded``), so
    that the same choices are made wherever the images are.
    """
    count, _, height, width = images.shape
    offsets = torch.randint(0, 2 * shift_pixels + 1, (2, count, 1), generator=generator)
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = (places.to(images.device, non_blocking=True) for places in (rows, columns))
    index = torch.arange(count, device=images.device)[:, None, None]
    padded = functional.pad(images, (shift_pixels,) * 4).permute(0, 2, 3, 1)
    return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

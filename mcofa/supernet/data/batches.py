"""The batches of a phase: which images each process takes at each step, augmented and normalised.

Choices depend on (seed, phase, epoch or step, micro-batch) alone, not on the number of processes
or of earlier interruptions, so a run can go on anywhere as it would have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mcofa.errors import FileFormatError
from mcofa.supernet.data.augment import augment, seeded
from mcofa.supernet.data.datasets import ImageData
from mcofa.supernet.data.image_file import pillow_warnings_ignored, read_image
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.schedule import Schedule

_ORDER, _AUGMENTATION = 0, 1
_MOST_WORKERS = 16
_LARGEST_SHARE_OF_DEVICE_MEMORY = 0.5
# The colour distortion of the published ImageNet training ("tf" in data_providers/imagenet.py of
# mit-han-lab/once-for-all at f03b267).
_BRIGHTNESS, _SATURATION = 32 / 255, 0.5

Batch = tuple[Tensor, Tensor]


class Batches:
    """The micro-batches of one phase that this process takes, in order.

    Raises:
        FileFormatError: none can be made of the data (see ``check_batches``).
    """

    def __init__(
        self, config: TrainConfig, data: ImageData, phase_index: int, plan: Schedule, world: World
    ) -> None:
        self._config, self._data, self._phase, self._plan = config, data, phase_index, plan
        self._device = world.device
        check_batches(config, data, world)
        groups = config.batch_size // config.micro_batch_size
        self.per_step = groups // world.size
        self._groups = range(world.rank * self.per_step, (world.rank + 1) * self.per_step)

    def start(self, first_step: int) -> Iterator[Batch]:
        """Yield images (float, normalised, on the device) and targets from ``first_step`` on.

        Raises:
            FileFormatError: a file holds no image that can be read.
        """
        return (
            self._from_memory(first_step) if self._config.crop_area is None else self._from_files(first_step)
        )

    def _chosen(self, first_step: int) -> Iterator[tuple[int, int, Tensor]]:
        """Yield step, number of the micro-batch, and the indices of its images."""
        size, order = self._config.micro_batch_size, torch.empty(0)
        for step in range(first_step, self._plan.steps):
            epoch, position = divmod(step, self._plan.steps_per_epoch)
            if step == first_step or position == 0:
                key = (self._config.seed, self._phase, epoch, _ORDER)
                order = torch.randperm(train_images(self._data), generator=seeded(*key))
            for group in self._groups:
                start = position * self._config.batch_size + group * size
                yield step, group, order[start : start + size]

    def _from_memory(self, first_step: int) -> Iterator[Batch]:
        config, train = self._config, self._data.train
        if self._device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(self._device)
            if train.images.nbytes < _LARGEST_SHARE_OF_DEVICE_MEMORY * free_bytes:
                train = train.to(self._device)
        for step, group, index in self._chosen(first_step):
            batch = train.take(index.to(train.images.device, non_blocking=True))
            generator = seeded(config.seed, self._phase, step, group, _AUGMENTATION)
            images = augment(batch.images, generator, flip=config.flip, shift_pixels=config.shift_pixels)
            yield self._normalised(images, batch.targets)

    def _from_files(self, first_step: int) -> Iterator[Batch]:
        assert self._data.train_files is not None
        crops = _Crops(self._config, self._data.train_files, self._data.train.images.shape[1:])
        keys = (
            [(image, self._phase, step) for image in index.tolist()]
            for step, _, index in self._chosen(first_step)
        )
        loader: DataLoader[Any] = DataLoader(
            crops,
            batch_sampler=keys,
            collate_fn=_collate,
            num_workers=min(_MOST_WORKERS, os.cpu_count() or 1),
            pin_memory=self._device.type == "cuda",
        )
        for batch in loader:
            if isinstance(batch, FileFormatError):
                raise batch
            yield self._normalised(*batch)

    def _normalised(self, images: Tensor, targets: Tensor) -> Batch:
        images = self._data.preprocessing.normalise(images.to(self._device, non_blocking=True))
        return images, targets.to(self._device, non_blocking=True)


def check_batches(config: TrainConfig, data: ImageData, world: World) -> None:
    """Refuse what no batches can be made of.

    Raises:
        FileFormatError: there are fewer images than a batch, the processes cannot share one evenly,
            or the data set cannot be read in the way that ``crop_area`` asks for.
    """
    groups = config.batch_size // config.micro_batch_size
    if train_images(data) < config.batch_size:
        raise FileFormatError(
            config.data,
            f"{train_images(data)} training images are fewer than one batch of {config.batch_size}",
            "lower batch_size in the configuration",
        )
    if groups % world.size:
        raise FileFormatError(
            config.data,
            f"{world.size} processes cannot share a batch of {groups} micro-batches evenly",
            f"let {world.size} divide batch_size / micro_batch_size in the configuration",
        )
    if config.crop_area is not None and data.train_files is None:
        raise FileFormatError(
            config.data, "is no folder, so crop_area cannot be cut from its files", "set crop_area: null"
        )
    if config.crop_area is None and len(data.train) < train_images(data):
        raise FileFormatError(
            config.data,
            f"{train_images(data):,} images do not fit in memory",
            "set crop_area (as in configs/ofa.yaml), so that they are read when needed",
        )


def train_images(data: ImageData) -> int:
    """Return the number of training images, in memory or not."""
    return len(data.train) if data.train_files is None else len(data.train_files)


def _collate(samples: list[Batch | FileFormatError]) -> Any:
    """Return a micro-batch, or the first error among its images."""
    errors = [sample for sample in samples if isinstance(sample, FileFormatError)]
    return errors[0] if errors else default_collate(samples)


class _Crops(Dataset[Batch | FileFormatError]):
    """Random-resized crops of image files; equal keys (image, phase, step) give equal crops.

    A file that cannot be read gives the error itself, as torch would rewrite one raised in a worker.
    """

    def __init__(self, config: TrainConfig, files: ImageFiles, shape: torch.Size) -> None:
        from torchvision.transforms import v2

        assert config.crop_area is not None
        self._channels, height, width = shape
        colour = [v2.ColorJitter(_BRIGHTNESS, saturation=_SATURATION)] if self._channels == 3 else []
        self._seed, self._files = config.seed, files
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop((height, width), scale=(config.crop_area, 1.0)),
                *([v2.RandomHorizontalFlip()] if config.flip else []),
                *colour,
                v2.PILToTensor(),
            ]
        )

    def __getitem__(self, key: tuple[int, int, int]) -> Batch | FileFormatError:
        try:
            with pillow_warnings_ignored():
                image = read_image(self._files.paths[key[0]], self._channels)
        except FileFormatError as error:
            return error
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeded(self._seed, *key, _AUGMENTATION).initial_seed())
            return self._transform(image), self._files.targets[key[0]]

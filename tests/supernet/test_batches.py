"""Batches read from files: the same after an interruption, and whatever the number of workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import config, write_inputs

from mcofa.errors import FileFormatError
from mcofa.supernet.data import batches as batches_module
from mcofa.supernet.data import datasets as data_module
from mcofa.supernet.data.batches import Batches
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.schedule import schedule

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batches")
    write_inputs(folder)
    return folder


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_MOST_WORKERS", 1)


def batches(train_config: TrainConfig, world: World, first_step: int = 0) -> list[Batch]:
    data = load_data(train_config.data, 12, 1)
    plan = schedule(train_config, train_config.phases[0], len(data.train))
    return list(Batches(train_config, data, 0, plan, world).start(first_step))


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for (images, targets), (other_images, other_targets) in zip(found, expected, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)


@pytest.mark.parametrize("crop_area", [None, 0.3], ids=["memory", "files"])
def test_a_later_start_and_more_processes_take_the_same_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch, crop_area: float | None
) -> None:
    train_config = config(folder, crop_area=crop_area, micro_batch_size=8)
    alone = batches(train_config, World(0, 1, CPU))
    assert len(alone) == 2 * 16
    assert_equal(batches(train_config, World(0, 1, CPU), first_step=13), alone[2 * 13 :])
    monkeypatch.setattr(batches_module, "_MOST_WORKERS", 0)
    assert_equal(batches(train_config, World(0, 2, CPU)), alone[0::2])
    assert_equal(batches(train_config, World(1, 2, CPU)), alone[1::2])


def test_crops_differ_from_epoch_to_epoch_and_show_every_image_once(folder: Path) -> None:
    whole = config(folder, crop_area=1.0, flip=False)
    found = batches(whole, World(0, 1, CPU))
    first, second = (torch.cat([images for images, _ in half]) for half in (found[:8], found[8:]))
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    classes = torch.cat([targets for _, targets in found[:8]]).bincount()
    assert classes.sum() == 128
    assert classes.max() <= 46


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_damaged_while_training_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(batches_module, "_MOST_WORKERS", workers)
    write_inputs(tmp_path)
    train_config = config(tmp_path, crop_area=0.3)
    data = load_data(train_config.data, 12, 1)
    assert data.train_files is not None
    path = Path(data.train_files.paths[0])
    path.write_bytes(path.read_bytes()[:60])
    plan = schedule(train_config, train_config.phases[0], len(data.train))
    with pytest.raises(
        FileFormatError, match=f"^{path}: cannot be read as an image: .*\n  next: replace or remove it$"
    ):
        list(Batches(train_config, data, 0, plan, World(0, 1, CPU)).start(0))


def test_a_folder_too_large_for_memory_needs_crop_area(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "_LARGEST_BYTES_IN_MEMORY", 1_000)
    monkeypatch.setattr(data_module, "_SAMPLED_IMAGES", 24)
    with pytest.raises(FileFormatError, match=r"138 images do not fit in memory\n.*set crop_area"):
        batches(config(folder), World(0, 1, CPU))
    data = load_data(str(folder / "images"), 12, 1)
    cropped = config(folder, crop_area=0.5)
    plan = schedule(cropped, cropped.phases[0], 138)
    assert len(list(Batches(cropped, data, 0, plan, World(0, 1, CPU)).start(0))) == 16


@pytest.mark.parametrize("crop_area", [None, 0.5], ids=["memory", "files"])
def test_heights_and_widths_are_kept(folder: Path, crop_area: float | None) -> None:
    train_config = config(folder, crop_area=crop_area)
    data = load_data(train_config.data, (8, 12), 1)
    plan = schedule(train_config, train_config.phases[0], len(data.train))
    images, _ = next(Batches(train_config, data, 0, plan, World(0, 1, CPU)).start(0))
    assert images.shape == (16, 1, 8, 12)

"""Measuring subnets: resumable, and never mixed with measurements of other archs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import config, header, names_in, one_thread, randomised, tiny_space, write_inputs

from mcofa.errors import DiskWriteError, FileFormatError, MissingFileError
from mcofa.supernet.checkpoint import load_supernet, save_checkpoint
from mcofa.supernet.data import load_data
from mcofa.supernet.measure import measure

pytestmark = pytest.mark.torch

SPACE = tiny_space()
COUNT = 6


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measure")
    write_inputs(folder)
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, header(SPACE, config(folder)), dict(randomised(SPACE).state_dict()))
    return path


@pytest.fixture(scope="module")
def whole(checkpoint: Path) -> bytes:
    """The table that an uninterrupted call writes."""
    path = checkpoint.parent / "whole.csv"
    measure(checkpoint, COUNT, 0, path)
    return path.read_bytes()


def stop_after(limit: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        if done == limit:
            raise KeyboardInterrupt

    return report


def test_the_smallest_the_largest_and_random_archs_are_measured(checkpoint: Path, tmp_path: Path) -> None:
    done: list[int] = []
    measured = measure(checkpoint, COUNT, 0, tmp_path / "table.csv", done.append)
    archs = [arch for arch, _ in measured]
    assert archs[:2] == [SPACE.smallest(), SPACE.largest()]
    assert len(archs) == COUNT
    assert len(set(archs)) > 3
    assert done == [1, 2, 3, 4, 5, 6]
    assert names_in(tmp_path) == ["table.csv"]


def test_accuracies_are_those_on_the_validation_images(checkpoint: Path, tmp_path: Path) -> None:
    measured = measure(checkpoint, 4, 0, tmp_path / "table.csv")
    saved, supernet = load_supernet(checkpoint)
    data = load_data(saved.config.data, 12, 1)
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for (arch, top1), row in zip(measured, rows, strict=True):
        with torch.no_grad():
            # One batch of 138 images, so the running averages are its statistics.
            subnet = supernet.extract(arch)
            for module in subnet.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0
            subnet.train()(data.preprocessing.normalise(data.train.images))
            answers = subnet.eval()(data.preprocessing.normalise(data.validation.images)).argmax(1)
        right = sum(int(a == t) for a, t in zip(answers, data.validation.targets, strict=True))
        assert top1 == pytest.approx(100 * right / 12)
        assert row["top1_percent"] == f"{100 * right / 12:.2f}"


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_stopped_call_is_continued(checkpoint: Path, tmp_path: Path, whole: bytes, limit: int) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        measure(checkpoint, COUNT, 0, path, stop_after(limit))
    assert len(path.read_text().splitlines()) == 1 + limit
    assert names_in(tmp_path) == ["table.csv"]
    done: list[int] = []
    measured = measure(checkpoint, COUNT, 0, path, done.append)
    assert done == list(range(limit + 1, COUNT + 1))
    assert len(measured) == COUNT
    assert path.read_bytes() == whole


def test_more_archs_can_be_measured_later(checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "table.csv"
    measure(checkpoint, 3, 0, path)
    measure(checkpoint, COUNT, 0, path)
    assert path.read_bytes() == whole


def test_fewer_archs_than_the_table_has_are_read_from_it(
    checkpoint: Path, tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(whole)
    done: list[int] = []
    assert len(measure(checkpoint, 3, 0, path, done.append)) == 3
    assert done == []
    assert path.read_bytes() == whole


def test_a_table_of_another_seed_is_refused(checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(whole)
    with pytest.raises(FileFormatError, match=r"table.csv: holds other archs than seed 1 draws"):
        measure(checkpoint, COUNT, 1, path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b"\0"])
def test_a_damaged_table_is_refused(checkpoint: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"table.csv: "):
        measure(checkpoint, COUNT, 0, path)
    assert path.read_bytes() == content


def test_a_missing_or_truncated_checkpoint_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="checkpoint not found"):
        measure(tmp_path / "nosuch.safetensors", 1, 0, tmp_path / "table.csv")
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"truncated.safetensors: truncated or damaged"):
        measure(truncated, 1, 0, tmp_path / "table.csv")
    assert names_in(tmp_path) == ["truncated.safetensors"]


def test_a_table_that_cannot_be_written_is_a_disk_error(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskWriteError, match=r"cannot write .*table.csv"):
        measure(checkpoint, 1, 0, tmp_path / "file" / "table.csv")

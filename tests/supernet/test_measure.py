"""Measuring subnets: resumable, shared among processes, and never mixed with other measurements."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import (
    CLASSES,
    SIDE,
    config,
    header,
    names_in,
    one_thread,
    randomised,
    tiny_space,
    untrained_checkpoint,
    write_image,
    write_inputs,
)

from mcofa.accuracy.sample import balanced_archs
from mcofa.boards import load_board
from mcofa.errors import DiskWriteError, FileFormatError, MissingFileError
from mcofa.runs.run import Run
from mcofa.space.arch_table import Measured, read_measured
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.data.splits import Preprocessing, Split
from mcofa.supernet.finetune.finetune import FinetuneSettings, finetune
from mcofa.supernet.measure.evaluate import top1_percent
from mcofa.supernet.measure.measure import measure as measure_archs
from mcofa.supernet.network.checkpoint import load_supernet, save_checkpoint

pytestmark = pytest.mark.torch

SPACE = tiny_space()
BOARD = load_board("stm32f746")
COUNT = 6


def measure(
    checkpoint: Path, count: int, seed: int, out: Path, report: Callable[[int, int], None] = lambda *_: None
) -> Measured:
    measured = measure_archs(checkpoint, count, seed, BOARD, out, report=report)
    assert measured is not None
    return measured


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("measure"))


@pytest.fixture(scope="module")
def whole(checkpoint: Path) -> bytes:
    """The table that an uninterrupted call writes."""
    path = checkpoint.parent / "whole.csv"
    measure(checkpoint, COUNT, 0, path)
    return path.read_bytes()


def stop_after(limit: int) -> Callable[[int, int], None]:
    def report(done: int, of: int) -> None:
        if done == limit:
            raise KeyboardInterrupt

    return report


def test_the_smallest_the_largest_and_balanced_archs_are_measured(checkpoint: Path, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    measured = measure(checkpoint, COUNT, 0, tmp_path / "table.csv", lambda *state: done.append(state))
    np.testing.assert_array_equal(measured.genomes, balanced_archs(SPACE, BOARD, 0)[:COUNT])
    ends = SPACE.encode([SPACE.smallest(), SPACE.largest()])
    np.testing.assert_array_equal(measured.genomes[:2], ends)
    assert len(np.unique(measured.genomes, axis=0)) == COUNT
    assert done == [(number, COUNT) for number in range(1, COUNT + 1)]
    assert names_in(tmp_path) == ["table.csv"]


def test_accuracies_are_those_on_the_validation_images(checkpoint: Path, tmp_path: Path) -> None:
    measured = measure(checkpoint, 4, 0, tmp_path / "table.csv")
    saved, supernet = load_supernet(checkpoint)
    data = load_data(saved.config.data, 12, 1)
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    for genome, top1, row in zip(measured.genomes, measured.top1_percent, rows, strict=True):
        with torch.no_grad():
            # One batch of 138 images, so the running averages are its statistics.
            subnet = supernet.extract(SPACE.decode(genome))
            for module in subnet.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0
            subnet.train()(data.preprocessing.normalise(data.train.images))
            answers = subnet.eval()(data.preprocessing.normalise(data.validation.images)).argmax(1)
        right = sum(int(a == t) for a, t in zip(answers, data.validation.targets, strict=True))
        assert top1 == pytest.approx(100 * right / 12, abs=5e-4)
        assert row["top1_percent"] == f"{100 * right / 12:.3f}"
        assert digest.startswith(row["checkpoint"])
        assert len(row["checkpoint"]) == 16
        assert row["space_fingerprint"] == SPACE.fingerprint


def test_fine_tuned_accuracies_are_those_that_finetune_keeps(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    measured = measure_archs(checkpoint, 3, 0, BOARD, path, finetune_epochs=3)
    assert measured is not None
    for genome, top1 in zip(measured.genomes, measured.top1_percent, strict=True):
        run = Run(tmp_path / "run")
        arch = SPACE.decode(genome).to_json()
        section = {"space": SPACE.name, "space_fingerprint": SPACE.fingerprint, "arch": arch}
        run.record("search", section)
        kept = finetune(run, checkpoint, FinetuneSettings(epochs=3))["validation_top1_percent"]
        assert top1 == kept["after"]
    assert read_measured(path, SPACE).finetune_epochs == 3
    again = measure_archs(checkpoint, 3, 0, BOARD, path, finetune_epochs=3)
    assert again is not None
    np.testing.assert_array_equal(again.top1_percent, np.round(measured.top1_percent, 3))
    with pytest.raises(FileFormatError, match="was measured after 3 epochs of fine-tuning, this is after 0"):
        measure(checkpoint, 3, 0, path)


def test_imported_weights_are_not_fine_tuned(checkpoint: Path, tmp_path: Path) -> None:
    path, table = tmp_path / "imported.safetensors", tmp_path / "table.csv"
    imported = header(SPACE, config(checkpoint.parent)).model_copy(update={"config": None, "origin": "net"})
    save_checkpoint(path, imported, dict(randomised(SPACE).state_dict()))
    with pytest.raises(FileFormatError, match="imported weights, whose training is not known"):
        measure_archs(path, 3, 0, BOARD, table, str(checkpoint.parent / "images"), finetune_epochs=1)
    assert not table.exists()


def test_each_arch_sees_images_of_its_own_resolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_inputs(tmp_path)
    space = SPACE.model_copy(update={"resolutions": (8, 12)})
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, header(space, config(tmp_path)), dict(randomised(space).state_dict()))
    seen: list[tuple[int, int]] = []

    def remember(subnet: torch.nn.Module, split: Split, preprocessing: Preprocessing) -> float:
        seen.append((split.images.shape[-1], split.images.shape[-2]))
        return 50.0

    monkeypatch.setattr("mcofa.supernet.measure.measure.top1_percent", remember)
    measured = measure(path, 8, 0, tmp_path / "table.csv")
    assert seen == [(side, side) for side in np.array([8, 12])[measured.genomes[:, 0]].tolist()]
    assert len(set(seen)) == 2


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_stopped_call_is_continued(checkpoint: Path, tmp_path: Path, whole: bytes, limit: int) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        measure(checkpoint, COUNT, 0, path, stop_after(limit))
    assert len(path.read_text().splitlines()) == 1 + limit
    assert names_in(tmp_path) == ["table.csv"]
    done: list[int] = []
    measured = measure(checkpoint, COUNT, 0, path, lambda number, _: done.append(number))
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
    assert len(measure(checkpoint, 3, 0, path, lambda number, _: done.append(number))) == 3
    assert done == []
    assert path.read_bytes() == whole


def test_a_table_of_another_seed_is_refused(checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(whole)
    with pytest.raises(FileFormatError, match=r"table.csv: holds other archs than seed 1 draws"):
        measure(checkpoint, COUNT, 1, path)
    assert path.read_bytes() == whole


def test_a_table_of_another_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    path, other = tmp_path / "table.csv", tmp_path / "other.safetensors"
    path.write_bytes(whole)
    tensors = {name: tensor + 0.1 for name, tensor in randomised(SPACE).state_dict().items() if tensor.ndim}
    save_checkpoint(
        other, header(SPACE, config(checkpoint.parent)), dict(randomised(SPACE).state_dict()) | tensors
    )
    with pytest.raises(FileFormatError, match=r"table.csv: was measured on checkpoint [0-9a-f]{16}, this is"):
        measure(other, COUNT, 0, path)
    assert path.read_bytes() == whole


def test_a_table_of_other_images_is_refused(checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    path, folder = tmp_path / "table.csv", tmp_path / "others"
    path.write_bytes(whole)
    shutil.copytree(checkpoint.parent / "images", folder)
    for measured_on in (str(folder), None):
        measured = measure_archs(checkpoint, COUNT, 0, BOARD, path, measured_on)
        assert measured is not None
    # Every image of a class, so that one of the validation split is among them.
    for image in (folder / CLASSES[0]).iterdir():
        write_image(image, np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(FileFormatError, match=r"table.csv: was measured on data [0-9a-f]{16}, this is"):
        measure_archs(checkpoint, COUNT + 1, 0, BOARD, path, str(folder))
    assert path.read_bytes() == whole


def test_data_with_other_classes_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(checkpoint.parent / "images", folder)
    shutil.rmtree(folder / CLASSES[0])
    with pytest.raises(FileFormatError, match=r"images: has 2 classes, the search space tiny has 3"):
        measure_archs(checkpoint, COUNT, 0, BOARD, tmp_path / "table.csv", str(folder))
    assert names_in(tmp_path) == ["images"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_processes_share_the_work(
    checkpoint: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    path = tmp_path / "table.csv"
    monkeypatch.setenv("WORLD_SIZE", "3")
    found, shares = [], []
    for rank in order:
        monkeypatch.setenv("RANK", str(rank))
        done: list[tuple[int, int]] = []
        found.append(
            measure_archs(checkpoint, COUNT, 0, BOARD, path, report=lambda *state, d=done: d.append(state))
        )
        shares.append(done)
    assert shares == [[(1, 2), (2, 2)]] * 3
    assert [measured is None for measured in found] == [True, True, False]
    assert path.read_bytes() == whole
    assert names_in(tmp_path / "table.csv.parts") == ["0.csv", "1.csv", "2.csv"]


def test_a_stopped_process_goes_on_and_one_process_can_finish_the_work(
    checkpoint: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    with monkeypatch.context() as torchrun:
        torchrun.setenv("WORLD_SIZE", "2")
        torchrun.setenv("RANK", "1")
        with pytest.raises(KeyboardInterrupt):
            measure_archs(checkpoint, COUNT, 0, BOARD, path, report=stop_after(2))
    done: list[int] = []
    measure(checkpoint, COUNT, 0, path, lambda number, _: done.append(number))
    assert len(done) == COUNT - 2
    assert path.read_bytes() == whole


def test_nothing_is_lost_or_measured_again_when_the_number_of_processes_changes(
    checkpoint: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, measured = tmp_path / "table.csv", []

    def count(subnet: torch.nn.Module, split: Split, preprocessing: Preprocessing) -> float:
        measured.append(subnet)
        return top1_percent(subnet, split, preprocessing)

    monkeypatch.setattr("mcofa.supernet.measure.measure.top1_percent", count)
    for processes, ranks in ((2, (0, 1)), (3, (1,)), (1, (0,))):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        for rank in ranks:
            monkeypatch.setenv("RANK", str(rank))
            with contextlib.suppress(KeyboardInterrupt):
                measure_archs(checkpoint, COUNT, 0, BOARD, path, report=stop_after(2))
    assert len(measured) == COUNT
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

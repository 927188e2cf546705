"""Folders of arrays: what is read of .npz files, as which levels, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.errors import FileFormatError
from mcofa.space.levels import BYTES, Levels
from mcofa.supernet.data.array_folder import _as_levels, _levels_of
from mcofa.supernet.data.datasets import load_data, load_test_split
from mcofa.supernet.data.splits import Preprocessing

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(0)


def arrays(count: int, dtype: str = "uint8", shape: tuple[int, ...] = (6, 5, 2)) -> dict[str, Any]:
    numbers = RNG.integers(0, 100, (count, *shape)).astype(dtype)
    return {"x": numbers, "y": np.arange(count) % 3}


def write(folder: Path, **files: dict[str, Any]) -> str:
    for name, content in files.items():
        np.savez_compressed(folder / f"{name}.npz", **content)
    return str(folder)


def test_bytes_are_read_as_they_are_with_any_number_of_channels(tmp_path: Path) -> None:
    train, test = arrays(36), arrays(9)
    data = load_data(write(tmp_path, train=train, test=test), (6, 5), 2)
    kept = np.setdiff1d(np.arange(36), [11, 23, 35])
    np.testing.assert_array_equal(data.train.images.numpy(), train["x"][kept].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.train.targets.numpy(), train["y"][kept])
    assert (data.labels, data.preprocessing.levels) == (("0", "1", "2"), BYTES)
    opened = load_test_split(str(tmp_path), (6, 5), 2, data.preprocessing)
    np.testing.assert_array_equal(
        opened.take(torch.arange(9)).images.numpy(), test["x"].transpose(0, 3, 1, 2)
    )


def test_a_file_of_its_own_validates(tmp_path: Path) -> None:
    validation = arrays(4)
    data = load_data(write(tmp_path, train=arrays(36), val=validation, test=arrays(9)), (6, 5), 2)
    assert (len(data.train), len(data.validation)) == (36, 4)
    np.testing.assert_array_equal(data.validation.images.numpy(), validation["x"].transpose(0, 3, 1, 2))


def test_val_tests_where_there_is_no_test_file(tmp_path: Path) -> None:
    data = load_data(write(tmp_path, train=arrays(36), valid=arrays(9)), (6, 5), 2)
    assert (len(data.train), len(data.validation)) == (33, 3)
    assert len(load_test_split(str(tmp_path), (6, 5), 2, data.preprocessing)) == 9


def test_signed_bytes_and_grey_planes_and_labels(tmp_path: Path) -> None:
    train = {**arrays(36, shape=(6, 5)), "labels": np.array(["up", "dówn", "left"])}
    train["x"] = RNG.integers(-128, 128, train["x"].shape).astype(np.int8)
    data = load_data(write(tmp_path, train=train, test=train), (6, 5), 1)
    assert data.labels == ("up", "dówn", "left")
    assert data.preprocessing.levels == Levels(-128.0, 1.0)
    np.testing.assert_array_equal(data.train.images[0, 0].numpy().astype(int) - 128, train["x"][0])


@given(
    numbers=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=20),
    dtype=st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=200, deadline=None)
def test_floating_point_numbers_become_the_nearest_of_256_levels(numbers: list[float], dtype: str) -> None:
    x = np.array(numbers, dtype).reshape(-1, 1, 1, 1)
    levels = _levels_of(x)
    found = _as_levels(x, levels).astype(np.float64)
    spread = x.max().astype(np.float64) - x.min()
    np.testing.assert_allclose(
        levels.first + levels.step * found, x, rtol=0, atol=float(spread) / 509 + 1e-300
    )


def test_numbers_of_the_test_file_are_read_by_the_levels_of_training(tmp_path: Path) -> None:
    """The training numbers are -1 to 4.1; what lies beyond them is read as these."""
    train, test = arrays(36, "float32"), arrays(2, "float32")
    train["x"] = np.linspace(-1, 4.1, train["x"].size).reshape(train["x"].shape)
    test["x"][:] = 7.0
    test["x"][0] = -9.0
    test["x"][1, 0, 0, 0] = 1.02
    data = load_data(write(tmp_path, train=train, test=test), (6, 5), 2)
    assert data.preprocessing.levels == Levels(-1.0, pytest.approx(0.02))
    opened = load_test_split(str(tmp_path), (6, 5), 2, data.preprocessing).take(torch.arange(2))
    assert opened.images[0].unique().tolist() == [0]
    assert opened.images[1].unique().tolist() == [101, 255]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.zeros((36, 6))}, r"x has the shape \(36, 6\)"),
        ({"x": np.zeros((36, 6, 0, 1), np.uint8)}, r"x has the shape \(36, 6, 0, 1\)"),
        ({"x": np.zeros((36, 6, 5, 2), np.int32)}, "x holds int32"),
        ({"x": np.zeros((36, 6, 5, 2), np.complex64)}, "x holds complex64"),
        ({"x": np.full((36, 6, 5, 2), np.nan)}, "x holds numbers that are not finite"),
        ({"x": np.full((36, 6, 5, 2), np.inf)}, "x holds numbers that are not finite"),
        ({"y": np.arange(35)}, r"y has the shape \(35,\), x \(36, 6, 5, 2\)"),
        ({"y": np.arange(36.0)}, "y holds float64"),
        ({"y": np.arange(36) - 1}, "y holds -1"),
        ({"y": np.arange(36) * 10**6}, "class 35000000, at most 9999 is read"),
        ({"labels": np.array(["a", "b"])}, "2 labels for the classes 0 to 2"),
        ({"labels": np.arange(3)}, "labels hold int64"),
        ({"x": np.array([object()] * 36)}, "cannot be read: Object arrays"),
    ],
)
def test_other_arrays_are_refused_by_what_they_hold(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    name = write(tmp_path, train={**arrays(36), **changed}, test=arrays(9))
    with pytest.raises(FileFormatError, match=f"^{tmp_path}/train.npz: {message}"):
        load_data(name, (6, 5), 2)


@pytest.mark.parametrize("kept", [0, 3, 100, -30])
def test_damaged_files_are_refused(tmp_path: Path, kept: int) -> None:
    name = write(tmp_path, train=arrays(36), test=arrays(9))
    path = tmp_path / "train.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileFormatError, match=f"^{path}: cannot be read: "):
        load_data(name, (6, 5), 2)


def test_missing_and_doubled_files_and_foreign_classes_are_named(tmp_path: Path) -> None:
    name = write(tmp_path, train=arrays(36))
    with pytest.raises(FileFormatError, match=r"holds train.npz, but no test.npz\n"):
        load_data(name, (6, 5), 2)
    write(tmp_path, val=arrays(9), valid=arrays(9))
    with pytest.raises(FileFormatError, match=r"holds val.npz and valid.npz"):
        load_data(name, (6, 5), 2)
    (tmp_path / "valid.npz").unlink()
    write(tmp_path, test={**arrays(9), "y": np.full(9, 3)})
    with pytest.raises(FileFormatError, match=r"holds class 3, train.npz the classes 0 to 2"):
        load_test_split(name, (6, 5), 2, Preprocessing(0.0, 1.0))
    with pytest.raises(FileFormatError, match=r"have 2 channel\(s\), the search space takes 3"):
        load_data(name, (6, 5), 3)

"""Data sets: Fashion-MNIST from IDX files, folders of images, and what is wrong with either."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_training import CLASSES, write_image
from torchvision.datasets import CIFAR10

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.supernet.data import datasets as data_module
from mcofa.supernet.data import published, splits
from mcofa.supernet.data.datasets import ImageData, load_data, load_test_split
from mcofa.supernet.data.image_folder import ImageFolder
from mcofa.supernet.data.splits import Preprocessing, Split

pytestmark = pytest.mark.torch

PARTS = {"train": ("train", 36), "test": ("t10k", 12)}


def all_test_images(name: str, size: int, channels: int) -> Split:
    source = load_test_split(name, size, channels, Preprocessing(0.0, 1.0))
    return source.spread(len(source))


def test_preprocessing_is_its_formula() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(2, 2, 8, 8)
    expected = (images.numpy().astype(np.float64) / 255 - 0.3) / 0.25
    normalised = Preprocessing(0.3, 0.25).normalise(images)
    assert normalised.dtype == torch.float32
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(normalised.numpy(), expected, atol=1e-6)
    assert images.flatten().tolist() == list(range(256)), "the images themselves stay"


# Fashion-MNIST


@pytest.fixture(autouse=True)
def _forget_the_folder() -> Iterator[None]:
    published._find_fashion_mnist.cache_clear()
    yield
    published._find_fashion_mnist.cache_clear()


@pytest.fixture(scope="module")
def fashion() -> ImageData:
    try:
        return load_data("fashion-mnist", 28, 1)
    except MissingFileError as error:
        pytest.skip(str(error))


def original(name: str, header_bytes: int) -> npt.NDArray[np.uint8]:
    folder = published._find_fashion_mnist()
    zipped = folder / f"{name}.gz"
    content = gzip.decompress(zipped.read_bytes()) if zipped.exists() else (folder / name).read_bytes()
    return np.frombuffer(content, np.uint8, offset=header_bytes)


def test_every_twelfth_training_image_of_fashion_mnist_validates(fashion: ImageData) -> None:
    images = original("train-images-idx3-ubyte", 16).reshape(60_000, 1, 28, 28)
    targets = original("train-labels-idx1-ubyte", 8)
    validation = np.arange(11, 60_000, 12)
    train = np.setdiff1d(np.arange(60_000), validation)
    assert (len(fashion.train), len(fashion.validation)) == (len(train), len(validation)) == (55_000, 5_000)
    np.testing.assert_array_equal(fashion.train.images.numpy(), images[train])
    np.testing.assert_array_equal(fashion.train.targets.numpy(), targets[train])
    np.testing.assert_array_equal(fashion.validation.images.numpy(), images[validation])
    np.testing.assert_array_equal(fashion.validation.targets.numpy(), targets[validation])
    pixels = images[train].astype(np.float64) / 255
    assert fashion.preprocessing.mean == pytest.approx(pixels.mean(), abs=1e-4)
    assert fashion.preprocessing.std == pytest.approx(pixels.std(), abs=1e-4)
    assert len(fashion.labels) == 10


def test_fashion_mnist_is_tested_on_its_own_10_000_images(fashion: ImageData) -> None:
    test = all_test_images("fashion-mnist", 28, 1)
    images = original("t10k-images-idx3-ubyte", 16).reshape(10_000, 1, 28, 28)
    np.testing.assert_array_equal(test.images.numpy(), images)
    assert test.targets.bincount().tolist() == [1_000] * 10
    assert fashion.labels[int(test.targets[0])] == "Ankle boot"


@pytest.fixture
def idx_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """36 training and 12 test images, two of the files zipped; the reader expects as many."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for part, (prefix, count) in PARTS.items():
        names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        monkeypatch.setitem(published._FASHION_FILES, part, (*names, count))
        write_idx(folder / f"{names[0]}.gz", idx_images(count))
        write_idx(folder / names[1], (np.arange(count) % 10).astype(np.uint8))
    monkeypatch.setenv("MCOFA_DATASETS", str(tmp_path))
    return folder


def idx_images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def write_idx(path: Path, values: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("above", [True, False], ids=["folder above", "folder itself"])
def test_idx_files_are_read_from_mcofa_datasets(
    idx_folder: Path, monkeypatch: pytest.MonkeyPatch, above: bool
) -> None:
    monkeypatch.setenv("MCOFA_DATASETS", str(idx_folder.parent if above else idx_folder))
    data = load_data("fashion-mnist", 28, 1)
    np.testing.assert_array_equal(data.validation.images[:, 0].numpy(), idx_images(36)[[11, 23, 35]])
    assert data.validation.targets.tolist() == [1, 3, 5]
    assert len(data.train) == 33
    test = all_test_images("fashion-mnist", 28, 1)
    np.testing.assert_array_equal(test.images[:, 0].numpy(), idx_images(12))


def test_images_are_resized_to_the_resolution(idx_folder: Path) -> None:
    write_idx(idx_folder / "train-images-idx3-ubyte.gz", np.full((36, 28, 28), 77, np.uint8))
    data = load_data("fashion-mnist", 14, 1)
    assert data.train.images.shape == (33, 1, 14, 14)
    assert set(data.train.images.flatten().tolist()) == {77}


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("train-images-idx3-ubyte.gz", lambda content: content[: len(content) // 2], "damaged: "),
        ("train-images-idx3-ubyte.gz", lambda content: content[:4], "damaged: "),
        ("train-images-idx3-ubyte.gz", lambda content: b"", "not an IDX file of 36×28×28 bytes"),
        ("train-images-idx3-ubyte.gz", lambda content: b"not gzip", "damaged: "),
        (
            "train-images-idx3-ubyte.gz",
            lambda content: content[:40] + b"\xff" * 40 + content[80:],
            "damaged: ",
        ),
        ("train-labels-idx1-ubyte", lambda content: b"", "not an IDX file of 36 bytes"),
        ("train-labels-idx1-ubyte", lambda content: content[:-1], "not an IDX file of 36 bytes"),
        ("train-labels-idx1-ubyte", lambda content: content + b"\0", "not an IDX file of 36 bytes"),
        ("train-labels-idx1-ubyte", lambda content: b"\0\0\x0d" + content[3:], "not an IDX file of 36 bytes"),
    ],
)
def test_a_damaged_idx_file_is_named(
    idx_folder: Path, name: str, damage: Callable[[bytes], bytes], problem: str
) -> None:
    path = idx_folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=f"{path}: {problem}") as caught:
        load_data("fashion-mnist", 28, 1)
    assert "dataset-fashion-mnist" in caught.value.next_step


def test_labels_in_place_of_images_are_refused(idx_folder: Path) -> None:
    write_idx(idx_folder / "train-images-idx3-ubyte.gz", np.zeros(36 * 28 * 28, np.uint8))
    with pytest.raises(FileFormatError, match="not an IDX file of 36×28×28 bytes"):
        load_data("fashion-mnist", 28, 1)


def test_as_many_images_as_fashion_mnist_has_are_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCOFA_DATASETS", str(tmp_path))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", idx_images(36))
    with pytest.raises(FileFormatError, match="not an IDX file of 60000×28×28 bytes"):
        load_data("fashion-mnist", 28, 1)


def test_a_missing_folder_names_the_package_and_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCOFA_DATASETS", str(tmp_path / "nosuch"))
    with pytest.raises(MissingFileError, match=f"Fashion-MNIST not found: {tmp_path}") as caught:
        load_data("fashion-mnist", 28, 1)
    assert "dataset-fashion-mnist" in caught.value.next_step
    assert "MCOFA_DATASETS" in caught.value.next_step


def test_one_missing_file_is_named(idx_folder: Path) -> None:
    missing = idx_folder / "t10k-labels-idx1-ubyte"
    missing.unlink()
    with pytest.raises(MissingFileError, match=f"Fashion-MNIST file not found: {missing}"):
        load_test_split("fashion-mnist", 28, 1, Preprocessing(0.0, 1.0))


def test_without_package_and_network_the_error_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.delenv("MCOFA_DATASETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(published, "_DEBIAN_FOLDER", tmp_path / "nosuch")
    monkeypatch.setattr("torchvision.datasets.FashionMNIST", offline)
    with pytest.raises(MissingFileError, match="Fashion-MNIST not found: ") as caught:
        load_data("fashion-mnist", 28, 1)
    assert "dataset-fashion-mnist" in caught.value.next_step


def test_a_space_with_other_channels_is_refused(idx_folder: Path) -> None:
    with pytest.raises(FileFormatError, match=r"images have 1 channel\(s\), the search space takes 3"):
        load_data("fashion-mnist", 28, 3)


# Folders of images


def fill(folder: Path, count: int, shape: tuple[int, ...] = (8, 8)) -> None:
    """Write images of one brightness each: class 0 has 0, 1, …, class 1 has 50, 51, …."""
    for number, name in enumerate(CLASSES):
        for index in range(count):
            write_image(folder / name / f"{index:02}.png", np.full(shape, 50 * number + index, np.uint8))


def brightness(images: torch.Tensor) -> list[int]:
    values = images.flatten(1)
    assert (values == values[:, :1]).all()
    return values[:, 0].tolist()


def test_a_folder_without_parts_is_split(tmp_path: Path) -> None:
    fill(tmp_path, 24)
    data = load_data(str(tmp_path), 8, 1)
    test = all_test_images(str(tmp_path), 8, 1)
    everything = [50 * number + index for number in range(3) for index in range(24)]
    for_training = [value for index, value in enumerate(everything) if index % 6]
    assert brightness(test.images) == everything[::6]
    assert brightness(data.validation.images) == for_training[11::12]
    assert sorted(brightness(data.train.images) + for_training[11::12]) == for_training
    assert data.labels == CLASSES
    for split in (data.train, data.validation, test):
        assert split.targets.tolist() == [value // 50 for value in brightness(split.images)]
    pixels = np.array(brightness(data.train.images)) / 255
    assert data.preprocessing.mean == pytest.approx(pixels.mean(), abs=1e-4)
    assert data.preprocessing.std == pytest.approx(pixels.std(), abs=1e-3)


def test_splits_are_the_same_each_time(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    first, second = load_data(str(tmp_path), 8, 1), load_data(str(tmp_path), 8, 1)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.validation.images, second.validation.images)


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_folder_with_parts_is_taken_as_it_is(tmp_path: Path, part: str) -> None:
    fill(tmp_path / "train", 8)
    fill(tmp_path / part, 2)
    data = load_data(str(tmp_path), 8, 1)
    assert (len(data.train), len(data.validation)) == (22, 2)
    assert brightness(all_test_images(str(tmp_path), 8, 1).images) == [0, 1, 50, 51, 100, 101]


def test_parts_with_different_classes_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 8)
    fill(tmp_path / "test", 2)
    (tmp_path / "test" / CLASSES[0]).rename(tmp_path / "test" / "zigzag")
    with pytest.raises(FileFormatError, match=r"test: holds the classes .*zigzag.*, train holds .*across"):
        load_test_split(str(tmp_path), 8, 1, Preprocessing(0.0, 1.0))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (8, 8, 4)], ids=["grey", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_become_what_the_space_takes(
    tmp_path: Path, shape: tuple[int, ...], channels: int
) -> None:
    fill(tmp_path, 6, shape)
    data = load_data(str(tmp_path), 8, channels)
    assert data.train.images.shape == (14, channels, 8, 8)
    assert data.train.images.dtype == torch.uint8
    assert set(brightness(data.train.images)) <= {50 * n + i for n in range(3) for i in range(6)}


def test_colours_keep_their_order(tmp_path: Path) -> None:
    fill(tmp_path, 6, (8, 8, 3))
    for path in tmp_path.glob("*/*.png"):
        write_image(path, np.full((8, 8, 3), (10, 20, 30), np.uint8))
    assert load_data(str(tmp_path), 8, 3).train.images[0, :, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("shape", [(16, 16), (5, 5), (8, 20), (40, 10)], ids=str)
def test_images_are_resized_and_cropped_at_the_centre(tmp_path: Path, shape: tuple[int, int]) -> None:
    rows, columns = shape
    image = np.zeros(shape, np.uint8)
    side = min(shape)
    top, left = (rows - side) // 2, (columns - side) // 2
    image[top : top + side, left : left + side] = 200
    for name in CLASSES:
        for index in range(6):
            write_image(tmp_path / name / f"{index}.png", image)
    images = load_data(str(tmp_path), 8, 1).train.images
    assert images.shape[1:] == (1, 8, 8)
    assert (images[..., 1:-1, 1:-1] == 200).all()


def test_too_few_images_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    with pytest.raises(FileFormatError, match="10 training images, at least 12 needed"):
        load_data(str(tmp_path), 8, 1)


def test_a_single_image_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "only" / "one.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(FileFormatError, match=f"{tmp_path}: "):
        load_data(str(tmp_path), 8, 1)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0\0\x05IHDR1234512345"])
def test_an_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path, 6)
    path = tmp_path / CLASSES[1] / "03.png"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"^{path}: cannot be read as an image"):
        load_data(str(tmp_path), 8, 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_image_is_read_or_named(tmp_path: Path, seed: int) -> None:
    fill(tmp_path, 6)
    path = tmp_path / CLASSES[1] / "03.png"
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
    path.write_bytes(content.tobytes()[: rng.integers(20, len(content))])
    problem = named = f"{path}: cannot be read as an image"
    try:
        load_data(str(tmp_path), 8, 1)
    except FileFormatError as error:
        problem = error.problem
    assert problem.startswith(named)


def test_a_folder_without_classes_or_with_an_empty_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=f"{tmp_path}: cannot be read as images") as caught:
        load_data(str(tmp_path), 8, 1)
    assert "subfolder" in caught.value.next_step
    fill(tmp_path, 6)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match=f"{tmp_path}: cannot be read as images.*empty"):
        load_data(str(tmp_path), 8, 1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"data set not found: .*nosuch\n  next: .*fashion-mnist"):
        load_data(str(tmp_path / "nosuch"), 8, 1)
    with pytest.raises(MissingFileError, match="data set not found: fashion_mnist"):
        load_test_split("fashion_mnist", 8, 1, Preprocessing(0.0, 1.0))


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(os.urandom(10))
    with pytest.raises(MissingFileError, match=f"data set not found: {path}"):
        load_data(str(path), 8, 1)


# Sets too large for memory


def test_of_a_large_folder_a_sample_is_kept_and_every_file_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "train", 24)
    fill(tmp_path / "val", 1)
    small = load_data(str(tmp_path), 8, 1)
    monkeypatch.setattr(data_module, "_LARGEST_BYTES_IN_MEMORY", 64 * 8 * 8)
    monkeypatch.setattr(data_module, "_SAMPLED_IMAGES", 5)
    large = load_data(str(tmp_path), 8, 1)
    assert brightness(large.train.images) == [brightness(small.train.images)[i] for i in (0, 16, 32, 48, 65)]
    assert torch.equal(large.validation.images, small.validation.images)
    for data in (large, small):
        assert data.train_files is not None
        assert torch.equal(data.train_files.targets, small.train.targets)
        everything = data.train_files.read(torch.arange(66), 8, 1, "crop")
        assert torch.equal(everything, small.train.images)


def test_of_more_than_120_000_images_about_10_000_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 24)
    monkeypatch.setattr(data_module, "_MOST_VALIDATION_IMAGES", 3)
    assert len(load_data(str(tmp_path), 8, 1).validation) == 3


def test_another_resolution_keeps_the_preprocessing(tmp_path: Path) -> None:
    fill(tmp_path, 24)
    data = load_data(str(tmp_path), 8, 1)
    smaller = data.at(6)
    assert smaller.train.images.shape[1:] == smaller.validation.images.shape[1:] == (1, 6, 6)
    assert brightness(smaller.train.images) == brightness(data.train.images)
    assert smaller.preprocessing == data.preprocessing
    assert data.at(8).train.images is data.train.images


# Heights and widths


def test_images_in_memory_are_cut_at_the_centre_like_files(idx_folder: Path, tmp_path: Path) -> None:
    """What needs no scaling is the middle of the image itself, rows and columns apart."""
    images = idx_images(36)
    for number, image in enumerate(images):
        write_image(tmp_path / "folder" / f"class-{number % 2}" / f"{number:02}.png", image)
    cuts = {(20, 28): (slice(4, 24), slice(0, 28)), (28, 12): (slice(0, 28), slice(8, 20))}
    for size, (rows, columns) in cuts.items():
        data = load_data("fashion-mnist", size, 1)
        kept = np.setdiff1d(np.arange(36), [11, 23, 35])
        np.testing.assert_array_equal(data.train.images[:, 0].numpy(), images[kept][:, rows, columns])
        read = ImageFolder(tmp_path / "folder").files("train").read(torch.arange(1), size, 1, "crop")
        np.testing.assert_array_equal(read[0, 0].numpy(), images[2][rows, columns])
    square, side = load_data("fashion-mnist", (14, 14), 1), load_data("fashion-mnist", 14, 1)
    assert torch.equal(square.train.images, side.train.images)


def test_another_height_and_width_keep_the_shape_of_things(tmp_path: Path) -> None:
    """A bright square in the middle stays a square, whatever the size."""
    image = np.zeros((48, 48), np.uint8)
    image[16:32, 16:32] = 255
    for number in range(12):
        for name in CLASSES:
            write_image(tmp_path / name / f"{number}.png", image)
    data = load_data(str(tmp_path), 48, 1)
    assert data.at((48, 24)).train.images.shape[1:] == (1, 48, 24)
    for size, side in (((48, 24), 16), ((24, 48), 16), ((24, 16), 8), ((12, 24), 8)):
        bright = data.at(size).validation.images[0, 0] > 127
        assert (int(bright.any(1).sum()), int(bright.any(0).sum())) == (side, side)
        assert data.at(size).validation.images.shape[2:] == size


# Memory


def test_statistics_and_resizing_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 3, 9, 7)).astype(np.uint8)
    split = Split(torch.from_numpy(images), torch.arange(50))
    whole = Preprocessing.of(split), split.resized((6, 5), "crop").images
    pixels = images.astype(np.float64) / 255
    assert whole[0] == Preprocessing(round(pixels.mean(), 4), round(pixels.std(ddof=1), 4))
    for chunk_bytes in (1, 200, 1_000):
        monkeypatch.setattr(splits, "_CHUNK_BYTES", chunk_bytes)
        assert Preprocessing.of(split) == whole[0]
        assert torch.equal(split.resized((6, 5), "crop").images, whole[1])
        parts = list(split.chunks())
        assert max(part.images.nbytes for part in parts) <= max(chunk_bytes, 9 * 7 * 3)
        assert torch.equal(torch.cat([part.targets for part in parts]), split.targets)


def test_of_black_images_the_deviation_is_not_0() -> None:
    black = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    assert Preprocessing.of(black) == Preprocessing(0.0, 0.001)


PEAK = """
import resource, torch
from mcofa.supernet.data.image_folder import ImageFolder
from mcofa.supernet.data.splits import Preprocessing, Split
images = torch.zeros(4_000, 1, 256, 256, dtype=torch.uint8).add_(7)
split = Split(images, torch.zeros(4_000, dtype=torch.int64))
Preprocessing.of(split.take(slice(0, 100)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{action}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / images.nbytes)
"""


@pytest.mark.parametrize(
    ("action", "most"),
    [("Preprocessing.of(split)", 0.7), ("split.resized(128, 'crop')", 0.25 + 0.9)],
    ids=["statistics", "resizing"],
)
def test_memory_beside_the_images(action: str, most: float) -> None:
    """In bytes per byte of images (262 MB); the statistics took 8 before they worked in chunks."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(action=action)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < most


def test_test_images_are_read_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 24)
    test = load_test_split(str(tmp_path), 8, 1, Preprocessing(0.0, 1.0))
    everything = test.spread(len(test))
    monkeypatch.setattr(splits, "_CHUNK_BYTES", 5 * 64)
    damaged = Path(test.files.paths[-1]) if test.files else tmp_path
    damaged.write_bytes(b"no image")
    chunks = test.chunks()
    first, second = next(chunks), next(chunks)
    assert torch.equal(torch.cat([first.images, second.images]), everything.images[:10])
    with pytest.raises(FileFormatError, match=f"^{damaged}"):
        next(chunks)


# CIFAR-10


def test_cifar_10_is_read_from_its_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five training files and a test file of rows of 3072 bytes, red before green before blue."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    hashes = {}
    for number, name in enumerate(["data_batch_1", "data_batch_2", "test_batch"]):
        rows = np.random.default_rng(number).integers(0, 256, (24, 3072)).astype(np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [i % 10 for i in range(24)]}))
        hashes[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    names = [*"abcdefghij"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    meta = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{i}", hashes[f"data_batch_{i}"]] for i in (1, 2)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", hashes["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})
    monkeypatch.setenv("MCOFA_DATASETS", str(tmp_path))
    data = load_data("cifar-10", 32, 3)
    assert (len(data.train), len(data.validation), data.labels) == (44, 4, tuple(names))
    rows = np.random.default_rng(0).integers(0, 256, (24, 3072)).astype(np.uint8)
    np.testing.assert_array_equal(data.train.images[0].numpy(), rows[0].reshape(3, 32, 32))
    np.testing.assert_array_equal(data.validation.images[0].numpy(), rows[11].reshape(3, 32, 32))
    assert len(load_test_split("cifar-10", 32, 3, Preprocessing(0.0, 1.0))) == 24


def test_missing_cifar_10_says_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCOFA_DATASETS", str(tmp_path))
    with pytest.raises(
        MissingFileError, match=rf"CIFAR-10 not found: {tmp_path}.*\n  next: unpack"
    ) as caught:
        load_data("cifar-10", 32, 3)
    assert "MCOFA_DATASETS" in caught.value.next_step

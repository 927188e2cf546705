"""Folders of images: which layouts are read, what is left out, and what is refused in which words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcofa.cli import main
from mcofa.errors import FileFormatError, McofaWarning
from mcofa.supernet.data import datasets as data_module
from mcofa.supernet.data.datasets import ImageData, load_data, load_test_split
from mcofa.supernet.data.image_folder import ImageFolder
from mcofa.supernet.data.splits import Preprocessing

pytestmark = pytest.mark.torch


def write(folder: Path, count: int = 1, first: int = 0) -> None:
    """Write ``count`` images of one brightness each: ``first`` and the next ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number:03}.png")


def layout(root: Path, tree: dict[str, int]) -> Path:
    """Write as many images into each folder; brightness grows from folder to folder by 40."""
    for position, (name, count) in enumerate(tree.items()):
        write(root / name, count, 40 * position)
    return root


def shown(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def load(root: Path) -> tuple[ImageData, list[int]]:
    """Return the data set, and the brightness of the test images."""
    test = load_test_split(str(root), 8, 1, Preprocessing(0.0, 1.0))
    return load_data(str(root), 8, 1), shown(test.spread(len(test)).images)


# Accepted


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "Test", "VALIDATION"])
@pytest.mark.parametrize("train", ["train", "Train"])
def test_one_other_split_is_the_test_split_whatever_it_is_called(
    tmp_path: Path, train: str, name: str
) -> None:
    tree = {f"{train}/cats": 12, f"{train}/dogs": 12, f"{name}/cats": 2, f"{name}/dogs": 3}
    data, test = load(layout(tmp_path, tree))
    assert data.labels == ("cats", "dogs")
    assert test == [80, 81, 120, 121, 122]
    assert shown(data.validation.images) == [11, 51]
    assert sorted(shown(data.train.images)) == [*range(11), *range(40, 51)]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_three_splits_are_what_they_are_called(tmp_path: Path, name: str) -> None:
    tree = {f"{part}/{label}": 3 for part in ("train", name, "test") for label in ("cats", "dogs")}
    data, test = load(layout(tmp_path, tree))
    assert sorted(shown(data.train.images)) == [0, 1, 2, 40, 41, 42]
    assert shown(data.validation.images) == [80, 81, 82, 120, 121, 122]
    assert data.validation.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert test == [160, 161, 162, 200, 201, 202]
    assert data.train_files is not None
    assert len(data.train_files) == 6


def test_of_a_large_validation_split_some_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {f"{part}/{label}": 6 for part in ("train", "val", "test") for label in ("cats", "dogs")}
    monkeypatch.setattr(data_module, "_MOST_VALIDATION_IMAGES", 4)
    data, _ = load(layout(tmp_path, tree))
    assert shown(data.validation.images) == [80, 83, 121, 125]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Bus, car and train are classes like others, as long as none of them holds folders."""
    data, _ = load(layout(tmp_path, {"bus": 8, "car": 8, "train": 8}))
    assert data.labels == ("bus", "car", "train")


@pytest.mark.parametrize("what", ["class", "image"])
def test_links_are_followed(tmp_path: Path, what: str) -> None:
    layout(tmp_path / "photos", {"cats": 12, "dogs": 12})
    layout(tmp_path / "elsewhere", {"cows": 12})
    if what == "class":
        (tmp_path / "photos" / "cows").symlink_to(tmp_path / "elsewhere" / "cows")
    else:
        (tmp_path / "photos" / "cows").mkdir()
        for path in (tmp_path / "elsewhere" / "cows").iterdir():
            (tmp_path / "photos" / "cows" / path.name).symlink_to(path)
    data, _ = load(tmp_path / "photos")
    assert data.labels == ("cats", "cows", "dogs")


def test_file_names_need_not_be_utf_8(tmp_path: Path) -> None:
    layout(tmp_path, {"cats": 12, "dogs": 12})
    odd = os.fsencode(tmp_path / "cats") + b"/\xff\xfe.png"
    os.rename(os.fsencode(tmp_path / "cats" / "000.png"), odd)
    files = ImageFolder(tmp_path).files("train")
    assert odd in [os.fsencode(path) for path in files.paths]
    assert len(load(tmp_path)[1]) == 4


# Refused: what was found, and what is read


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({}, "holds no class folders"),
        ({"train/cats": 3, "train/dogs": 3}, r"train/ has no test/ or val/ beside it"),
        ({"test/cats": 3, "val/dogs": 3}, "holds test, val, but no train/ beside it"),
        ({"test/cats": 3, "test/dogs": 3}, "holds test, but no train/ beside it"),
        ({"train/a": 3, "val/a": 3, "valid/a": 3}, "holds train, val, valid, of which two mean the same"),
        ({"train/a": 3, "Train/a": 3, "val/a": 3}, "holds Train, train, val, of which two mean the same"),
        ({"train/a": 3, "test/a": 3, "extra/a": 3}, r"train beside other folders \(extra\)"),
        ({"train/cats": 3, "cats": 3, "dogs": 3}, r"train beside other folders \(cats, dogs\)"),
        ({"train": 3, "test": 3}, "test: .* holds images but no class folders"),
        ({"train/a": 3, "train/b": 3, "test": 3}, "test: .* holds images but no class folders"),
        ({"train/a": 3, "train/b": 3, "test": 0}, "test: .* holds no class folders"),
        ({"": 1, "cats": 12, "dogs": 12}, r"1 images \(000.png\) lie where class folders are expected"),
        (
            {"train": 1, "train/a": 12, "train/b": 12, "test/a": 1},
            r"train: .* 1 images \(000.png\) lie where",
        ),
        ({"cats/old": 12, "cats": 12, "dogs": 12}, "class cats holds the folders old"),
        ({"set/cats": 12, "set/dogs": 12}, "class set holds the folders cats, dogs"),
        ({"training/cats": 12, "testing/cats": 12}, "class testing holds the folders cats"),
        ({"cats/train": 12, "cats/test": 12, "dogs/train": 12}, "class cats holds the folders test, train"),
        ({"cats": 12, "dogs": 0}, "class dogs has no images"),
        (
            {"train/a": 9, "train/b": 9, "val/a": 1, "val/c": 1},
            r"val: holds the classes .*'c'.*, train holds",
        ),
    ],
    ids=str,
)
def test_other_layouts_are_refused_with_what_was_found(
    tmp_path: Path, tree: dict[str, int], problem: str
) -> None:
    layout(tmp_path, tree)
    with pytest.raises(FileFormatError, match=f"^{tmp_path}.*{problem}") as caught:
        load_data(str(tmp_path), 8, 1)
    assert "subfolder" in caught.value.next_step


def test_with_a_train_folder_alone_both_ways_out_are_said(tmp_path: Path) -> None:
    layout(tmp_path, {"train/cats": 12, "train/dogs": 12})
    with pytest.raises(FileFormatError) as caught:
        load_data(str(tmp_path), 8, 1)
    assert f"{tmp_path}/test" in caught.value.next_step
    assert f"name {tmp_path}/train" in caught.value.next_step
    assert load(tmp_path / "train")[0].labels == ("cats", "dogs")


def symlink_loop(root: Path) -> None:
    (root / "cats" / "self").symlink_to(root)


def endless_link(root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")


def dangling_link(root: Path) -> None:
    (root / "cats" / "gone.png").symlink_to(root / "nowhere.png")


def pipe(root: Path) -> None:
    os.mkfifo(root / "cats" / "pipe.png")


def foreign_class(root: Path) -> None:
    os.rename(os.fsencode(root / "cats"), os.fsencode(root) + b"/caf\xe9")


def class_of_two_lines(root: Path) -> None:
    (root / "cats").rename(root / "a\nb")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (symlink_loop, "class cats holds the folders self"),
        (endless_link, "(Too many levels of symbolic links|loop is neither a file nor a folder)"),
        (dangling_link, "gone.png is neither a file nor a folder"),
        (pipe, "pipe.png is neither a file nor a folder"),
        (foreign_class, r"class folder caf\\xe9 cannot be printed"),
        (class_of_two_lines, r"class folder a\\nb cannot be printed"),
    ],
)
def test_odd_things_in_a_folder_are_refused(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    layout(tmp_path, {"cats": 12, "dogs": 12})
    damage(tmp_path)
    with pytest.raises(
        FileFormatError, match=f"{tmp_path}.*: cannot be read as images: .*{problem}"
    ) as caught:
        load_data(str(tmp_path), 8, 1)
    str(caught.value).encode()


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout(tmp_path, {"cats": 12, "dogs": 12})
    scan = os.scandir

    def refuse(folder: Path) -> object:
        if folder == tmp_path / "dogs":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(FileFormatError, match=f"^{tmp_path}/dogs: .*Permission denied"):
        load_data(str(tmp_path), 8, 1)


@pytest.mark.parametrize("channels", [2, 4])
def test_spaces_of_other_channels_are_refused(tmp_path: Path, channels: int) -> None:
    layout(tmp_path, {"cats": 12, "dogs": 12})
    with pytest.raises(FileFormatError, match=f"grey .* or in colour .*, the search space takes {channels}"):
        load_data(str(tmp_path), 8, channels)


# Classes that some split lacks


def test_a_class_without_a_training_image_is_named(tmp_path: Path) -> None:
    layout(tmp_path, {"bag": 24, "shoe": 1})
    with pytest.raises(FileFormatError, match="no training image is left of class shoe"):
        load_data(str(tmp_path), 8, 1)


@pytest.mark.parametrize("before", range(24))
def test_three_images_of_a_class_always_train(tmp_path: Path, before: int) -> None:
    """As the error's advice says; ``before`` moves the class over the period of both splits."""
    layout(tmp_path, {"bag": 20 + before, "shoe": 3})
    assert (load_data(str(tmp_path), 8, 1).train.targets == 1).any()


@pytest.mark.parametrize("how", ["no folder", "an empty folder"])
def test_a_class_without_test_images_is_said(tmp_path: Path, how: str) -> None:
    layout(tmp_path, {"train/cats": 12, "train/dogs": 12, "test/dogs": 2})
    if how == "an empty folder":
        (tmp_path / "test" / "cats").mkdir()
    with pytest.warns(McofaWarning, match="test.* class cats"):
        test = load_test_split(str(tmp_path), 8, 1, Preprocessing(0.0, 1.0))
    assert test.targets.tolist() == [1, 1]


# Left out


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git"])
@pytest.mark.parametrize("place", ["", "train", "train/cats"])
def test_hidden_folders_are_ignored_and_counted(tmp_path: Path, name: str, place: str) -> None:
    layout(tmp_path, {"train/cats": 12, "train/dogs": 12, "test/dogs": 2, "test/cats": 2})
    expected, _ = load(tmp_path)
    write(tmp_path / place / name, 3, 200)
    if place:
        with pytest.warns(McofaWarning, match=f"train: 1 hidden .*{name}"):
            found, _ = load(tmp_path)
    else:
        found, _ = load(tmp_path)
    assert found.labels == expected.labels
    assert torch.equal(found.train.images, expected.train.images)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "._000.png", "desktop.ini", ".hidden.jpg"])
def test_hidden_files_are_ignored_and_counted(tmp_path: Path, name: str) -> None:
    layout(tmp_path, {"cats": 12, "dogs": 12})
    for place in (tmp_path, tmp_path / "cats", tmp_path / "dogs"):
        (place / name).write_bytes(b"x")
    with pytest.warns(McofaWarning, match=rf"{tmp_path}: 3 hidden .*{name}"):
        data, _ = load(tmp_path)
    assert len(data.train) == 19


def test_files_that_are_no_images_are_counted_by_class_and_ending(tmp_path: Path) -> None:
    layout(tmp_path, {"bag": 12, "shoe": 12})
    for number in range(16):
        (tmp_path / "bag" / f"{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "shoe" / "list.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    with pytest.warns(McofaWarning) as caught:
        data, _ = load(tmp_path)
    assert len(data.train) == 19
    text = str(caught[0].message)
    of_classes = ("16 of 28 files of class bag", "1 of 13 files of class shoe", "1 beside the classes")
    for part in (*of_classes, "16 .heic", "1 .txt", "1 no ending"):
        assert part in text


def test_a_class_of_such_files_alone_is_refused_with_their_endings(tmp_path: Path) -> None:
    layout(tmp_path, {"bag": 12, "shoe": 0})
    (tmp_path / "shoe" / "1.heic").write_bytes(b"x")
    with pytest.raises(FileFormatError, match=r"class shoe has no images; found 1 \.heic"):
        load_data(str(tmp_path), 8, 1)


def test_the_command_line_warns_once_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny_training import untrained_checkpoint

    checkpoint = untrained_checkpoint(tmp_path)
    write(tmp_path / "images" / ".ipynb_checkpoints", 3)
    assert main(["evaluate", str(checkpoint), "--json"]) == 0
    output = capsys.readouterr()
    assert "hidden" not in output.out
    assert output.err.count("warning: ") == output.err.count("hidden") == 1
    monkeypatch.setenv("RANK", "1")
    assert main(["evaluate", str(checkpoint), "--json"]) == 0
    assert "warning" not in capsys.readouterr().err

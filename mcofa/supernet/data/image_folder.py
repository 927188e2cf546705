"""Folders of images: the layouts that are read, and the files of each split.

Each class is a subfolder that holds its images. Three layouts are read:

- ``CLASS/IMAGE``: every sixth image is a test image.
- ``train/CLASS/IMAGE`` and ``test/CLASS/IMAGE``; the second may be called ``val``, ``valid`` or
  ``validation``, too. A class may be missing from it, which is said.
- ``train/``, ``test/`` and one of ``val/``, ``valid/`` and ``validation/``: three splits, as they are named.

Everything else is refused with what was found: ``train/`` alone, splits beside other folders, folders in
a class, images beside class folders, a class without images. Hidden files and folders, and those that
systems leave behind (``Thumbs.db``, ``__MACOSX``), are ignored; they and files that are no images are
counted in a warning.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mcofa.errors import FileFormatError, McofaWarning, MissingFileError
from mcofa.space.fit import Fit
from mcofa.space.levels import BYTES, Levels
from mcofa.space.resolution import Resolution, size_of
from mcofa.supernet.data.image_file import suffixes
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.data.source import ImageSource, Part, other_channels

# Without a folder of its own, every sixth image is a test image.
_TEST_PERIOD = 6
_VALIDATION_NAMES = ("val", "valid", "validation")
_SPLIT_NAMES = ("train", "test", *_VALIDATION_NAMES)
_LEFT_BY_SYSTEMS = ("__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini")
_LAYOUTS = (
    "give each class a subfolder with its images: CLASS/IMAGE, or train/CLASS/IMAGE and test/CLASS/IMAGE "
    "(or val, valid, validation)"
)
_MOST_NAMED = 3


class ImageFolder:
    """A folder in one of the layouts that the module describes."""

    levels = BYTES

    def __init__(self, folder: Path) -> None:
        """Find the layout and the classes; the files are listed by ``files``.

        Raises:
            MissingFileError: there is no such folder.
            FileFormatError: it has another layout, or a split has classes that ``train`` does not have.
        """
        if not folder.is_dir():
            raise MissingFileError(
                folder,
                "data set",
                "name `fashion-mnist`, `cifar-10`, or a folder with one subfolder of images a class, or with "
                "train.npz and test.npz",
            )
        self.folder = folder
        self._roots = _split_folders(folder)
        self.labels = _class_names(self._roots.get("train", folder))
        for root in self._roots.values():
            self._check_classes(root)

    @property
    def has_validation(self) -> bool:
        """Whether the folder itself says which images validate."""
        return "validation" in self._roots

    def open(self, part: Part, size: Resolution, channels: int, fit: Fit, levels: Levels) -> ImageSource:
        """Open a split; of a folder, ``levels`` are always those of bytes.

        Raises:
            FileFormatError: see ``files``; or images are not read with so many ``channels``.
        """
        if channels not in (1, 3):
            raise other_channels(
                str(self.folder), "are read as grey (1 channel) or in colour (3)", channels, "1 or 3"
            )
        files, (height, width) = self.files(part), size_of(size)
        return ImageSource(
            self.labels,
            files.targets,
            lambda index: files.read(index, size, channels, fit),
            channels * height * width,
            files,
        )

    def files(self, part: Part) -> ImageFiles:
        """Return the files of one split, class by class in the order of their names.

        Raises:
            FileFormatError: a class holds folders, or no image; or something cannot be read.
        """
        paths, targets = self._listed(self._roots.get(part, self.folder))
        files = ImageFiles(tuple(paths), torch.tensor(targets, dtype=torch.int64))
        if self._roots:
            return files
        index = torch.arange(len(files))
        return files.take(index[(index % _TEST_PERIOD == 0) == (part == "test")])

    def _listed(self, root: Path) -> tuple[list[str], list[int]]:
        """Return the image files in the class folders of ``root``, and their classes."""
        paths: list[str] = []
        targets: list[int] = []
        top = _Contents.of(root)
        hidden, others = list(top.hidden), {"": top.other_files} if top.other_files else {}
        counts = {}
        for target, label in enumerate(self.labels):
            if label not in top.folders:
                continue
            found = _Contents.of(root / label)
            if found.folders:
                raise _refused(root / label, f"class {label} holds the folders {_listing(found.folders)}")
            if not found.images:
                problem = f"class {label} has no images{_kinds(found.other_files)}"
                if root == self._roots.get("train", self.folder):
                    raise _refused(root, problem)
                _warn(f"{root}: {problem}")
            paths += (os.path.join(root, label, name) for name in found.images)
            targets += [target] * len(found.images)
            hidden += found.hidden
            if found.other_files:
                others[label] = found.other_files
                counts[label] = len(found.images) + len(found.other_files)
        _tell_what_is_left_out(root, hidden, others, counts)
        if not paths:
            raise _refused(root, "no class has an image")
        return paths, targets

    def _check_classes(self, root: Path) -> None:
        found = _class_names(root)
        if set(found) - set(self.labels):
            raise FileFormatError(
                root,
                f"holds the classes {list(found)}, train holds {list(self.labels)}",
                "give both the same subfolders",
            )
        missing = sorted(set(self.labels) - set(found))
        if missing:
            _warn(f"{root} has no images of class {_listing(missing)}")


@dataclass(frozen=True)
class _Contents:
    """The names in one folder, sorted."""

    folders: tuple[str, ...]
    images: tuple[str, ...]
    other_files: tuple[str, ...]
    hidden: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> _Contents:
        """Look into a folder.

        Raises:
            FileFormatError: it cannot be read; or holds pipes, links to nowhere and the like.
        """
        folders, images, others, hidden = list[str](), list[str](), list[str](), list[str]()
        endings = suffixes()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS:
                        hidden.append(name)
                    elif entry.is_dir():
                        folders.append(name)
                    elif not entry.is_file():
                        raise _refused(folder, f"{_shown(name)} is neither a file nor a folder")
                    elif os.path.splitext(name)[1].lower() in endings:
                        images.append(name)
                    else:
                        others.append(name)
        except OSError as error:
            raise _refused(folder, error.strerror or str(error)) from error
        return cls(*(tuple(sorted(names)) for names in (folders, images, others, hidden)))


def _split_folders(folder: Path) -> dict[Part, Path]:
    """Return the folder of each split; none where the classes lie in ``folder`` itself."""
    names = _Contents.of(folder).folders
    splits = [name for name in names if name.lower() in _SPLIT_NAMES]
    inside = {name: _Contents.of(folder / name) for name in splits}
    nested = [name for name in splits if inside[name].folders]
    if not splits or (len(splits) < len(names) and not nested):
        return {}
    if len(splits) < len(names):
        rest = sorted(set(names) - set(splits))
        raise _refused(folder, f"{_listing(splits)} beside other folders ({_listing(rest)})")
    for name in splits:
        if name not in nested:
            what = "images but no class folders" if inside[name].images else "no class folders"
            raise _refused(folder / name, f"holds {what}")
    by_part: dict[Part, list[str]] = {"train": [], "test": [], "validation": []}
    for name in splits:
        part = name.lower()
        by_part["train" if part == "train" else "test" if part == "test" else "validation"].append(name)
    if max(map(len, by_part.values())) > 1:
        raise _refused(folder, f"holds {_listing(splits)}, of which two mean the same split")
    if not by_part["train"]:
        raise _refused(folder, f"holds {_listing(splits)}, but no train/ beside it")
    if len(splits) == 1:
        raise _refused(
            folder,
            f"{splits[0]}/ has no test/ or val/ beside it",
            f"put test images, one subfolder a class, into {folder / 'test'}; or name {folder / splits[0]}, "
            f"of which every {_TEST_PERIOD}th image will be a test image",
        )
    if not by_part["test"]:
        by_part["test"] = by_part.pop("validation")
    return {part: folder / name for part, found in by_part.items() for name in found}


def _class_names(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders in ``root``."""
    found = _Contents.of(root)
    if found.images:
        images = f"{len(found.images)} images ({_listing(found.images)})"
        raise _refused(root, f"{images} lie where class folders are expected")
    if not found.folders:
        raise _refused(root, f"holds no class folders{_kinds(found.other_files)}")
    for name in found.folders:
        if _shown(name) != name:
            raise _refused(root, f"the name of class folder {_shown(name)} cannot be printed")
    return found.folders


def _tell_what_is_left_out(
    root: Path, hidden: Sequence[str], others: dict[str, tuple[str, ...]], counts: dict[str, int]
) -> None:
    """Warn of what is passed over; ``others`` and ``counts`` (of all files) are by class."""
    if hidden:
        _warn(f"{root}: {len(hidden)} hidden files or folders are ignored ({_listing(sorted(set(hidden)))})")
    if not others:
        return
    places = [
        f"{len(names)} of {counts[label]} files of class {label}"
        if label
        else f"{len(names)} beside the classes"
        for label, names in sorted(others.items())
    ]
    kinds = _kinds([name for names in others.values() for name in names])
    _warn(f"{root}: left out as no images that can be read: {_listing(places)}{kinds}")


def _kinds(names: Sequence[str]) -> str:
    """Say which endings files have that are no images, and how many have each."""
    endings = Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    if not endings:
        return ""
    return f"; found {_listing([f'{count} {ending}' for ending, count in endings.most_common()])}"


def _listing(names: Sequence[str]) -> str:
    shown = [_shown(name) for name in names[:_MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


def _shown(name: str) -> str:
    """Return a name so that it can be printed: bytes that are not UTF-8, and control characters, escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _refused(folder: Path, found: str, step: str = _LAYOUTS) -> FileFormatError:
    return FileFormatError(_shown(str(folder)), f"cannot be read as images: {found}", step)


def _warn(text: str) -> None:
    warnings.warn(text, McofaWarning, stacklevel=2)

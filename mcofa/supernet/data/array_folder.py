"""Folders of arrays: ``train.npz`` and ``test.npz``, as numpy.savez writes them.

For what is no photograph: spectrograms, thermal images, windows of a sensor. Each file holds

- ``x``: (n, height, width, channels) or (n, height, width), of uint8, int8 or floating-point numbers;
- ``y``: the class of each, (n,), integers from 0 on;
- ``labels`` (optional, in ``train.npz``): a name for each class.

The test file may be called ``val.npz``, ``valid.npz`` or ``validation.npz``, too; where such a file lies
beside ``test.npz``, it holds the images that validate. Numbers are kept as 256 levels: those of bytes are
the bytes, floating-point numbers get levels evenly spread from the least to the largest training number.
What lies beyond them in other splits is read as the least or the largest.
"""

from __future__ import annotations

import functools
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit
from mcofa.space.levels import BYTES, Levels
from mcofa.space.resolution import Resolution
from mcofa.supernet.data.source import ImageSource, Part, source_in_memory
from mcofa.supernet.data.splits import chunk_slices

_TRAIN, _TEST = "train.npz", "test.npz"
_VALIDATION = ("val.npz", "valid.npz", "validation.npz")
_MOST_CLASSES = 10_000
_STEP = (
    "write it with numpy.savez(…, x=images, y=classes): x is (n, height, width, channels) of uint8, int8 or "
    "floating-point numbers, y (n,) of integers from 0 on"
)


@dataclass(frozen=True)
class _Arrays:
    """The content of one file, as it is there; ``labels`` may be none."""

    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.int64]
    labels: tuple[str, ...]


class ArrayFolder:
    """A folder of arrays as the module describes it."""

    def __init__(self, folder: Path) -> None:
        """Find the files of the splits.

        Raises:
            FileFormatError: there is no file to test with, or there are two for one split.
        """
        self.folder = folder
        self._files = _split_files(folder)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether ``folder`` holds arrays."""
        return (folder / _TRAIN).is_file()

    @property
    def has_validation(self) -> bool:
        """Whether the folder itself says which images validate."""
        return "validation" in self._files

    @functools.cached_property
    def levels(self) -> Levels:
        """The levels from the least to the largest training number."""
        return _levels_of(_read(self._files["train"]).x)

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, or their numbers.

        Raises:
            FileFormatError: the training file is damaged, or holds other names than classes.
        """
        path = self._files["train"]
        found = _read(path)
        classes = int(found.y.max()) + 1
        if classes > _MOST_CLASSES:
            raise FileFormatError(path, f"class {classes - 1}, at most {_MOST_CLASSES - 1} is read", _STEP)
        names = found.labels or tuple(map(str, range(classes)))
        if len(names) != classes:
            raise FileFormatError(
                path, f"{len(names)} labels for the classes 0 to {classes - 1}", "give one a class"
            )
        return names

    def open(self, part: Part, size: Resolution, channels: int, fit: Fit, levels: Levels) -> ImageSource:
        """Open a split, see ``DataSet``.

        Raises:
            FileFormatError: the file is damaged, or holds other channels, or classes that ``train.npz``
                does not have.
        """
        path = self._files[part]
        found, labels = _read(path), self.labels
        if found.y.max() >= len(labels):
            raise FileFormatError(
                path, f"holds class {found.y.max()}, train.npz the classes 0 to {len(labels) - 1}", _STEP
            )
        images = torch.from_numpy(_as_levels(found.x, levels)).permute(0, 3, 1, 2)
        return source_in_memory(str(path), labels, images, torch.from_numpy(found.y), size, channels, fit)


def _split_files(folder: Path) -> dict[Part, Path]:
    validation = [folder / name for name in _VALIDATION if (folder / name).is_file()]
    if len(validation) > 1:
        raise FileFormatError(
            folder, f"holds {validation[0].name} and {validation[1].name}", "leave one of them"
        )
    test = [folder / _TEST] if (folder / _TEST).is_file() else []
    if not test and not validation:
        raise FileFormatError(
            folder, f"holds {_TRAIN}, but no {_TEST}", f"write the arrays to test with into {folder / _TEST}"
        )
    files: dict[Part, Path] = {"train": folder / _TRAIN, "test": (test or validation)[0]}
    if test and validation:
        files["validation"] = validation[0]
    return files


@functools.lru_cache(maxsize=1)
def _read(path: Path) -> _Arrays:
    """Read one file.

    Raises:
        FileFormatError: it is damaged, or its arrays have other forms than the module describes.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            x, y = file["x"], file["y"]
            labels = file["labels"] if "labels" in file else np.empty(0, np.str_)
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(path, f"cannot be read: {error}", _STEP) from error
    x = x[..., None] if x.ndim == 3 else x
    for problem, is_so in (
        (f"x has the shape {x.shape}", x.ndim != 4 or 0 in x.shape),
        (f"x holds {x.dtype}", x.dtype not in (np.uint8, np.int8) and x.dtype.kind != "f"),
        (f"y has the shape {y.shape}, x {x.shape}", y.shape != x.shape[:1]),
        (f"y holds {y.dtype}", y.dtype.kind not in "iu"),
        (f"labels hold {labels.dtype}, shape {labels.shape}", labels.dtype.kind != "U" or labels.ndim != 1),
    ):
        if is_so:
            raise FileFormatError(path, problem, _STEP)
    if y.min() < 0:
        raise FileFormatError(path, f"y holds {y.min()}", _STEP)
    if x.dtype.kind == "f" and not all(np.isfinite(x[piece]).all() for piece in _pieces(x)):
        raise FileFormatError(path, "x holds numbers that are not finite", "replace or remove them")
    return _Arrays(x, y.astype(np.int64), tuple(map(str, labels)))


def _levels_of(x: npt.NDArray[np.generic]) -> Levels:
    if x.dtype == np.uint8:
        return BYTES
    if x.dtype == np.int8:
        return Levels(-128.0, 1.0)
    first, last = float(x.min()), float(x.max())
    return Levels(first, (last - first) / 255 or 1.0)


def _as_levels(x: npt.NDArray[np.generic], levels: Levels) -> npt.NDArray[np.uint8]:
    """Return the nearest level of each number."""
    nearest = np.empty(x.shape, np.uint8)
    for piece in _pieces(x):
        exact = (x[piece].astype(np.float64) - levels.first) / levels.step
        nearest[piece] = np.clip(np.rint(exact), 0, 255)
    return nearest


def _pieces(x: npt.NDArray[np.generic]) -> list[slice]:
    return list(chunk_slices(len(x), 8 * int(np.prod(x.shape[1:]))))

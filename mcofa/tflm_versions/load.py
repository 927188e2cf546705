"""Finding and reading the data files of TFLM's versions."""

from __future__ import annotations

import functools
from pathlib import Path

from mcofa.errors import FileFormatError, MissingFileError, UnknownNameError
from mcofa.files.named_file import file_of
from mcofa.tflm_versions.version import TflmVersion

DEFAULT_VERSION = "90b983c2b3f1"
"""The version of the pinned wheel, which predictions are measured against."""

_FOLDER = Path(__file__).with_name("data")
_LIST = "mcofa tflm list"
_NEXT_STEP = "correct the file, or write one with `mcofa tflm calibrate`; docs/tflm-versions.md explains it"


def version_names() -> tuple[str, ...]:
    """Return the names of the versions that come with mcofa, the default one first."""
    others = sorted(path.stem for path in _FOLDER.glob("*.yaml") if path.stem != DEFAULT_VERSION)
    return (DEFAULT_VERSION, *others)


def default_version() -> TflmVersion:
    """Return the version of the pinned wheel."""
    return _shipped(DEFAULT_VERSION)


def load_version(name_or_path: str) -> TflmVersion:
    """Return a version by name (``zephyr-4.1``) or from a file (see ``file_of``).

    Raises:
        UnknownNameError: no version has that name.
        MissingFileError: no such file.
        FileFormatError: the file does not hold a version; the message names the key, its value and
            what it must be.
    """
    if file := file_of(name_or_path):
        found = _read_version(file)
        if found.name in version_names() and found != _shipped(found.name):
            problem = f"name is {found.name!r}, but that version comes with mcofa and is not the same"
            raise FileFormatError(file, problem, "give it another name")
        return found
    if name_or_path not in version_names():
        raise UnknownNameError("version of TFLM", name_or_path, version_names(), _LIST)
    return _shipped(name_or_path)


@functools.cache
def _shipped(name: str) -> TflmVersion:
    return _read_version(_FOLDER / f"{name}.yaml")


def _read_version(path: Path) -> TflmVersion:
    from mcofa.files.records import read_record
    from mcofa.files.yaml_file import read_yaml

    try:
        document = read_yaml(path, _NEXT_STEP)
    except FileNotFoundError as error:
        raise MissingFileError(path, "version of TFLM", f"list the known ones with `{_LIST}`") from error
    return read_record(TflmVersion, document, path, _NEXT_STEP)

"""Files outside a run that it was made from: recorded so that run, files and checkout may move.

A file of the zoo is recorded as ``zoo/NAME``; any other by its path from the run's folder, and by where it
was for the case that the run alone moves; both with their hash, by which they are known again. Earlier
manifests hold paths from the folder where the command ran, or absolute ones.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.files.resources import data_folder

if TYPE_CHECKING:
    from mcofa.runs.manifest import Source

_ZOO = "zoo"


def recorded_source(file: Path, run_folder: Path) -> dict[str, str]:
    """Return what the manifest in ``run_folder`` says of ``file``; of a pipe its name alone."""
    if not file.is_file():
        return {"file": str(file)}
    there, sha256 = file.resolve(), file_sha256(file)
    if there.parent == data_folder(_ZOO).resolve():
        return {"file": f"{_ZOO}/{there.name}", "sha256": sha256}
    from_run = Path(os.path.relpath(there, run_folder.resolve())).as_posix()
    return {"file": from_run, "sha256": sha256, "was_at": str(there)}


def find_source(source: Source, run_folder: Path, what: str, next_step: str) -> Path:
    """Return where a recorded file lies now; ``what`` names it in errors.

    Raises:
        MissingFileError: it is nowhere.
        FileFormatError: it has other contents than it had.
    """
    recorded = Path(source.file)
    places = (run_folder / recorded, Path(source.was_at or recorded), data_folder(_ZOO) / recorded.name)
    there = [place for place in places if _is_file(place)]
    for place in there:
        if source.sha256 is None or file_sha256(place) == source.sha256:
            return place
    if there:
        raise FileFormatError(there[0], f"is no longer the {what}", next_step)
    raise MissingFileError(source.was_at or source.file, what, next_step)


def file_sha256(file: Path) -> str:
    """Return the hash of a file's contents."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False

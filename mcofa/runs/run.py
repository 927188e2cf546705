"""Runs: one folder a job, holding every artefact and ``manifest.json``.

The manifest has one section a command (``search``, ``export``, ``evaluate``, …); a
command that runs again replaces its section and drops those that described what it
has just replaced. A section says under ``command`` what was typed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcofa import __version__
from mcofa.errors import FileFormatError, McofaError, MissingFileError
from mcofa.files.atomic import write_atomic

_OF_THE_MODEL = frozenset({"evaluate", "verify", "arena_check", "firmware"})
_OUTDATED_BY = {
    "search": _OF_THE_MODEL | {"export", "finetune"},
    "finetune": _OF_THE_MODEL | {"export"},
    "export": _OF_THE_MODEL,
}
_MANIFEST = "manifest.json"
DEFAULT_FOLDER = Path("runs")


class RunError(McofaError):
    """A run that lacks what a command needs."""


class Run:
    """One run folder; ``command`` is what the user typed to work on it, empty if nothing was."""

    def __init__(self, folder: Path, command: Sequence[str] = ()) -> None:
        self.folder = folder
        self._command = list(command)

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything recorded so far.

        Raises:
            MissingFileError: the folder is no run.
            FileFormatError: the manifest is damaged.
        """
        path = self.folder / _MANIFEST
        if not path.is_file():
            raise MissingFileError(path, "run", "make one with `mcofa search --board BOARD`")
        try:
            manifest = json.loads(path.read_bytes())
            if not isinstance(manifest, dict):
                raise TypeError(f"holds a {type(manifest).__name__}")
        except (ValueError, TypeError) as error:
            raise FileFormatError(
                path,
                f"not a manifest: {error}",
                "delete it and search again with `mcofa search --board BOARD`",
            ) from error
        return manifest

    def section(self, name: str) -> dict[str, Any]:
        """Return what the command ``name`` recorded.

        Raises:
            RunError: that command has not run here.
        """
        manifest = self.manifest
        if name not in manifest:
            command = name.replace("_", "-")
            raise RunError(
                f"run {self.folder} has no {command} result",
                f"first `mcofa {command} {self.folder}`" if name != "search" else "first `mcofa search`",
            )
        section: dict[str, Any] = manifest[name]
        return section

    def record(self, name: str, section: dict[str, Any]) -> None:
        """Write what the command ``name`` found, and forget what that makes outdated.

        Raises:
            DiskWriteError: the manifest could not be written; the earlier one stays.
        """
        path = self.folder / _MANIFEST
        earlier = self.manifest if path.is_file() else {}
        outdated = _OUTDATED_BY.get(name, frozenset())
        kept = {key: value for key, value in earlier.items() if key not in outdated}
        by = {"command": self._command} if self._command else {}
        manifest = {**kept, "mcofa_version": __version__, name: {**section, **by}}
        write_atomic(path, (json.dumps(manifest, indent=2) + "\n").encode())

    def write(self, name: str, data: bytes) -> dict[str, str | int]:
        """Write one artefact; return its name, size and hash for the manifest.

        Raises:
            DiskWriteError: the file could not be written.
        """
        write_atomic(self.folder / name, data)
        return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def read(self, artefact: dict[str, Any], command: str = "export") -> bytes:
        """Read an artefact that ``command`` wrote, refusing one that has changed since.

        Raises:
            MissingFileError: the file is gone.
            FileFormatError: its contents differ from what was recorded.
        """
        path = self.folder / str(artefact["file"])
        step = f"{command} again with `mcofa {command} {self.folder}`"
        if not path.is_file():
            raise MissingFileError(path, "file of the run", step)
        data: bytes = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != artefact["sha256"]:
            raise FileFormatError(path, "has changed since it was written", step)
        return data


def newest_run() -> Run:
    """Return the run in ``runs/`` whose manifest was written last.

    Raises:
        MissingFileError: there is none.
    """
    manifests = sorted(DEFAULT_FOLDER.glob(f"*/{_MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise MissingFileError(DEFAULT_FOLDER, "run", "make one with `mcofa search --board BOARD`")
    return Run(manifests[-1].parent)

"""Runs: one folder a job, holding every artefact and ``manifest.json``.

The manifest has one section a command (``search``, ``export``, ``evaluate``, …); a
command that runs again replaces its section and drops those that described what it
has just replaced. A section says under ``command`` what was typed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcofa import __version__
from mcofa.boards import Board, load_board
from mcofa.engines.engine import DEFAULT_ENGINE, load_engine
from mcofa.errors import FileFormatError, InvalidArchError, MissingFileError, RunError
from mcofa.files.atomic import write_atomic
from mcofa.runs.hold import held
from mcofa.runs.read_manifest import read_manifest
from mcofa.runs.recorded import recorded_board, recorded_space
from mcofa.space.arch import Arch, arch_from_json
from mcofa.space.search_space import SearchSpace

if TYPE_CHECKING:
    from mcofa.runs.manifest import Artefact, ExportSection, FinetuneSection, Manifest, SearchSection

_OF_THE_MODEL = frozenset({"evaluate", "verify", "arena_check", "firmware"})
_OUTDATED_BY = {
    "search": _OF_THE_MODEL | {"export", "finetune"},
    "finetune": _OF_THE_MODEL | {"export"},
    "export": _OF_THE_MODEL,
}
_MANIFEST = "manifest.json"
DEFAULT_FOLDER = Path("runs")


class Run:
    """One run folder; ``command`` is what the user typed to work on it, empty if nothing was.

    A section is read once, so that all that a command makes of it is made of the same; what is recorded is
    refused where that has been replaced meanwhile.
    """

    def __init__(self, folder: Path, command: Sequence[str] = ()) -> None:
        self.folder = folder
        self._command = list(command)
        self._read: dict[str, Any] = {}

    @property
    def source(self) -> str:
        """The manifest's path, as errors name it."""
        return str(self.folder / _MANIFEST)

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything recorded so far, as it stands in the file.

        Raises:
            MissingFileError: the folder is no run.
            FileFormatError: the manifest is damaged.
        """
        return read_manifest(self.folder / _MANIFEST)

    def checked_manifest(self) -> Manifest:
        """Return everything recorded so far, every section checked.

        Raises:
            RunError: there was no search.
            FileFormatError: the manifest, or a section of it, is damaged.
        """
        from mcofa.runs.checked_manifest import typed_manifest

        self.section("search")
        return typed_manifest(self.manifest, self.folder / _MANIFEST)

    def section(self, name: str) -> dict[str, Any]:
        """Return what the command ``name`` recorded, as it stands in the file.

        Raises:
            RunError: that command has not run here.
        """
        section: dict[str, Any] | None = self._section(name)
        if section is None:
            command = name.replace("_", "-")
            raise RunError(
                f"run {self.folder} has no {command} result",
                f"first `mcofa {command} {self.folder}`" if name != "search" else "first `mcofa search`",
            )
        return section

    def _section(self, name: str) -> Any:
        """What the section ``name`` held when it was first looked for, None where there was none."""
        if name not in self._read:
            self._read[name] = self.manifest.get(name)
        return self._read[name]

    @property
    def search(self) -> SearchSection:
        """What the search recorded.

        Raises:
            RunError: there was none.
            FileFormatError: it is damaged.
        """
        searched: SearchSection = self._checked("search")
        return searched

    @property
    def export(self) -> ExportSection:
        """What the export recorded.

        Raises:
            RunError: there was none.
            FileFormatError: it is damaged.
        """
        exported: ExportSection = self._checked("export")
        return exported

    @property
    def finetune(self) -> FinetuneSection | None:
        """What fine-tuning recorded, if there was any.

        Raises:
            FileFormatError: it is damaged.
        """
        finetuned: FinetuneSection | None = (
            self._checked("finetune") if self._section("finetune") is not None else None
        )
        return finetuned

    def _checked(self, name: str) -> Any:
        # Building the models takes longer than reading a manifest, and a search only writes one.
        from mcofa.runs.checked_manifest import typed_section

        return typed_section(name, self.section(name), self.folder / _MANIFEST)

    @property
    def board(self) -> Board:
        """The board that was searched for, as it was then, with the kernels that were searched with.

        Raises:
            RunError: there was no search, or one without a board.
            FileFormatError: the manifest is damaged, or does not hold the board.
        """
        board = recorded_board(self.search, self.source)
        if board is None:
            raise RunError(
                f"run {self.folder} was searched without a board, so there is nothing to plan the memory for",
                f"search for one, as in `mcofa search --board stm32f746 --out {self.folder}`",
            )
        return board

    def board_or(self, name_or_path: str | None) -> Board:
        """Return the board asked for; the run's own if none is, or its name.

        Another board takes the run's version of TFLM, too.

        Raises:
            McofaError: as for ``board`` and ``load_board``.
        """
        if name_or_path is None or name_or_path == self.search.board:
            return self.board
        board = load_board(name_or_path)
        if board.tflm is not None or self.search.board is None:
            return board
        return board.with_tflm(self.board.tflm_version)

    @property
    def engine(self) -> str:
        """What runs the network: the engine that was searched for.

        Raises:
            RunError: there was no search.
            FileFormatError: the manifest is damaged.
        """
        return self.search.engine or DEFAULT_ENGINE

    def streams_input_with(self, engine: str) -> bool:
        """Return whether ``engine`` takes the image row by row: where it was searched for so, and it can.

        Raises:
            RunError: there was no search.
            FileFormatError: the manifest is damaged.
        """
        return self.search.streams_input and load_engine(engine).can_stream_input

    @property
    def space(self) -> SearchSpace:
        """The space that was searched, as it was then.

        Raises:
            RunError: there was no search.
            FileFormatError: the manifest is damaged, or does not hold the space.
        """
        return recorded_space(self.search, self.source)

    @property
    def known_space(self) -> SearchSpace | None:
        """The space, None where neither the manifest nor mcofa has it any more.

        Raises:
            RunError: there was no search.
        """
        searched = self.search
        try:
            return recorded_space(searched, self.source)
        except FileFormatError:
            return None

    @property
    def arch(self) -> Arch:
        """The arch that the search chose.

        Raises:
            RunError: there was no search.
            FileFormatError: the manifest is damaged, or its arch is not in its space.
        """
        arch = arch_from_json(self.search.arch, self.source)
        if space := self.known_space:
            try:
                space.check(arch)
            except InvalidArchError as error:
                raise FileFormatError(
                    self.source, error.problem, "search again with `mcofa search`"
                ) from error
        return arch

    def record(self, name: str, section: dict[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        """Write what the command ``name`` found and its ``files``, and forget what that makes outdated.

        Commands that write to one run at once wait for each other; files and section are those of one
        command.

        Raises:
            RunError: what the section was made from has been replaced since it was read, or another
                command does not end writing.
            DiskWriteError: a file could not be written; the earlier manifest stays.
        """
        path = self.folder / _MANIFEST
        outdated = _OUTDATED_BY.get(name, frozenset())
        with held(self.folder):
            earlier = self.manifest if path.exists() else {}
            self._check_origin(name, earlier)
            for file, data in (files or {}).items():
                write_atomic(self.folder / file, data)
            kept = {key: value for key, value in earlier.items() if key not in outdated}
            by = {"command": self._command} if self._command else {}
            manifest = {**kept, "mcofa_version": __version__, name: {**section, **by}}
            write_atomic(path, (json.dumps(manifest, indent=2) + "\n").encode())
        self._read = {key: value for key, value in self._read.items() if key not in {name, *outdated}}

    def _check_origin(self, name: str, manifest: dict[str, Any]) -> None:
        for origin, outdated in _OUTDATED_BY.items():
            if name in outdated and origin in self._read and self._read[origin] != manifest.get(origin):
                raise RunError(
                    f"run {self.folder}: another command has recorded a new {origin} result meanwhile, so "
                    f"that this {name.replace('_', '-')} result is not recorded",
                    "run the command again",
                )

    def path_from(self, path: Path) -> str:
        """Return a path as the manifest names it: seen from the run's folder, so that both may move."""
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def read(self, artefact: Artefact, command: str = "export") -> bytes:
        """Read an artefact that ``command`` wrote, refusing one that has changed since.

        Raises:
            MissingFileError: the file is gone.
            FileFormatError: its contents differ from what was recorded.
        """
        path = self.folder / artefact.file
        step = f"{command} again with `mcofa {command} {self.folder}`"
        if not path.is_file():
            raise MissingFileError(path, "file of the run", step)
        data: bytes = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != artefact.sha256:
            raise FileFormatError(path, "has changed since it was written", step)
        return data


def artefact(name: str, data: bytes) -> dict[str, str | int]:
    """Return what the manifest says of a file in the run: its name, size and hash."""
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def newest_run() -> Run:
    """Return the run in ``runs/`` whose manifest was written last, be it damaged or not.

    Of two names of one folder, the folder's own is taken.

    Raises:
        MissingFileError: there is none.
    """
    found = [
        (written, not folder.is_symlink(), folder.name, folder)
        for folder in _folders(DEFAULT_FOLDER)
        if (written := _written_ns(folder / _MANIFEST)) is not None
    ]
    if not found:
        raise MissingFileError(DEFAULT_FOLDER, "run", "make one with `mcofa search --board BOARD`")
    *_, folder = max(found)
    return Run(folder)


def _folders(parent: Path) -> list[Path]:
    try:
        return list(parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileFormatError(
            parent, f"cannot be read: {error.strerror or error}", "name the run's folder"
        ) from error


def _written_ns(path: Path) -> int | None:
    """When a file was written; None if there is none, or none any more."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else None

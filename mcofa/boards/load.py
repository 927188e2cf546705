"""Finding and reading board profiles."""

from __future__ import annotations

import functools
from pathlib import Path

from mcofa.boards.profile import NEXT_STEP, Board
from mcofa.errors import MissingFileError, UnknownNameError
from mcofa.files.named_file import file_of
from mcofa.files.resources import data_folder


def board_names() -> list[str]:
    """Return the names of the board profiles that come with mcofa, sorted."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def load_board(name_or_path: str) -> Board:
    """Load a board profile by name (``nrf52840``) or from a file (see ``file_of``).

    Raises:
        UnknownNameError: no profile has that name.
        MissingFileError: no such file.
        FileFormatError: the file does not hold a board; the message names the key, its value and
            what it must be.
    """
    if file := file_of(name_or_path):
        return _read_board(file)
    names = board_names()
    if name_or_path not in names:
        raise UnknownNameError("board", name_or_path, names, "mcofa boards")
    return _shipped(name_or_path)


@functools.cache
def _shipped(name: str) -> Board:
    return _read_board(data_folder("boards") / f"{name}.yaml")


def _read_board(path: Path) -> Board:
    from mcofa.files.yaml_file import read_yaml

    try:
        document = read_yaml(path, NEXT_STEP)
    except FileNotFoundError as error:
        raise MissingFileError(path, "board file", "list the boards with `mcofa boards`") from error
    return Board.from_json(document, path)

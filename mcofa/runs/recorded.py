"""The board and the space of a search, as its manifest holds them.

Earlier manifests name them only: then they must be among those that come with mcofa.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcofa.boards import Board, board_names, load_board
from mcofa.errors import FileFormatError
from mcofa.space.search_space import SearchSpace, load_space, space_names

if TYPE_CHECKING:
    from mcofa.runs.manifest import SearchSection


def recorded_space(searched: SearchSection, source: str) -> SearchSpace:
    """Return the space of the search section of the manifest ``source``.

    Raises:
        FileFormatError: there is no definition, and none of mcofa's spaces is the one.
    """
    space = searched.space_definition
    if space is None and searched.space in space_names():
        space = load_space(searched.space)
    if space is None or space.fingerprint != searched.space_fingerprint:
        raise FileFormatError(
            source,
            f"the space {searched.space} ({searched.space_fingerprint}) that was searched is neither in it "
            "nor among mcofa's",
            "search again with `mcofa search --space FILE`",
        )
    return space


def recorded_board(searched: SearchSection, source: str) -> Board | None:
    """Return the board of the search section of the manifest ``source``, with the kernels searched with.

    Raises:
        FileFormatError: there is no definition, and none of mcofa's boards is the one.
    """
    name = searched.board
    if name is None or searched.board_definition is not None:
        return searched.board_definition
    shipped = load_board(name) if name in board_names() else None
    if shipped is None or shipped.core != searched.core:
        raise FileFormatError(
            source,
            f"the board {name} ({searched.core}) that was searched for is neither in it nor among mcofa's",
            "search again with `mcofa search --board FILE`",
        )
    assert searched.kernels is not None
    return shipped.with_kernels(searched.kernels)


def differing_keys(board: Board) -> tuple[str, ...]:
    """Return the keys in which ``board`` differs from the one of its name that comes with mcofa, if any.

    The kernels and the version of TFLM are choices of the search, not of the board.
    """
    if board.name not in board_names():
        return ()
    shipped = load_board(board.name)
    return tuple(
        key
        for key, value in vars(shipped).items()
        if key not in ("kernels", "tflm") and getattr(board, key) != value
    )

"""Which board a command works for: the run's own, as it was searched, unless another is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mcofa.boards import Board
    from mcofa.runs.run import Run

board_option = click.option(
    "--board", "board_name", help="Name or board file.  [default: the board that the run was searched for]"
)


def board_of_run(run: Run, name_or_path: str | None) -> Board:
    """Return the board asked for, or the run's own; say so where a board that comes with mcofa differs."""
    board = run.board_or(name_or_path)
    if name_or_path is None or name_or_path == board.name:
        tell_if_unlike_shipped(board)
    return board


def board_of_file(name_or_path: str | None) -> Board:
    """Return the board for a model file, which has none of its own."""
    from mcofa.boards import load_board

    if name_or_path is None:
        raise click.UsageError("a .tflite file names no board: add --board BOARD")
    return load_board(name_or_path)


def tell_if_unlike_shipped(board: Board) -> None:
    """Say on stderr where ``board`` bears the name of a board that comes with mcofa and differs from it."""
    from mcofa.runs.recorded import differing_keys

    if keys := differing_keys(board):
        click.echo(
            f"note: the board {board.name} is not the one of that name that comes with mcofa; they differ "
            f"in {', '.join(keys)}",
            err=True,
        )

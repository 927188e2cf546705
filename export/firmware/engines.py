"""What an engine adds to a firmware project: its sources, and the memory that it needs.

An engine implements ``src/engine.h``; its ``engine.mk`` tells the project's Makefile how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.convert.to_c import DeployedModel
from mcofa.boards import Board
from mcofa.errors import BudgetError

_NEXT_STEP = (
    "search again for this board with `mcofa search`, or choose one with more memory (`mcofa boards`)"
)


@dataclass(frozen=True)
class Engine:
    """One engine with one model on one board.

    ``model.arena_bytes`` is the arena to reserve, ``arena_used_bytes`` what the engine will
    report. ``flash_bytes`` is predicted for the whole program without the self-test's images;
    ``flash_basis`` says what it rests on. ``files`` are the engine's own, by path in the project.
    """

    name: str
    model: DeployedModel
    arena_used_bytes: int
    flash_bytes: int
    flash_basis: str
    files: Mapping[str, bytes]


def check_fits(engine: Engine, board: Board) -> None:
    """Do nothing when arena and flash stay within what the board has.

    Raises:
        BudgetError: names what is too large, with its limit.
    """
    arena_bytes, flash_bytes = engine.model.arena_bytes, engine.flash_bytes
    if arena_bytes > board.arena_budget_bytes:
        raise BudgetError(
            f"arena {arena_bytes:,} B exceeds {board.arena_budget_bytes:,} B on {board.name}", _NEXT_STEP
        )
    if flash_bytes > board.flash_budget_bytes:
        raise BudgetError(
            f"flash {flash_bytes:,} B exceeds {board.flash_budget_bytes:,} B on {board.name}", _NEXT_STEP
        )

"""What an engine adds to a firmware project: its sources, and the memory that it needs.

An engine implements ``src/engine.h``; its ``engine.mk`` tells the project's Makefile how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from export.convert.to_c import DeployedModel
from export.runtimes.answers import Reference
from mcofa.boards import Board
from mcofa.errors import BudgetError


@dataclass(frozen=True, slots=True)
class LinkedLibrary:
    """A library that a project links: what it takes with this network, and how it should have been built."""

    file: Path
    code_bytes: int
    arguments: str


@dataclass(frozen=True)
class EnginePart:
    """One engine with one model on one board.

    ``model.arena_bytes`` is the arena to reserve, ``arena_used_bytes`` what the engine will
    report; an engine that ``fills_arena`` writes to every byte of it. ``flash_bytes`` is predicted for the
    whole program without the self-test's images; ``flash_basis`` says what it rests on. ``files`` are
    the engine's own, by path in the project. Its outputs must be those of ``reference``. ``readme`` is what
    the project's README says of it, as Markdown. ``measure_library`` looks at the library that a rendered
    project links, where there is one, and ``code_bytes`` is what was predicted for it.
    """

    name: str
    model: DeployedModel
    arena_used_bytes: int
    fills_arena: bool
    flash_bytes: int
    flash_basis: str
    files: Mapping[str, bytes]
    reference: Reference
    readme: str = ""
    code_bytes: int = 0
    measure_library: Callable[[Path, Board], LinkedLibrary] | None = None


def check_fits(engine: EnginePart, board: Board) -> None:
    """Do nothing when arena and flash stay within what the board has.

    Raises:
        BudgetError: names what is too large, with its limit.
    """
    next_step = (
        f"search again with `mcofa search --board {board.name} --engine {engine.name}`, "
        "or choose a board with more memory (`mcofa boards`)"
    )
    arena_bytes, flash_bytes = engine.model.arena_bytes, engine.flash_bytes
    if arena_bytes > board.arena_budget_bytes:
        raise BudgetError(
            f"arena {arena_bytes:,} B exceeds {board.arena_budget_bytes:,} B on {board.name} with engine "
            f"{engine.name}",
            next_step,
        )
    if flash_bytes > board.flash_budget_bytes:
        raise BudgetError(
            f"flash {flash_bytes:,} B exceeds {board.flash_budget_bytes:,} B on {board.name} with engine "
            f"{engine.name}",
            next_step,
        )

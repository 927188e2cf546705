"""What a space is designed for, and how far its extreme subnets may go."""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.boards import Board
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, load_engine


@dataclass(frozen=True, slots=True)
class Conditions:
    """Board and engine, whether the image arrives row by row, and a limit of the latency if there is one."""

    board: Board
    engine: str = DEFAULT_ENGINE
    streams_input: bool = False
    max_latency_ms: float | None = None

    @property
    def network(self) -> str:
        """What the network itself is called where it lies in flash."""
        return "model" if load_engine(self.engine).keeps_model_file else "network"

    @property
    def execution(self) -> str:
        """What runs the network, in words: a set of kernels, or generated C and how the image arrives."""
        if load_engine(self.engine).has_kernel_sets:
            return f"{self.board.kernels} kernels"
        return ENGINES[self.engine] + (", image row by row" if self.streams_input else "")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many times a board's budgets the extreme subnets of a space may take.

    A limit of the latency counts like the arena.
    """

    largest_arena: float
    largest_flash: float
    smallest: float


ALLOWANCES = (Allowance(1.5, 1.0, 0.5), Allowance(2.0, 1.5, 0.75), Allowance(3.0, 2.0, 0.85))
"""Tried in this order; the later ones are for boards that hold no more than small subnets.

In the first most subnets fit, as a random one takes about 0.6 of the largest's arena.
"""

ALLOWANCES_BY_ROWS = (
    Allowance(1.25, 1.0, 0.5),
    Allowance(1.5, 1.0, 0.5),
    Allowance(2.0, 1.0, 0.75),
    Allowance(3.0, 1.0, 0.85),
    Allowance(3.0, 2.0, 0.85),
)
"""The same for engines that run networks row by row.

The arenas of subnets differ less there: a random one takes about 0.8 of the largest's. And flash, not the
arena, is what most boards run out of first.
"""


def allowances(engine: str) -> tuple[Allowance, ...]:
    """Return what is tried for ``engine``, in this order."""
    return ALLOWANCES_BY_ROWS if load_engine(engine).can_stream_input else ALLOWANCES

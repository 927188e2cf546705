"""What was designed, and on what assumptions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from mcofa.cost.arch_cost import Cost
from mcofa.space.resolution import Resolution
from mcofa.space.search_space import SearchSpace

Limit = Literal["arena", "flash", "narrowest", "widest"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many times a board's budgets the extreme subnets of a space may take."""

    largest_arena: float
    largest_flash: float
    smallest: float


ALLOWANCES = (Allowance(1.5, 1.0, 0.5), Allowance(2.0, 1.5, 0.75), Allowance(3.0, 2.0, 0.85))
"""Tried in this order; the later ones are for boards that hold no more than small subnets.

In the first most subnets fit, as a random one takes about 0.6 of the largest's arena.
"""


@dataclass(frozen=True, slots=True)
class DesignedStage:
    """A stage of a designed space: its share of the largest subnet, and what kept it from being wider.

    ``side`` is that of its output; ``head_bytes`` + ``tail_bytes`` is its contribution to the arena.
    """

    width: int
    stride: int
    side: Resolution
    head_bytes: int
    tail_bytes: int
    flash_bytes: int
    limit: Limit

    @property
    def arena_bytes(self) -> int:
        """Its contribution to the arena."""
        return self.head_bytes + self.tail_bytes


@dataclass(frozen=True, slots=True)
class DesignReport:
    """What was designed, on what assumptions, and what the extreme subnets cost on the board.

    ``level_bytes`` is the contribution of the fullest stage; ``fitting_fraction`` is the part of
    random archs that fits the board.
    """

    space: SearchSpace
    board: str
    arena_budget_bytes: int
    model_budget_bytes: int
    allowance: Allowance
    stages: tuple[DesignedStage, ...]
    smallest: Cost
    largest: Cost
    fitting_fraction: float
    assumptions: tuple[str, ...]

    @property
    def level_bytes(self) -> int:
        """The contribution of the fullest stage."""
        return max(stage.arena_bytes for stage in self.stages)

    def to_json(self) -> dict[str, object]:
        """Return the report as plain data; flash bytes include what the board reserves."""
        return {
            "space": self.space.model_dump(mode="json"),
            "archs": self.space.count(),
            "board": self.board,
            "arena_budget_bytes": self.arena_budget_bytes,
            "model_budget_bytes": self.model_budget_bytes,
            "allowance": asdict(self.allowance),
            "level_bytes": self.level_bytes,
            "stages": [{**asdict(stage), "arena_bytes": stage.arena_bytes} for stage in self.stages],
            **{
                name: {
                    "arena_bytes": found.arena_bytes,
                    "flash_bytes": found.flash_bytes,
                    "model_bytes": found.model_bytes,
                    "macs": found.macs,
                }
                for name, found in (("smallest", self.smallest), ("largest", self.largest))
            },
            "fitting_fraction": self.fitting_fraction,
            "assumptions": list(self.assumptions),
        }

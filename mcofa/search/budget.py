"""Budgets: what a subnet must stay under."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from mcofa.boards import Board
from mcofa.cost.arch_cost import Cost
from mcofa.cost.measures import MEASURES, ON_BOARD

if TYPE_CHECKING:
    from mcofa.runs.manifest import Limits


@dataclass(frozen=True)
class Budget:
    """The most that a subnet may take of each measure; None where any amount will do.

    ``model_bytes`` is the .tflite file alone, ``flash_bytes`` the whole program. ``asked`` is what the
    user asked for, where limits of a board have joined that.
    """

    arena_bytes: int | None = None
    flash_bytes: int | None = None
    latency_ms: float | None = None
    peak_items: int | None = None
    model_bytes: int | None = None
    asked: Budget | None = field(default=None, compare=False)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that there are, by measure."""
        return {name: limit for name, limit in self.to_json().items() if limit is not None}

    @property
    def own(self) -> Budget:
        """The limits that the user can raise: those that are not a board's."""
        return self if self.asked is None else self.asked

    def to_json(self) -> dict[str, float | None]:
        """Return the manifest's entry: every measure with its limit."""
        return {limit.name: getattr(self, limit.name) for limit in fields(self) if limit.name in MEASURES}

    def met_by(self, cost: Cost | None, peak_items: int) -> bool:
        """Say whether an exact cost is within the budget; without a board there is no ``cost``."""
        used = {"peak_items": peak_items}
        if cost is not None:
            used |= {name: getattr(cost, name) for name in ON_BOARD}
        return all(used[name] <= limit for name, limit in self.limits.items())


def board_budget(
    board: Board,
    max_arena_bytes: int | None = None,
    max_flash_bytes: int | None = None,
    max_latency_ms: float | None = None,
    max_peak_items: int | None = None,
    max_model_bytes: int | None = None,
) -> Budget:
    """Return what the board leaves for a network, or less where a smaller limit is given."""
    arena_bytes, flash_bytes = board.arena_budget_bytes, board.flash_budget_bytes
    return Budget(
        min(arena_bytes, max_arena_bytes or arena_bytes),
        min(flash_bytes, max_flash_bytes or flash_bytes),
        max_latency_ms,
        max_peak_items,
        max_model_bytes,
        asked=Budget(max_arena_bytes, max_flash_bytes, max_latency_ms, max_peak_items, max_model_bytes),
    )


def recorded_budget(limits: Limits) -> Budget:
    """Return the budget of a search from its manifest."""
    return Budget(**{name: getattr(limits, name) for name in Budget().to_json()})

"""What was designed, and on what assumptions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from mcofa.cost.arch_cost import Cost
from mcofa.design.conditions import Allowance, Conditions
from mcofa.space.resolution import Resolution
from mcofa.space.search_space import SearchSpace

Limit = Literal["arena", "latency", "flash", "narrowest", "widest"]


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

    ``model_budget_bytes`` is what the network itself may take of flash: the model file, or generated
    constants and calls. ``level_bytes`` is the contribution of the fullest stage; ``fitting_fraction``
    is the part of random archs that fits the board.
    """

    space: SearchSpace
    conditions: Conditions
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

    @property
    def limits(self) -> tuple[str, ...]:
        """Return a sentence for each of flash and latency that limits stages before the arena does."""
        amounts = {
            "flash": f"{self.largest.needs.flash.data_bytes:,} of {self.model_budget_bytes:,} B",
            "latency": f"{self.largest.latency_ms:,.0f} ms (estimate)",
        }
        held = {
            name: [n for n, stage in enumerate(self.stages, 1) if stage.limit == name] for name in amounts
        }
        return tuple(
            f"{name.capitalize()}, not the arena, limits stage{'s' * (len(held[name]) > 1)} "
            f"{', '.join(map(str, held[name]))}: the largest subnet takes {amount}."
            for name, amount in amounts.items()
            if held[name]
        )

    def to_json(self) -> dict[str, object]:
        """Return the report as plain data; flash bytes include what the board reserves."""
        return {
            "space": self.space.model_dump(mode="json"),
            "archs": self.space.count(),
            "board": self.conditions.board.name,
            "engine": self.conditions.engine,
            "streams_input": self.conditions.streams_input,
            "max_latency_ms": self.conditions.max_latency_ms,
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
                    "data_bytes": found.needs.flash.data_bytes,
                    "macs": found.macs,
                    "latency_ms": round(found.latency_ms, 3),
                }
                for name, found in (("smallest", self.smallest), ("largest", self.largest))
            },
            "fitting_fraction": self.fitting_fraction,
            "limits": list(self.limits),
            "assumptions": list(self.assumptions),
        }

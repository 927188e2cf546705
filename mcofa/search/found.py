"""What a search found, and what the manifest says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcofa.accuracy.predictor import Predictor
from mcofa.boards import Board
from mcofa.cost.arch_cost import Cost, cost
from mcofa.cost.peak_items import macs, peak_items
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.search.budget import Budget
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace


@dataclass(frozen=True)
class Candidate:
    """An arch within the budget, its exact cost on the board (None without one), its predicted accuracy.

    ``outside_measured_range``: the predictor has seen nothing of the kind.
    """

    arch: Arch
    cost: Cost | None
    peak_items: int
    macs: int
    top1_percent: float
    std_points: float
    outside_measured_range: bool

    def predicted(self) -> dict[str, Any]:
        """Return the numbers for the manifest; those of the board are left out without one."""
        on_board = {}
        if self.cost is not None:
            on_board = {
                "arena_bytes": self.cost.arena_bytes,
                "model_bytes": self.cost.model_bytes,
                "flash_bytes": self.cost.flash_bytes,
                "latency_ms_estimate": round(self.cost.latency_ms, 3),
                "latency_relative_error": round(self.cost.latency.relative_error, 3),
            }
        return {
            **on_board,
            "macs": self.macs,
            "peak_items": self.peak_items,
            "top1_percent": round(self.top1_percent, 3),
            "top1_std_points": round(self.std_points, 3),
            "outside_measured_range": self.outside_measured_range,
        }


def candidates(
    space: SearchSpace,
    board: Board | None,
    predictor: Predictor,
    genomes: Genomes,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> tuple[Candidate, ...]:
    """Return everything about ``genomes``, (archs, genes), in their order."""
    prediction = predictor.predict(space, genomes)
    found = []
    for row, genome in enumerate(genomes):
        arch = space.decode(genome)
        on_board = None if board is None else cost(space, arch, board, engine, streams_input)
        found.append(
            Candidate(
                arch=arch,
                cost=on_board,
                peak_items=int(peak_items(space, genome[None])[0]),
                macs=int(macs(space, genome[None])[0]) if on_board is None else on_board.macs,
                top1_percent=float(prediction.top1_percent[row]),
                std_points=float(prediction.std_points[row]),
                outside_measured_range=bool(prediction.extrapolates[row]),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Found:
    """The best candidates of a search, the chosen one first.

    ``candidates`` counts the distinct archs that were evaluated; ``exhaustive`` says that these hold
    all that can be better within the budget, so that none is predicted to be better than the chosen one.
    ``stopped_early``: the time limit ended the search, so that the same seed may find something else next
    time.
    """

    best: tuple[Candidate, ...]
    candidates: int
    exhaustive: bool
    stopped_early: bool

    @property
    def arch(self) -> Arch:
        """The chosen arch."""
        return self.best[0].arch

    @property
    def cost(self) -> Cost:
        """Its exact cost on the board; only for searches on one."""
        found = self.best[0].cost
        assert found is not None
        return found

    @property
    def top1_percent(self) -> float:
        """Its predicted accuracy."""
        return self.best[0].top1_percent

    @property
    def std_points(self) -> float:
        """The standard deviation of that prediction."""
        return self.best[0].std_points

    def to_json(
        self,
        space: SearchSpace,
        board: Board | None,
        budget: Budget,
        seed: int,
        engine: str = DEFAULT_ENGINE,
        streams_input: bool = False,
    ) -> dict[str, Any]:
        """Return the manifest's search section."""
        return {
            "space": space.name,
            "space_fingerprint": space.fingerprint,
            "space_definition": space.model_dump(mode="json"),
            "board": board.name if board else None,
            "board_definition": board.to_json() if board else None,
            "core": board.core if board else None,
            "kernels": board.kernels if board else None,
            "engine": engine if board else None,
            "streams_input": streams_input,
            "budget": budget.to_json(),
            "seed": seed,
            "candidates": self.candidates,
            "exhaustive": self.exhaustive,
            "stopped_early": self.stopped_early,
            "arch": self.arch.to_json(),
            "predicted": self.best[0].predicted(),
        }

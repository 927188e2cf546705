"""What whole populations of candidates cost, by the names of the measures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.cost.measures import ON_BOARD
from mcofa.cost.peak_items import macs, peak_items
from mcofa.cost.population import PopulationCosts
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.space.search_space import Genomes, SearchSpace

Floats = npt.NDArray[np.float64]
Measured = dict[str, Floats]
"""One array (archs,) a measure."""


class CandidateCosts:
    """Costs of the archs of one space, on a board or (``board`` is None) anywhere.

    Only the measures in ``names`` are computed. A kernel or expand gene of −1 stands for any
    option, and the costs are then lower bounds.
    """

    def __init__(
        self,
        space: SearchSpace,
        board: Board | None,
        names: Collection[str],
        engine: str = DEFAULT_ENGINE,
        streams_input: bool = False,
    ) -> None:
        self._space = space
        self._names = names
        self._on_board = None if board is None else PopulationCosts(space, board, engine, streams_input)

    def bounds(self, genomes: Genomes) -> Measured:
        """Return the costs of ``genomes``, (archs, genes); the arena is a lower bound, the others exact."""
        found: dict[str, npt.NDArray[Any]] = {}
        if self._on_board is not None:
            costs = self._on_board.evaluate(genomes)
            found = {name: getattr(costs, name) for name in (*ON_BOARD, "macs")}
        elif "macs" in self._names:
            found["macs"] = macs(self._space, genomes)
        if "peak_items" in self._names:
            found["peak_items"] = peak_items(self._space, genomes)
        return {name: found[name].astype(np.float64) for name in self._names}

    def exact(self, genomes: Genomes, measure: str) -> Floats:
        """Return one exact measure of ``genomes``, (archs,)."""
        return self.exact_arena_bytes(genomes) if measure == "arena_bytes" else self.bounds(genomes)[measure]

    @property
    def has_arena(self) -> bool:
        """Whether the arena counts, so that bounds are not exact."""
        return "arena_bytes" in self._names

    def exact_arena_bytes(self, genomes: Genomes) -> Floats:
        """Return the minimum arena of ``genomes``, (archs, genes), in bytes, (archs,)."""
        assert self._on_board is not None
        return self._on_board.exact_arena_bytes(genomes).astype(np.float64)

"""Search for the best subnet that a board can hold.

``search`` finds one arch, ``search_front`` a Pareto front, ``fleet`` searches for every board.
"""

from __future__ import annotations

from mcofa.search.budget import Budget, board_budget
from mcofa.search.evolve import Generation, search
from mcofa.search.found import Candidate, Found

__all__ = ["Budget", "Candidate", "Found", "Generation", "board_budget", "search"]

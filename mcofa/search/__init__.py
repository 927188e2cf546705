"""Search for the best subnet that a board can hold.

``search`` finds one arch, ``search_front`` a Pareto front; ``search_one``, ``search_smallest`` and
``search_each`` also record what they find in runs.
"""

from __future__ import annotations

from mcofa.search.budget import Budget, board_budget
from mcofa.search.deadline import Deadline
from mcofa.search.evolve import Generation, search
from mcofa.search.found import Candidate, Found
from mcofa.search.front import Front, search_front
from mcofa.search.request import SearchRequest, zoo_predictor
from mcofa.search.runs import Recorded, Refused, search_each, search_one, search_smallest

__all__ = [
    "Budget",
    "Candidate",
    "Deadline",
    "Found",
    "Front",
    "Generation",
    "Recorded",
    "Refused",
    "SearchRequest",
    "board_budget",
    "search",
    "search_each",
    "search_front",
    "search_one",
    "search_smallest",
    "zoo_predictor",
]

"""Archs to measure, spread evenly over the arena that they need.

Drawn uniformly, most archs of a space lie in the middle and the small ones are rare; a predictor
that has seen few of them knows least where memory is short.
"""

from __future__ import annotations

import numpy as np

from mcofa.boards import Board
from mcofa.cost.population import PopulationCosts
from mcofa.space.search_space import Genomes, SearchSpace

_BINS = 24
_DRAWN = 500
# How likely each gene is drawn anew; the more seldom, the closer to the smallest or the largest arch.
_PROBABILITIES = np.linspace(0.05, 1, 20)


def balanced_archs(space: SearchSpace, board: Board, seed: int) -> Genomes:
    """Return thousands of distinct archs, (archs, genes), in the order in which to measure them.

    The smallest and the largest come first. Then the range of minimum arenas on ``board`` is cut
    into 24 parts with equal ratios, and each part that has archs left gives one in turn.
    """
    rng = np.random.default_rng(seed)
    ends = space.encode([space.smallest(), space.largest()])
    drawn = [
        space.mutate(np.repeat(end[None], _DRAWN, 0), probability, rng)
        for probability in _PROBABILITIES.tolist()
        for end in ends
    ]
    archs = np.concatenate([ends, np.unique(np.concatenate(drawn), axis=0)])
    rng.shuffle(archs[2:])
    sizes = np.log(PopulationCosts(space, board).exact_arena_bytes(archs))
    parts = np.digitize(sizes, np.linspace(sizes.min(), sizes.max(), _BINS + 1)[1:-1])
    turn = np.zeros(len(archs), np.int64)
    for part in range(_BINS):
        of_part = np.flatnonzero(parts == part)
        turn[of_part] = np.arange(len(of_part))
    turn[:2] = -1
    archs = archs[np.argsort(turn, kind="stable")]
    _, first = np.unique(archs, axis=0, return_index=True)
    ordered: Genomes = archs[np.sort(first)]
    return ordered

"""The least that a space can reach of a measure, proven."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcofa.search.costs import CandidateCosts
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace

_MOST_BRANCHES = 200_000


@dataclass(frozen=True)
class Least:
    """The arch that takes the least of a measure, and whether it is proven that no arch takes less."""

    arch: Arch
    value: float
    proven: bool


def least(space: SearchSpace, costs: CandidateCosts, measure: str) -> Least:
    """Return the least of ``measure`` over the whole space.

    Starts from the archs with the smallest option everywhere. Then the choices are made one by
    one, open ones bounded by the least that any option contributes, and what cannot fall below the
    value found so far is dropped: as a rule everything soon, which proves it. The last, widest stages
    come first, as they differ most.
    """
    smallest = space.smallest()
    corners = space.encode([replace(smallest, resolution=side) for side in space.resolutions])
    best = _best(space, costs, corners, measure)
    branches = corners.copy()
    branches[:, 1 + len(space.stages) :] = -1
    for s in reversed(range(len(space.stages))):
        branches = _below(costs, measure, best.value, _with_depths(space, branches, s))
        for b in range(space.max_depth):
            branches = _below(costs, measure, best.value, _with_block(space, branches, s, b))
            if len(branches) > _MOST_BRANCHES:
                return replace(best, proven=False)
    if len(branches):
        best = min(best, _best(space, costs, branches, measure), key=lambda found: found.value)
    return best


def _best(space: SearchSpace, costs: CandidateCosts, genomes: Genomes, measure: str) -> Least:
    values = costs.exact(genomes, measure)
    row = int(values.argmin())
    return Least(space.decode(genomes[row]), float(values[row]), proven=True)


def _below(costs: CandidateCosts, measure: str, value: float, branches: Genomes) -> Genomes:
    kept: Genomes = branches[costs.bounds(branches)[measure] < value]
    return kept


def _with_depths(space: SearchSpace, branches: Genomes, stage: int) -> Genomes:
    """Each branch with each depth of a stage."""
    children = np.repeat(branches, len(space.depths), axis=0)
    space.depth_genes(children)[:, stage] = np.tile(np.arange(len(space.depths)), len(branches))
    return children


def _with_block(space: SearchSpace, branches: Genomes, stage: int, block: int) -> Genomes:
    """Each branch with each option of a block; a block that a branch does not have gets the genes 0."""
    children = [branches[:0]]
    for depth in range(len(space.depths)):
        of_depth = branches[space.depth_genes(branches)[:, stage] == depth]
        options = space.block_options(stage, depth) if block < space.depths[depth] else [(0, 0)]
        for kernel, expand in options:
            child = of_depth.copy()
            space.kernel_genes(child)[:, stage, block] = kernel
            space.expand_genes(child)[:, stage, block] = expand
            children.append(child)
    return np.concatenate(children)

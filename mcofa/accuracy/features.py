"""Archs as numbers that an accuracy predictor can learn from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mcofa.cost.peak_items import macs, params
from mcofa.space.search_space import Genomes, SearchSpace

Features = npt.NDArray[np.float32]

OPTIONS_AND_SUMS = (
    "one-hot resolution, depths of the stages, kernel sizes and expand ratios of the active blocks; "
    "then by stage the number of blocks and the sums of the indices of their kernel sizes and expand ratios"
)


SIZES = "logarithms to base 2 of the MACs and of the parameters"


def encode(encoding: str, space: SearchSpace, genomes: Genomes) -> Features:
    """Encode genomes, (archs, genes), as ``encoding`` says, (archs, features).

    Raises:
        KeyError: there is no such encoding.
    """
    return _ENCODINGS[encoding](space, genomes)


def features(space: SearchSpace, genomes: Genomes) -> Features:
    """Encode genomes, (archs, genes), as ``options`` and three sums for each stage, (archs, features).

    The sums are over the active blocks: their number, kernel-size indices and expand-ratio indices.
    """
    active = space.active(genomes)
    sums = [
        active.sum(2),
        (space.kernel_genes(genomes) * active).sum(2),
        (space.expand_genes(genomes) * active).sum(2),
    ]
    return np.concatenate([options(space, genomes), *sums], axis=1, dtype=np.float32)


def options(space: SearchSpace, genomes: Genomes) -> Features:
    """Encode genomes, (archs, genes), as one-hot vectors, (archs, options).

    One for each resolution, for each depth of each stage, and for each kernel size and each
    expand ratio of each block; an inactive block's are all 0.
    """
    active = space.active(genomes)[..., None]
    parts = [
        _one_hot(genomes[:, 0], len(space.resolutions)),
        _one_hot(space.depth_genes(genomes), len(space.depths)),
        _one_hot(space.kernel_genes(genomes), len(space.kernel_sizes)) * active,
        _one_hot(space.expand_genes(genomes), len(space.expand_ratios)) * active,
    ]
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], axis=1)


def sizes(space: SearchSpace, genomes: Genomes) -> Features:
    """Encode genomes, (archs, genes), by how large the networks are, (archs, 2)."""
    return np.log2([macs(space, genomes), params(space, genomes)], dtype=np.float32).T


_ENCODINGS = {OPTIONS_AND_SUMS: features, SIZES: sizes}


def _one_hot(indices: Genomes, count: int) -> Features:
    return np.eye(count, dtype=np.float32)[indices]

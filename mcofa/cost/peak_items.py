"""The paper's memory metric, its multiply-accumulates and its weights, for whole populations.

Formulas of Girard et al., "Memory-Optimized Once-For-All Network" (arXiv 2409.05900), as its
published code computes them. A convolution holds its input, its output and its weights; the
**peak items** of a network are those of its fullest convolution, counted in elements. While a
depthwise convolution of a block with a shortcut runs, the block's input is held as well.
Squeeze-excite, feature mix and classifier do not count towards the peak, but towards MACs and
weights. Batch norm and biases count nowhere.

Every block contributes a number of its own to the maximum or the sum, so an arch is evaluated by
looking up one number a block.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.space.arch import Arch
from mcofa.space.blocks import Average, Convolution, SqueezeExcite
from mcofa.space.search_space import Genomes, SearchSpace
from mcofa.space.topology import HEAD, STEM, Block, Part, describe

Integers = npt.NDArray[np.int64]

# Archs looked up at once: the working set stays in the processor's cache.
_CHUNK_ARCHS = 4096


def peak_items(space: SearchSpace, genomes: Genomes) -> Integers:
    """Return the peak items of ``genomes``, (archs, genes), as an array (archs,).

    A kernel or expand gene of −1 stands for the option that takes the least.
    """
    return _look_up(space, genomes, "peak_items", np.maximum)


def macs(space: SearchSpace, genomes: Genomes) -> Integers:
    """Return the multiply-accumulates of one inference, (archs,); the paper calls them FLOPs."""
    return _look_up(space, genomes, "macs", np.add)


def params(space: SearchSpace, genomes: Genomes) -> Integers:
    """Return the weights of all convolutions and of the classifier, (archs,).

    Squeeze-excite is included; batch norm and biases are not.
    """
    return _look_up(space, genomes, "params", np.add)


class Share(NamedTuple):
    """What a part of a network contributes: the maximum counts of the first field, the sum of the others."""

    peak_items: int
    macs: int
    params: int


@dataclass(frozen=True)
class _Tables:
    """Shares of one metric: ``fixed`` (resolutions,), ``blocks`` as below, 0 where inactive.

    The axes of ``blocks`` are stage, block, resolution, depth of the stage, kernel size, expand ratio;
    before the options of the last two, at index 0, stands the least of them.
    """

    fixed: Integers
    blocks: Integers


@functools.lru_cache(maxsize=32)
def _tables(space: SearchSpace) -> dict[str, _Tables]:
    fixed = np.zeros((len(space.resolutions), len(Share._fields)), np.int64)
    blocks = np.zeros(
        (
            *(len(space.stages), space.max_depth, len(space.resolutions), len(space.depths)),
            *(len(space.kernel_sizes), len(space.expand_ratios), len(Share._fields)),
        ),
        np.int64,
    )
    depths = np.array(space.depths)
    for (r, resolution), (k, kernel), (e, expand) in itertools.product(
        enumerate(space.resolutions), enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
    ):
        arch = space.uniform(resolution, space.max_depth, kernel, expand)
        parts = part_shares(space, arch)
        fixed[r] = _together([parts.pop(STEM), parts.pop(HEAD)])
        for (s, b), share in parts.items():
            blocks[s, b, r, depths > b, k, e] = share
    for axis in (4, 5):
        blocks = np.concatenate([blocks.min(axis, keepdims=True), blocks], axis)
    return {
        name: _Tables(fixed[..., i], np.ascontiguousarray(blocks[..., i]))
        for i, name in enumerate(Share._fields)
    }


def part_shares(space: SearchSpace, arch: Arch) -> dict[Part, Share]:
    """Return what each part of ``arch`` contributes; kernel sizes may be others than a stage's own."""
    parts: dict[Part, list[Share]] = {}
    for block in describe(space, arch):
        parts.setdefault(block.part, []).extend(_shares(block))
    return {part: _together(shares) for part, shares in parts.items()}


def _shares(block: Block) -> Iterator[Share]:
    """Yield what each convolution of a block contributes."""
    first = next(block.convolutions)
    shortcut_items = math.prod(first.input_size) * first.input_width if block.shortcut else 0
    averaged = False
    for layer in block.layers:
        match layer:
            case Average():
                averaged = True
            case SqueezeExcite():
                yield _outside_the_peak(layer.reduce)
                yield _outside_the_peak(layer.expand)
            case Convolution() if averaged:
                yield _outside_the_peak(layer)
            case Convolution():
                yield _convolution(layer, shortcut_items if layer.depthwise else 0)


def _convolution(layer: Convolution, held_items: int) -> Share:
    input_items = math.prod(layer.input_size) * layer.input_width
    pixels = math.prod(layer.output_size)
    return Share(
        peak_items=input_items + layer.width * pixels + layer.weights + held_items,
        macs=pixels * layer.weights,
        params=layer.weights,
    )


def _outside_the_peak(layer: Convolution) -> Share:
    """A convolution of a single pixel, of which the metric takes no notice."""
    return Share(peak_items=0, macs=layer.weights, params=layer.weights)


def _together(shares: list[Share]) -> Share:
    peaks, macs, params = zip(*shares, strict=True)
    return Share(max(peaks), sum(macs), sum(params))


def _look_up(space: SearchSpace, genomes: Genomes, metric: str, combine: np.ufunc) -> Integers:
    tables = _tables(space)[metric]
    *_, depths, kernel_sizes, expand_ratios = tables.blocks.shape
    flat = tables.blocks.reshape(len(space.stages), space.max_depth, -1)
    combined = np.empty(len(genomes), np.int64)
    for start in range(0, len(genomes), _CHUNK_ARCHS):
        # One gene of all archs lies contiguously.
        chunk = np.asfortranarray(genomes[start : start + _CHUNK_ARCHS])
        resolution, depth = chunk[:, 0].astype(np.intp), space.depth_genes(chunk)
        kernels, expands = space.kernel_genes(chunk), space.expand_genes(chunk)
        result = combined[start : start + _CHUNK_ARCHS]
        result[:] = tables.fixed[resolution]
        for s in range(len(space.stages)):
            row = (resolution * depths + depth[:, s]) * kernel_sizes + 1
            for b in range(space.max_depth):
                index = (row + kernels[:, s, b]) * expand_ratios + (expands[:, s, b] + 1)
                combine(result, flat[s, b].take(index), out=result)
    return combined

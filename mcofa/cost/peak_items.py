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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.space.search_space import Genomes, SearchSpace, squeeze_width

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


class _Share(NamedTuple):
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
    fixed = np.zeros((len(space.resolutions), len(_Share._fields)), np.int64)
    blocks = np.zeros(
        (
            *(len(space.stages), space.max_depth, len(space.resolutions), len(space.depths)),
            *(len(space.kernel_sizes), len(space.expand_ratios), len(_Share._fields)),
        ),
        np.int64,
    )
    stem, head = space.stem, space.head
    for r, resolution in enumerate(space.resolutions):
        side = -(-resolution // stem.stride)
        fixed_parts = [
            _convolution(space.input_channels * resolution**2, side, stem.width, 9 * space.input_channels),
            _block(side, 1, stem.width, stem.width, stem.first_block_width, 3, squeeze_excite=False),
        ]
        input_width = stem.first_block_width
        for s, stage in enumerate(space.stages):
            for b in range(space.max_depth):
                stride = stage.stride if b == 0 else 1
                active = np.array(space.depths) > b
                for (k, kernel), (e, expand) in itertools.product(
                    enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
                ):
                    hidden = space.hidden_width(input_width, expand)
                    blocks[s, b, r, active, k, e] = _block(
                        side, stride, input_width, hidden, stage.width, kernel, stage.squeeze_excite
                    )
                side, input_width = -(-side // stride), stage.width
        expanded, mixed = head.final_expand_width, head.feature_width
        fixed_parts += [
            _convolution(input_width * side**2, side, expanded, input_width),
            _outside_the_peak(expanded * mixed + mixed * space.classes),
        ]
        fixed[r] = _together(fixed_parts)
    for axis in (4, 5):
        blocks = np.concatenate([blocks.min(axis, keepdims=True), blocks], axis)
    return {
        name: _Tables(fixed[..., i], np.ascontiguousarray(blocks[..., i]))
        for i, name in enumerate(_Share._fields)
    }


def _block(
    side: int,
    stride: int,
    input_width: int,
    hidden_width: int,
    width: int,
    kernel_size: int,
    squeeze_excite: bool,
) -> _Share:
    """Expand (absent when it would not widen), depthwise, squeeze-excite, project."""
    input_items = input_width * side**2
    output_side = -(-side // stride)
    shortcut_items = input_items if stride == 1 and input_width == width else 0
    parts = [
        _convolution(hidden_width * side**2, output_side, hidden_width, kernel_size**2, shortcut_items),
        _convolution(hidden_width * output_side**2, output_side, width, hidden_width),
    ]
    if hidden_width != input_width:
        parts.append(_convolution(input_items, side, hidden_width, input_width))
    if squeeze_excite:
        parts.append(_outside_the_peak(2 * hidden_width * squeeze_width(hidden_width)))
    return _together(parts)


def _convolution(
    input_items: int, output_side: int, width: int, weights_per_channel: int, held_items: int = 0
) -> _Share:
    weights = weights_per_channel * width
    return _Share(
        peak_items=input_items + width * output_side**2 + weights + held_items,
        macs=output_side**2 * weights,
        params=weights,
    )


def _outside_the_peak(weights: int) -> _Share:
    """Convolutions of a single pixel, of which the metric takes no notice."""
    return _Share(peak_items=0, macs=weights, params=weights)


def _together(parts: list[_Share]) -> _Share:
    return _Share(
        peak_items=max(part.peak_items for part in parts),
        macs=sum(part.macs for part in parts),
        params=sum(part.params for part in parts),
    )


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

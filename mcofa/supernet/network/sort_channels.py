"""Sorting the hidden channels of a supernet, so that smaller expand ratios start from the best ones.

A smaller expand ratio uses a block's leading channels. Before such ratios are trained, MIT OFA
moves the channels with the largest weights to the front (Cai et al., arXiv 1908.09791, section
3.2; mit-han-lab/once-for-all, DynamicMBConvLayer in dynamic_layers.py at f03b267).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection

import torch
from torch import Tensor

from mcofa.space.blocks import squeeze_width
from mcofa.space.topology import describe
from mcofa.supernet.network.supernet import Supernet


def sort_channels(supernet: Supernet, trained_expand_ratios: Collection[float] = ()) -> None:
    """Sort the hidden channels of every elastic block by importance, most important first.

    A hidden channel is as important as the L1 norm of its weights in the projection, a channel
    of the squeeze-excite bottleneck as that of its weights in the excitation. Blocks with the
    largest expand ratio or one of ``trained_expand_ratios`` go on answering as before: channels
    move only between the widths of these ratios. Call it when a phase starts that adds smaller
    ratios; an optimizer's state is not sorted along.
    """
    space = supernet.space
    widths: dict[str, set[int]] = {}
    for ratio in {*trained_expand_ratios, space.expand_ratios[-1]}:
        arch = space.uniform(space.resolutions[-1], space.max_depth, space.kernel_sizes[-1], ratio)
        for block in describe(space, arch):
            for layer in block.convolutions:
                if layer.name == f"{block.name}.expand":
                    widths.setdefault(block.name, set()).add(layer.width)
    with torch.no_grad():
        for name, hidden_widths in widths.items():
            _sort_block(supernet, name.replace(".", "/"), hidden_widths)


def _sort_block(supernet: Supernet, block: str, widths: set[int]) -> None:
    squeeze = f"{block}/squeeze_excite"
    if f"{squeeze}/expand/weight" in supernet.shared:
        importance = _importance(supernet.shared[f"{squeeze}/expand/weight"])
        order = _order(importance, {squeeze_width(width) for width in widths})
        _permute(supernet, f"{squeeze}/reduce", 0, order)
        _permute(supernet, f"{squeeze}/expand", 1, order)
    order = _order(_importance(supernet.shared[f"{block}/project/conv/weight"]), widths)
    for layer in ("expand/conv", "expand/norm", "depthwise/conv", "depthwise/norm", "squeeze_excite/expand"):
        _permute(supernet, f"{block}/{layer}", 0, order)
    _permute(supernet, f"{squeeze}/reduce", 1, order)
    _permute(supernet, f"{block}/project/conv", 1, order)


def _importance(weight: Tensor) -> Tensor:
    """Return the L1 norm of each input channel of a 1×1 convolution."""
    return weight.abs().sum(dim=(0, 2, 3))


def _order(importance: Tensor, boundaries: set[int]) -> Tensor:
    """Return the channels in descending importance, none of them moved across a boundary."""
    return torch.cat(
        [
            start + importance[start:end].argsort(descending=True, stable=True)
            for start, end in itertools.pairwise(sorted({0, *boundaries}))
        ]
    )


def _permute(supernet: Supernet, layer: str, dimension: int, order: Tensor) -> None:
    """Reorder the layer's parameters along a dimension of its weight; biases go with dimension 0."""
    for name in ("weight", "bias") if dimension == 0 else ("weight",):
        if f"{layer}/{name}" in supernet.shared:
            parameter = supernet.shared[f"{layer}/{name}"]
            parameter.copy_(parameter.index_select(dimension, order))

"""The paper's memory-constant width rule: how wide the next stage may be at half the side.

Memory is counted in items as the paper does: a layer holds its input, its output and its
weights. A stage is as full as the fuller of its depthwise convolution and its expansion,
both at the stage's own side; the next stage, whose image has a quarter of the pixels, gets
the width at which its layers are as full. The shortcut's input is not counted.
``mcofa.design.designer`` does the same with the arena of a board instead of items.
"""

from __future__ import annotations

import math

from mcofa.space.blocks import round_width


def memory_constant_widths(
    start_width: int, start_side: int, expand_ratio: float, stages: int, kernel_size: int = 7
) -> tuple[int, ...]:
    """Return the widths of the ``stages`` stages after one of ``start_width`` channels.

    ``start_side`` is the side in pixels of that first stage's image; it halves from stage to
    stage. ``expand_ratio`` and ``kernel_size`` are those of the blocks that are compared.

    Raises:
        ValueError: an argument is not positive.

    Source: Girard et al., Memory-Optimized Once-For-All Network, arXiv 2409.05900, and its
    published implementation.
    """
    if min(start_width, start_side, expand_ratio, stages, kernel_size) <= 0:
        raise ValueError(
            f"width {start_width}, side {start_side}, expand ratio {expand_ratio}, {stages} stages, "
            f"kernel size {kernel_size}: all must be positive"
        )
    widths = []
    width: float = start_width
    pixels: float = start_side**2
    for _ in range(stages):
        width = _next_width(width, pixels, expand_ratio, kernel_size**2)
        widths.append(round_width(width))
        pixels /= 4
    return tuple(widths)


def _next_width(width: float, pixels: float, expand: float, taps: int) -> float:
    """The width at a quarter of the pixels: of the two candidates the narrower one, if depthwise decides."""
    depthwise_items = 2 * expand * width * pixels + taps * expand * width
    expansion_items = width * pixels + expand * width**2 + expand * width * pixels
    most_items = max(depthwise_items, expansion_items)
    by_expansion = _positive_root(expand, (1 + expand) * pixels / 4, most_items)
    if depthwise_items <= expansion_items:
        return by_expansion
    by_depthwise = 2 * width * (pixels + taps) / (pixels / 2 + taps)
    return min(by_depthwise, by_expansion)


def _positive_root(square: float, linear: float, value: float) -> float:
    """The positive c with square·c² + linear·c = value."""
    return (math.sqrt(linear**2 + 4 * square * value) - linear) / (2 * square)

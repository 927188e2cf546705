"""The description of a network, against what the papers and the stage table say."""

from __future__ import annotations

from typing import Any

import pytest

from mcofa.space.blocks import Convolution, Layer, SqueezeExcite
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import HEAD, STEM, Block, describe


def changed(space: SearchSpace, **keys: Any) -> SearchSpace:
    return SearchSpace.model_validate(space.model_dump() | keys)


def words(layer: Layer) -> str:
    """A layer in one line: name, input, kernel, stride, output, activation."""
    match layer:
        case Convolution():
            how = "depthwise" if layer.depthwise else "conv"
            shapes = (
                "x".join(map(str, (*size, width)))
                for size, width in (
                    (layer.input_size, layer.input_width),
                    (layer.output_size, layer.width),
                )
            )
            kernel = f"k{layer.kernel}s{layer.stride}"
            return f"{layer.name} {how} {kernel} {' '.join(shapes)} {layer.activation}"
        case SqueezeExcite():
            return f"{layer.name} {layer.width} {layer.squeezed_width}"
    return layer.name


def network(space: SearchSpace, kernel: int, expand: float) -> tuple[Block, ...]:
    return describe(space, space.uniform(space.resolutions[0], 1, kernel, expand))


def test_inverted_residuals_by_hand(tiny_space: SearchSpace) -> None:
    blocks = network(tiny_space, 5, 2)
    assert [(block.part, block.shortcut, block.unexpanded) for block in blocks] == [
        (STEM, False, False),
        (STEM, True, False),
        ((0, 0), True, False),
        ((1, 0), False, False),
        (HEAD, False, False),
    ]
    assert [words(layer) for block in blocks for layer in block.layers] == [
        "stem conv k3s2 12x12x1 6x6x8 relu",
        "first_block.depthwise depthwise k3s1 6x6x8 6x6x8 relu",
        "first_block.project conv k1s1 6x6x8 6x6x8 None",
        "stages.0.0.expand conv k1s1 6x6x8 6x6x16 relu",
        "stages.0.0.depthwise depthwise k5s1 6x6x16 6x6x16 relu",
        "stages.0.0.project conv k1s1 6x6x16 6x6x8 None",
        "stages.1.0.expand conv k1s1 6x6x8 6x6x16 hard_swish",
        "stages.1.0.depthwise depthwise k5s2 6x6x16 3x3x16 hard_swish",
        "stages.1.0.squeeze_excite 16 8",
        "stages.1.0.project conv k1s1 3x3x16 3x3x16 None",
        "final_expand conv k1s1 3x3x16 3x3x32 hard_swish",
        "average",
        "feature_mix conv k1s1 1x1x32 1x1x16 hard_swish",
        "classifier conv k1s1 1x1x16 1x1x10 None",
    ]


def test_blocks_of_ratio_1_have_no_expand_convolution(tiny_space: SearchSpace) -> None:
    blocks = network(tiny_space, 3, 1)
    assert [block.unexpanded for block in blocks] == [False, False, True, True, False]
    assert not [layer for block in blocks for layer in block.layers if layer.name.endswith(".expand")]


def test_depthwise_separable_blocks_by_hand(tiny_space: SearchSpace) -> None:
    """Depthwise and pointwise, an activation behind each, no shortcut (Howard et al., arXiv 1704.04861)."""
    stages = [
        {"block": "ds", "width": 8, "stride": 1, "activation": "relu", "squeeze_excite": False},
        {"block": "ds", "width": 16, "stride": 2, "activation": "hard_swish", "squeeze_excite": False},
    ]
    stem = {"width": 8, "stride": 2, "activation": "relu"}
    blocks = network(changed(tiny_space, stages=stages, stem=stem, head={}), 5, 2)
    assert [words(layer) for block in blocks for layer in block.layers] == [
        "stem conv k3s2 12x12x1 6x6x8 relu",
        "stages.0.0.depthwise depthwise k5s1 6x6x8 6x6x8 relu",
        "stages.0.0.pointwise conv k1s1 6x6x8 6x6x8 relu",
        "stages.1.0.depthwise depthwise k5s2 6x6x8 3x3x8 hard_swish",
        "stages.1.0.pointwise conv k1s1 3x3x8 3x3x16 hard_swish",
        "average",
        "classifier conv k1s1 1x1x16 1x1x10 None",
    ]
    assert not any(block.shortcut or block.unexpanded for block in blocks)


@pytest.mark.parametrize(("height", "width"), [(40, 24), (5, 64)])
def test_sides_are_halved_each_by_itself(tiny_space: SearchSpace, height: int, width: int) -> None:
    arch = tiny_space.uniform((height, width), 1, 3, 2)
    last = next(layer for layer in describe(tiny_space, arch)[-1].layers if isinstance(layer, Convolution))
    assert last.input_size == (-(-height // 4), -(-width // 4))

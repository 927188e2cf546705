"""The one description of a network: what an arch's layers are, in order; everyone else interprets it.

A network is a stem, stages of blocks, and a head. Layers have the names of the torch modules that
hold their weights, such as ``stages.0.1.depthwise``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mcofa.space.arch import Arch
from mcofa.space.blocks import BLOCK_KINDS, BlockOptions, Chain, Convolution, Layer, hidden_width
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace

Part = tuple[int, int]
"""A part of a network that is looked at as a whole: (stage, block), both from 0, or STEM or HEAD."""
STEM: Part = (-1, 0)
HEAD: Part = (1_000, 0)

FIRST_BLOCK = "mbconv"
"""The kind of the stem's block."""


@dataclass(frozen=True, slots=True)
class Block:
    """Layers in a row; with a ``shortcut`` the block's input is added to their output.

    ``name`` is that of its torch module, "" for layers that stand alone. In a supernet, a block without
    the expand convolution that others of its place have is ``unexpanded``: its weights are its own.
    """

    part: Part
    name: str
    layers: tuple[Layer, ...]
    shortcut: bool = False
    unexpanded: bool = False

    @property
    def convolutions(self) -> Iterator[Convolution]:
        """Its convolutions, without those of squeeze-excite."""
        return (layer for layer in self.layers if isinstance(layer, Convolution))


Topology = tuple[Block, ...]
"""The blocks of a network, in order; a part may have several."""


def describe(space: SearchSpace, arch: Arch) -> Topology:
    """Return the topology of ``arch``, which must be in the space."""
    x = Chain(size_of(arch.resolution), space.input_channels)
    stem, head = space.stem, space.head
    x.convolve("stem", stem.width, 3, stem.stride, stem.activation)
    blocks = [_taken(x, STEM)]
    if stem.first_block_width is not None and stem.first_block_activation is not None:
        options = BlockOptions(stem.first_block_width, 3, 1, 1, stem.first_block_activation, False)
        blocks.append(_block(x, FIRST_BLOCK, options, STEM, "first_block"))
    for s, stage in enumerate(space.stages):
        for b, (kernel, expand) in enumerate(zip(arch.kernel_sizes[s], arch.expand_ratios[s], strict=True)):
            stride = stage.stride if b == 0 else 1
            options = BlockOptions(
                stage.width, kernel, expand, stride, stage.activation, stage.squeeze_excite
            )
            unexpanded = BLOCK_KINDS[stage.block].expands and hidden_width(x.width, expand) == x.width
            block = _block(x, stage.block, options, (s, b), f"stages.{s}.{b}")
            blocks.append(replace(block, unexpanded=unexpanded))
    if head.final_expand_width is not None:
        x.convolve("final_expand", head.final_expand_width, activation=head.activation)
    x.average("average")
    if head.feature_width is not None:
        x.convolve("feature_mix", head.feature_width, activation=head.activation, normalised=False)
    x.convolve("classifier", space.classes, normalised=False, biased=True)
    return (*blocks, _taken(x, HEAD))


def _block(x: Chain, kind_name: str, options: BlockOptions, part: Part, name: str) -> Block:
    """Add a block to the chain and return it."""
    kind, input_width = BLOCK_KINDS[kind_name], x.width
    kind.build(x, options)
    shortcut = kind.has_shortcut and options.stride == 1 and input_width == x.width
    taken = _taken(x, part)
    layers = (replace(layer, name=f"{name}.{layer.name}") for layer in taken.layers)
    return Block(part, name, tuple(layers), shortcut)


def _taken(x: Chain, part: Part) -> Block:
    """Take the layers that the chain has gathered as a block."""
    layers, x.layers = tuple(x.layers), []
    return Block(part, "", layers)

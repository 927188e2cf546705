"""The one description of a network: what an arch's layers are, in order; everyone else interprets it.

A network is a stem, stages of blocks, and a head. Layers have the names of the torch modules that
hold their weights, such as ``stages.0.1.depthwise``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    blocks = [Block(STEM, "", _taken(x))]
    if stem.first_block_width is not None and stem.first_block_activation is not None:
        options = BlockOptions(stem.first_block_width, 3, 1, 1, stem.first_block_activation, False)
        shortcut = _build(x, FIRST_BLOCK, "first_block", options)
        blocks.append(Block(STEM, "first_block", _taken(x), shortcut))
    for s, stage in enumerate(space.stages):
        for b, (kernel, expand) in enumerate(zip(arch.kernel_sizes[s], arch.expand_ratios[s], strict=True)):
            name, stride = f"stages.{s}.{b}", stage.stride if b == 0 else 1
            options = BlockOptions(
                stage.width, kernel, expand, stride, stage.activation, stage.squeeze_excite
            )
            unexpanded = stage.expands and hidden_width(x.width, expand) == x.width
            shortcut = _build(x, stage.block, name, options)
            blocks.append(Block((s, b), name, _taken(x), shortcut, unexpanded))
    if head.final_expand_width is not None:
        x.convolve("final_expand", head.final_expand_width, activation=head.activation)
    x.average("average")
    if head.feature_width is not None:
        x.convolve("feature_mix", head.feature_width, activation=head.activation, normalised=False)
    x.convolve("classifier", space.classes, normalised=False, biased=True)
    return (*blocks, Block(HEAD, "", _taken(x)))


def _build(x: Chain, kind_name: str, name: str, options: BlockOptions) -> bool:
    """Add the layers of a block to the chain; return whether it has a shortcut."""
    kind, input_width = BLOCK_KINDS[kind_name], x.width
    x.prefix = f"{name}."
    kind.build(x, options)
    x.prefix = ""
    return kind.has_shortcut and options.stride == 1 and input_width == x.width


def _taken(x: Chain) -> tuple[Layer, ...]:
    """Take the layers that the chain has gathered."""
    layers, x.layers = tuple(x.layers), []
    return layers

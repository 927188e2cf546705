"""The stage table of a search space: stem, elastic stages, head; and how large its numbers may be."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import pydantic

from mcofa.space.blocks import BLOCK_KINDS, Activation

WIDEST = 8_192
"""The most channels that a layer may be given; sums over the largest network still fit 64 bits."""

MOST_CLASSES = 65_536
MOST_STAGES = 32
MOST_BLOCK_OPTIONS = 65_536
"""What the tables of a search are filled for, one by one: about a minute's work."""
MOST_OPTIONS = 127
"""A gene is an index of 8 bits; wider ones would slow every search for options that nobody has."""

_Option = TypeVar("_Option")
Options = Annotated[tuple[_Option, ...], pydantic.Field(min_length=1, max_length=MOST_OPTIONS)]
KernelSize = Annotated[int, pydantic.Field(gt=0, le=31)]
ExpandRatio = Annotated[float, pydantic.Field(gt=0, le=16, allow_inf_nan=False)]
Depth = Annotated[int, pydantic.Field(gt=0, le=16)]
Width = Annotated[int, pydantic.Field(gt=0, le=WIDEST)]
Stride = Literal[1, 2]


class Stage(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One elastic stage: its width, the stride of its first block, and what its blocks use.

    ``kernel_size`` fixes the kernel size of all its blocks; without it they are free. ``block`` is one
    of ``BLOCK_KINDS``.
    """

    block: str = pydantic.Field(default="mbconv", exclude_if=lambda block: block == "mbconv")
    width: Width
    stride: Stride
    activation: Activation
    squeeze_excite: bool
    kernel_size: int | None = None

    @pydantic.field_validator("block")
    @classmethod
    def _is_known(cls, block: str) -> str:
        if block not in BLOCK_KINDS:
            raise ValueError(f"no kind of block is called {block!r}; kinds: {', '.join(BLOCK_KINDS)}")
        return block

    @property
    def expands(self) -> bool:
        """Whether its blocks have an expand ratio to choose; else it is 1."""
        return BLOCK_KINDS[self.block].expands


class Stem(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The fixed 3×3 convolution at the input and, where it has a width, the fixed first block.

    The first block is an inverted residual with kernel size 3 and expand ratio 1.
    """

    width: Width
    stride: Stride
    activation: Activation
    first_block_width: Width | None = None
    first_block_activation: Activation | None = None

    @pydantic.model_validator(mode="after")
    def _first_block_is_whole(self) -> Stem:
        if (self.first_block_width is None) != (self.first_block_activation is None):
            raise ValueError("first_block_width and first_block_activation belong together")
        return self


class Head(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The fixed layers after the stages: final expand, global average, feature mix, classifier.

    Final expand and feature mix are there where they have a width; both have the ``activation``.
    """

    final_expand_width: Width | None = None
    feature_width: Width | None = None
    activation: Activation | None = None

    @pydantic.model_validator(mode="after")
    def _activation_is_used(self) -> Head:
        if (self.activation is None) != (self.final_expand_width is self.feature_width is None):
            raise ValueError("activation is that of final_expand_width and feature_width: give it with them")
        return self

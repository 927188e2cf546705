"""What networks are made of, and the families of blocks.

A layer is described, not built: lowering, the torch modules, metrics and fake quantization interpret
the same description. A family of networks is one entry of ``BLOCK_KINDS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcofa.space.resolution import Size

Activation = Literal["relu", "hard_swish"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution: ``kernel``×``kernel``, padded so that the output has ceil(side / stride) pixels.

    A ``depthwise`` one keeps its channels apart. Batch norm follows where it is ``normalised``; a
    ``biased`` one has a bias of its own.
    """

    name: str
    input_size: Size
    input_width: int
    width: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    activation: Activation | None = None
    normalised: bool = True
    biased: bool = False

    @property
    def output_size(self) -> Size:
        """Height and width of the output."""
        height, width = self.input_size
        return -(-height // self.stride), -(-width // self.stride)

    @property
    def weights(self) -> int:
        """Items of the filter."""
        return (1 if self.depthwise else self.input_width) * self.kernel**2 * self.width


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """A gate for each channel, from the channels' averages (Hu et al., arXiv 1709.01507)."""

    name: str
    width: int
    squeezed_width: int

    @property
    def reduce(self) -> Convolution:
        """The convolution of the averages that leaves ``squeezed_width`` channels."""
        return Convolution(
            f"{self.name}.reduce",
            (1, 1),
            self.width,
            self.squeezed_width,
            activation="relu",
            normalised=False,
            biased=True,
        )

    @property
    def expand(self) -> Convolution:
        """The convolution that makes the gates, less their hard sigmoid."""
        return Convolution(
            f"{self.name}.expand", (1, 1), self.squeezed_width, self.width, normalised=False, biased=True
        )


@dataclass(frozen=True, slots=True)
class Average:
    """The average of each channel over the whole image."""

    name: str


Layer = Convolution | SqueezeExcite | Average


@dataclass(slots=True)
class Chain:
    """Layers in a row, each reading the one before; ``size`` and ``width`` are those of the last output.

    The names of layers start with ``prefix``.
    """

    size: Size
    width: int
    prefix: str = ""
    layers: list[Layer] = field(default_factory=list)

    def convolve(
        self,
        name: str,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        activation: Activation | None = None,
        normalised: bool = True,
        biased: bool = False,
    ) -> None:
        """Add a convolution over all channels."""
        self._add(
            name,
            width,
            kernel,
            stride,
            activation=activation,
            normalised=normalised,
            biased=biased,
        )

    def depthwise(self, name: str, kernel: int, stride: int, activation: Activation) -> None:
        """Add a convolution of each channel by itself, with batch norm."""
        self._add(name, self.width, kernel, stride, depthwise=True, activation=activation)

    def squeeze_excite(self, name: str) -> None:
        """Add squeeze-excite."""
        self.layers.append(SqueezeExcite(self.prefix + name, self.width, squeeze_width(self.width)))

    def average(self, name: str) -> None:
        """Add the global average."""
        self.layers.append(Average(self.prefix + name))
        self.size = 1, 1

    def _add(self, name: str, width: int, kernel: int, stride: int, **more: Any) -> None:
        convolution = Convolution(self.prefix + name, self.size, self.width, width, kernel, stride, **more)
        self.layers.append(convolution)
        self.size, self.width = convolution.output_size, width


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """What a space and an arch say of a block: the stage's part and the arch's choices."""

    width: int
    kernel: int
    expand_ratio: float
    stride: int
    activation: Activation
    squeeze_excite: bool


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A family's block: ``build`` appends its layers to a chain.

    Where the family ``expands``, expand ratios are a choice, else they are always 1. A block adds its
    input to its output where it ``has_shortcut`` and both have the same shape.
    """

    title: str
    build: Callable[[Chain, BlockOptions], None]
    expands: bool
    has_shortcut: bool


def _mbconv(x: Chain, options: BlockOptions) -> None:
    hidden = hidden_width(x.width, options.expand_ratio)
    if hidden != x.width:
        x.convolve("expand", hidden, activation=options.activation)
    x.depthwise("depthwise", options.kernel, options.stride, options.activation)
    if options.squeeze_excite:
        x.squeeze_excite("squeeze_excite")
    x.convolve("project", options.width)


def _ds(x: Chain, options: BlockOptions) -> None:
    x.depthwise("depthwise", options.kernel, options.stride, options.activation)
    if options.squeeze_excite:
        x.squeeze_excite("squeeze_excite")
    x.convolve("pointwise", options.width, activation=options.activation)


BLOCK_KINDS: Mapping[str, BlockKind] = {
    "mbconv": BlockKind(
        "inverted residual: expand (absent when it would not widen), depthwise, project; "
        "MobileNetV2 (arXiv 1801.04381)",
        _mbconv,
        expands=True,
        has_shortcut=True,
    ),
    "ds": BlockKind(
        "depthwise-separable: depthwise, pointwise; "
        "MobileNetV1 (arXiv 1704.04861), DS-CNN (arXiv 1711.07128)",
        _ds,
        expands=False,
        has_shortcut=False,
    ),
}
"""The families, by the name that a stage gives as its ``block``."""


def hidden_width(input_width: int, expand_ratio: float) -> int:
    """Return the channels of a block's depthwise convolution; input itself when the ratio is 1."""
    return input_width if expand_ratio == 1 else round_width(round(input_width * expand_ratio))


def round_width(value: float) -> int:
    """Round a channel count to a multiple of 8, never below 90 % of it (MIT OFA's rule)."""
    rounded = max(8, math.floor((value + 4) / 8) * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def squeeze_width(hidden_width: int) -> int:
    """Return the channels to which squeeze-excite reduces ``hidden_width`` channels."""
    return round_width(hidden_width // 4)

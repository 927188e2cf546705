"""Lowering: the int8 graph that an arch becomes on the device, as the exporter writes it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mcofa.graph import MEAN_AXES, DType, Graph, Op, OpKind, Tensor
from mcofa.space.arch import Arch
from mcofa.space.blocks import Average, Convolution, Layer, SqueezeExcite
from mcofa.space.resolution import size_of
from mcofa.space.search_space import GlobalAverage, SearchSpace
from mcofa.space.topology import Block, Part, describe

GLOBAL_AVERAGES: Mapping[GlobalAverage, OpKind] = {
    "average_pool": OpKind.AVERAGE_POOL_2D,
    "mean": OpKind.MEAN,
}


def lower(space: SearchSpace, arch: Arch) -> Graph:
    """Return the graph of ``arch`` as the exporter writes it.

    Tensor 0 is the input; then each op adds its constants (filter and bias, or a MEAN's axes) and its
    output.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    graph, _ = lower_with_blocks(space, arch)
    return graph


def lower_with_blocks(space: SearchSpace, arch: Arch) -> tuple[Graph, dict[Part, range]]:
    """Return the graph and which ops each part became.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    space.check(arch)
    net = _Builder((1, *size_of(arch.resolution), space.input_channels), space.global_average)
    parts: dict[Part, range] = {}
    output = 0
    for part, blocks in itertools.groupby(describe(space, arch), key=lambda block: block.part):
        first_op = len(net.ops)
        for block in blocks:
            output = net.block(block, output)
        parts[part] = range(first_op, len(net.ops))
    return Graph(tuple(net.tensors), tuple(net.ops), (0,), (output,)), parts


class _Builder:
    """Appends tensors and ops in the order in which the exporter writes them."""

    def __init__(self, input_shape: tuple[int, int, int, int], global_average: GlobalAverage) -> None:
        self.tensors = [Tensor(input_shape)]
        self.average_kind = GLOBAL_AVERAGES[global_average]
        self.ops: list[Op] = []

    def add_op(
        self, kind: OpKind, inputs: tuple[int, ...], output_shape: tuple[int, ...], **options: Any
    ) -> int:
        self.tensors.append(Tensor(output_shape))
        output = len(self.tensors) - 1
        self.ops.append(Op(kind, inputs, (output,), **options))
        return output

    def _constants(self, filter_shape: tuple[int, ...], width: int) -> tuple[int, int]:
        self.tensors.append(Tensor(filter_shape, constant=True, scales=width))
        self.tensors.append(Tensor((width,), DType.INT32, constant=True, scales=0))
        return len(self.tensors) - 2, len(self.tensors) - 1

    def block(self, block: Block, x: int) -> int:
        """Add the ops of a block, which reads tensor ``x``; return its output."""
        output = x
        for layer in block.layers:
            output = self._layer(layer, output)
        return self.add_op(OpKind.ADD, (x, output), self.tensors[output].shape) if block.shortcut else output

    def _layer(self, layer: Layer, x: int) -> int:
        match layer:
            case Convolution():
                return self._convolution(layer, x)
            case SqueezeExcite():
                return self._squeeze_excite(layer, x)
            case Average():
                return self._global_average(x)

    def _convolution(self, layer: Convolution, x: int) -> int:
        """Add a convolution, and behind it the activation that it cannot fuse."""
        width, window, stride = layer.width, (layer.kernel, layer.kernel), (layer.stride, layer.stride)
        kind = OpKind.DEPTHWISE_CONV_2D if layer.depthwise else OpKind.CONV_2D
        filter_shape = (1, *window, width) if layer.depthwise else (width, *window, layer.input_width)
        fused = layer.activation == "relu"
        self.tensors.append(Tensor(filter_shape, constant=True, scales=width))
        self.tensors.append(Tensor((width,), DType.INT32, constant=True, scales=0))
        output = self.add_op(
            kind,
            (x, len(self.tensors) - 2, len(self.tensors) - 1),
            (1, *layer.output_size, width),
            stride=stride,
            activation="RELU" if fused else "NONE",
        )
        if layer.activation is None or fused:
            return output
        return self.add_op(OpKind.HARD_SWISH, (output,), self.tensors[output].shape)

    def _squeeze_excite(self, layer: SqueezeExcite, x: int) -> int:
        """Add the four ops of squeeze-excite; the int8 output's saturation is the gate's hard sigmoid."""
        squeezed = self._convolution(layer.reduce, self._global_average(x))
        gate = self._convolution(layer.expand, squeezed)
        return self.add_op(OpKind.MUL, (x, gate), self.tensors[x].shape)

    def _global_average(self, x: int) -> int:
        """Add the average over the whole image.

        MEAN is not the default: it saves 16 bytes of arena an average and takes 60 more in the file and
        up to 1 KB of code; with CMSIS-NN it takes 59 instructions an element where the pool takes 5
        (``latency_coefficients.json``). One tensor of axes for all would save 12 bytes more, but then a
        block's bytes would depend on its neighbours.
        """
        _, rows, columns, width = self.tensors[x].shape
        shape = 1, 1, 1, width
        if self.average_kind is OpKind.MEAN:
            self.tensors.append(MEAN_AXES)
            return self.add_op(OpKind.MEAN, (x, len(self.tensors) - 1), shape)
        return self.add_op(self.average_kind, (x,), shape, window=(rows, columns), padding="VALID")

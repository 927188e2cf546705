"""Lowering: the int8 graph that an arch becomes on the device, as the exporter writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcofa.graph import MEAN_AXES, DType, Graph, Op, OpKind, Tensor
from mcofa.space.arch import Arch
from mcofa.space.search_space import Activation, GlobalAverage, SearchSpace, squeeze_width

BlockKey = tuple[int, int]
STEM: BlockKey = (-1, 0)
HEAD: BlockKey = (1_000, 0)

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


def lower_with_blocks(space: SearchSpace, arch: Arch) -> tuple[Graph, dict[BlockKey, range]]:
    """Return the graph and which ops each block became.

    A key is (stage, block), both from 0; everything before the stages is ``STEM`` and
    everything after them ``HEAD``.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    space.check(arch)
    net = _Builder((1, arch.resolution, arch.resolution, space.input_channels), space.global_average)
    blocks: dict[BlockKey, range] = {}

    stem = space.stem
    x = net.activate(*net.conv(0, stem.width, 3, stem.stride, stem.activation))
    width = stem.first_block_width
    x = net.inverted_residual(x, stem.width, width, 3, 1, stem.first_block_activation, False)
    blocks[STEM] = range(len(net.ops))

    for s, stage in enumerate(space.stages):
        for b, (kernel, expand) in enumerate(zip(arch.kernel_sizes[s], arch.expand_ratios[s], strict=True)):
            first_op = len(net.ops)
            hidden = space.hidden_width(width, expand)
            stride = stage.stride if b == 0 else 1
            x = net.inverted_residual(
                x, hidden, stage.width, kernel, stride, stage.activation, stage.squeeze_excite
            )
            width = stage.width
            blocks[s, b] = range(first_op, len(net.ops))

    first_op = len(net.ops)
    head = space.head
    x = net.activate(*net.conv(x, head.final_expand_width, activation=head.activation))
    x = net.global_average(x)
    x = net.activate(*net.conv(x, head.feature_width, activation=head.activation))
    x, _ = net.conv(x, space.classes)
    blocks[HEAD] = range(first_op, len(net.ops))
    return Graph(tuple(net.tensors), tuple(net.ops), (0,), (x,)), blocks


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

    def conv(
        self, x: int, width: int, kernel: int = 1, stride: int = 1, activation: Activation | None = None
    ) -> tuple[int, Activation | None]:
        """Add a convolution; return its output and the activation that is still to be applied."""
        _, rows, columns, channels = self.tensors[x].shape
        constants = self._constants((width, kernel, kernel, channels), width)
        return self._convolution(OpKind.CONV_2D, x, constants, width, (rows, columns), stride, activation)

    def depthwise(
        self, x: int, kernel: int, stride: int, activation: Activation
    ) -> tuple[int, Activation | None]:
        """Add a depthwise convolution; return as ``conv`` does."""
        _, rows, columns, width = self.tensors[x].shape
        constants = self._constants((1, kernel, kernel, width), width)
        kind = OpKind.DEPTHWISE_CONV_2D
        return self._convolution(kind, x, constants, width, (rows, columns), stride, activation)

    def _convolution(
        self,
        kind: OpKind,
        x: int,
        constants: tuple[int, int],
        width: int,
        side: tuple[int, int],
        stride: int,
        activation: Activation | None,
    ) -> tuple[int, Activation | None]:
        fused = activation == "relu"
        output = self.add_op(
            kind,
            (x, *constants),
            (1, -(-side[0] // stride), -(-side[1] // stride), width),
            stride=(stride, stride),
            activation="RELU" if fused else "NONE",
        )
        return output, None if fused else activation

    def activate(self, x: int, activation: Activation | None) -> int:
        """Add the activation that a convolution could not fuse."""
        return x if activation is None else self.add_op(OpKind.HARD_SWISH, (x,), self.tensors[x].shape)

    def global_average(self, x: int) -> int:
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

    def inverted_residual(
        self,
        x: int,
        hidden: int,
        width: int,
        kernel: int,
        stride: int,
        activation: Activation,
        squeeze_excite: bool,
    ) -> int:
        """Add expand (absent when it would not widen), depthwise, squeeze-excite, project and shortcut."""
        block_input, input_width = x, self.tensors[x].shape[3]
        if hidden != input_width:
            x = self.activate(*self.conv(x, hidden, activation=activation))
        x = self.activate(*self.depthwise(x, kernel, stride, activation))
        if squeeze_excite:
            x = self.squeeze_excite(x)
        x, _ = self.conv(x, width)
        if stride == 1 and input_width == width:
            x = self.add_op(OpKind.ADD, (block_input, x), self.tensors[x].shape)
        return x

    def squeeze_excite(self, x: int) -> int:
        """Add the four ops of squeeze-excite; the int8 output's saturation is the gate's hard sigmoid."""
        width = self.tensors[x].shape[3]
        squeezed, _ = self.conv(self.global_average(x), squeeze_width(width), activation="relu")
        gate, _ = self.conv(squeezed, width)
        return self.add_op(OpKind.MUL, (x, gate), self.tensors[x].shape)

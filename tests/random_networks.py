"""Models of many ops, drawn at random: chains with residuals, branches, gates, pads and pools."""

from __future__ import annotations

import numpy as np
from random_ops import ACTIVATIONS, Rng, _Model, _pick

LARGEST_SIDE = 13


def random_network(seed: int) -> bytes:
    """Return a model of 5 to 40 ops on an image of 1 to 13 rows, drawn at random with its weights."""
    rng = np.random.default_rng(seed)
    net = _Network(rng)
    x = net.image
    for _ in range(int(rng.integers(1, 6))):
        x = net.block(x)
    return net.model.build([net.image], [net.head(x)])


class _Network:
    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.model = _Model()
        sides = rng.integers(1, LARGEST_SIDE + 1, 2)
        self.image = self.model.activation(rng, (1, int(sides[0]), int(sides[1]), _pick(rng, 1, 3, 4)))

    def shape(self, x: int) -> tuple[int, int, int, int]:
        return tuple(self.model.tensors[x].shape)

    def block(self, x: int) -> int:
        kinds = [
            self.inverted_residual,
            self.inverted_residual,
            self.residual,
            self.branches,
            self.padded,
            self.pool,
            self.lookup,
            self.own_sum,
        ]
        return kinds[int(self.rng.integers(len(kinds)))](x)

    def inverted_residual(self, x: int) -> int:
        rng, width = self.rng, self.shape(x)[3]
        stride = _pick(rng, 1, 1, 2, 3)
        y = self.convolution(x, 1, 1, width * _pick(rng, 1, 2, 3))
        if rng.integers(2):
            y = self.lookup(y)
        y = self.depthwise(y, stride)
        if rng.integers(3) == 0:
            y = self.gate(y)
        y = self.convolution(y, 1, 1, width if stride == 1 else _pick(rng, 3, 4, 8))
        return self.add(x, y) if self.shape(x) == self.shape(y) else y

    def residual(self, x: int) -> int:
        rng, width, stride = self.rng, _pick(self.rng, 3, 4, 6), _pick(self.rng, 1, 1, 2)
        y = self.convolution(x, _pick(rng, 1, 3, 5), stride, width, same=True)
        y = self.convolution(y, _pick(rng, 1, 3), 1, width, same=True)
        if self.shape(x) != self.shape(y):
            x = self.convolution(x, 1, stride, width, same=True)
        return self.add(x, y)

    def branches(self, x: int) -> int:
        rng, width = self.rng, _pick(self.rng, 3, 5)
        one = self.convolution(x, _pick(rng, 1, 3, 5, 7), 1, width, same=True)
        other = self.convolution(x, 1, 1, width)
        if rng.integers(2):
            other = self.depthwise(other, 1, same=True)
        return self.add(one, other)

    def padded(self, x: int) -> int:
        rng, shape = self.rng, self.shape(x)
        pads = np.zeros((4, 2), np.int64)
        pads[1:3] = rng.integers(0, 3, (2, 2))
        if rng.integers(4) == 0:
            pads[3] = rng.integers(0, 3, 2)
        y = self.like(x, tuple(int(n) for n in np.array(shape) + pads.sum(1)))
        self.model.op("PAD", [x, self.model.indices(pads)], [y], table="PadOptions")
        return self.convolution(y, _pick(rng, 1, 2, 3), _pick(rng, 1, 2), _pick(rng, 3, 4))

    def pool(self, x: int) -> int:
        rng = self.rng
        _, rows, columns, width = self.shape(x)
        window, stride, valid = _pick(rng, 2, 3), _pick(rng, 1, 2, 3), bool(rng.integers(2))
        valid &= min(rows, columns) >= window
        y = self.like(x, (1, *_output((rows, columns), window, stride, valid), width))
        kind = ("AVERAGE_POOL_2D", "MAX_POOL_2D")[int(rng.integers(2))]
        self.model.op(
            kind, [x], [y], table="Pool2DOptions", strideH=stride, strideW=stride, filterHeight=window,
            filterWidth=window, padding=int(valid), fusedActivationFunction=_pick(rng, *ACTIVATIONS),
        )  # fmt: skip
        return y

    def lookup(self, x: int) -> int:
        y = self.model.activation(self.rng, self.shape(x))
        self.model.op("HARD_SWISH", [x], [y])
        return y

    def own_sum(self, x: int) -> int:
        return self.add(x, x)

    def gate(self, x: int) -> int:
        width = self.shape(x)[3]
        squeezed = self.convolution(self.average(x, keep=True), 1, 1, _pick(self.rng, 1, 2, 4))
        gate = self.convolution(squeezed, 1, 1, width)
        y = self.model.activation(self.rng, self.shape(x))
        self.model.scale(y, 0.5 * self.model.tensors[x].quantization.scale[0], int(self.rng.integers(-9, 9)))
        self.model.op("MUL", [x, gate], [y], table="MulOptions")
        return y

    def head(self, x: int) -> int:
        rng = self.rng
        chosen = int(rng.integers(4))
        if chosen == 0:
            return x
        if chosen == 1:
            y = self.like(x, (1, self.shape(x)[3]))
            self.model.op(
                "REDUCE_MAX", [x, self.model.indices([1, 2])], [y], table="ReducerOptions", keepDims=False
            )
        else:
            y = self.average(x, keep=False)
        depth, classes = self.shape(y)[-1], 3
        z = self.model.scale(self.model.tensor((1, classes)), 0.5, 3)
        weights = self.model.filter(rng, (classes, depth), 1, 0)
        self.model.op(
            "FULLY_CONNECTED", [y, weights, self.model.bias(rng, classes)], [z], table="FullyConnectedOptions"
        )
        return z

    def average(self, x: int, keep: bool) -> int:
        _, rows, columns, width = self.shape(x)
        if self.rng.integers(2) and keep:
            y = self.like(x, (1, 1, 1, width))
            self.model.op(
                "AVERAGE_POOL_2D", [x], [y], table="Pool2DOptions", strideH=1, strideW=1, filterHeight=rows,
                filterWidth=columns, padding=1,
            )  # fmt: skip
            return y
        y = self.model.activation(self.rng, (1, 1, 1, width) if keep else (1, width))
        self.model.op("MEAN", [x, self.model.indices([1, 2])], [y], table="ReducerOptions", keepDims=keep)
        return y

    def add(self, x: int, y: int) -> int:
        z = self.model.activation(self.rng, self.shape(y))
        pair = [x, y] if self.rng.integers(2) else [y, x]
        self.model.op(
            "ADD", pair, [z], table="AddOptions", fusedActivationFunction=_pick(self.rng, *ACTIVATIONS)
        )
        return z

    def convolution(self, x: int, kernel: int, stride: int, outputs: int, same: bool = False) -> int:
        valid, y = self._windowed(x, kernel, stride, outputs, same)
        weights = self.model.filter(self.rng, (outputs, kernel, kernel, self.shape(x)[3]), outputs, 0)
        self.model.op(
            "CONV_2D", [x, weights, self.model.bias(self.rng, outputs)], [y], table="Conv2DOptions",
            strideH=stride, strideW=stride, padding=int(valid), dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=_pick(self.rng, *ACTIVATIONS),
        )  # fmt: skip
        return y

    def depthwise(self, x: int, stride: int, same: bool = False) -> int:
        kernel, width = _pick(self.rng, 1, 2, 3, 5, 7), self.shape(x)[3]
        valid, y = self._windowed(x, kernel, stride, width, same)
        weights = self.model.filter(self.rng, (1, kernel, kernel, width), width, 3)
        self.model.op(
            "DEPTHWISE_CONV_2D", [x, weights, self.model.bias(self.rng, width)], [y],
            table="DepthwiseConv2DOptions", strideH=stride, strideW=stride, padding=int(valid),
            depthMultiplier=1, dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=_pick(self.rng, *ACTIVATIONS),
        )  # fmt: skip
        return y

    def _windowed(self, x: int, kernel: int, stride: int, outputs: int, same: bool) -> tuple[bool, int]:
        """Whether it is VALID, and the output."""
        _, rows, columns, _ = self.shape(x)
        valid = not same and min(rows, columns) >= kernel and bool(self.rng.integers(2))
        sizes = _output((rows, columns), kernel, stride, valid)
        return valid, self.model.activation(self.rng, (1, *sizes, outputs))

    def like(self, x: int, shape: tuple[int, ...]) -> int:
        y = self.model.tensor(shape)
        self.model.tensors[y].quantization = self.model.tensors[x].quantization
        return y


def _output(sides: tuple[int, int], window: int, stride: int, valid: bool) -> list[int]:
    return [-(-(side - window + 1) // stride) if valid else -(-side // stride) for side in sides]

"""Models of one op with random shapes, options, weights and scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tiny_models import ModelBuilder

Rng = np.random.Generator
ACTIVATIONS = (0, 1, 3)  # none, ReLU, ReLU6


class _Model(ModelBuilder):
    def scale(self, tensor: int, scales: Any, zero_point: int = 0) -> int:
        quantization = self.tensors[tensor].quantization
        quantization.scale = [float(scale) for scale in np.atleast_1d(scales)]
        quantization.zeroPoint = [zero_point] * len(quantization.scale)
        return tensor

    def activation(self, rng: Rng, shape: tuple[int, ...]) -> int:
        return self.scale(self.tensor(shape), rng.uniform(0.01, 0.2), int(rng.integers(-128, 128)))

    def filter(self, rng: Rng, shape: tuple[int, ...], scales: int, axis: int) -> int:
        values = rng.integers(-127, 128, shape, np.int8)
        return self.scale(self.tensor(shape, "int8", values, scales, axis), rng.uniform(0.001, 0.02, scales))

    def bias(self, rng: Rng, outputs: int) -> int:
        return self.tensor((outputs,), "int32", rng.integers(-5000, 5000, outputs), 0)

    def indices(self, values: Any) -> int:
        array = np.asarray(values, np.int32)
        return self.tensor(array.shape, "int32", array, 0)


def _pick(rng: Rng, *options: int) -> int:
    return int(rng.choice(options))


def convolution(rng: Rng) -> bytes:
    m = _Model()
    groups, valid = _pick(rng, 1, 1, 1, 2), bool(rng.integers(2))
    kernel, dilation = _pick(rng, 1, 2, 3, 5), _pick(rng, 1, 1, 2)
    stride = 1 if dilation > 1 else _pick(rng, 1, 2)
    side, depth, outputs = (
        int(rng.integers(9, 13)),
        groups * _pick(rng, 1, 3, 4, 6),
        groups * _pick(rng, 1, 4, 7),
    )
    window = (kernel - 1) * dilation + 1
    size = -(-(side - window + 1) // stride) if valid else -(-side // stride)
    x, y = m.activation(rng, (1, side, side, depth)), m.activation(rng, (1, size, size, outputs))
    weights = m.filter(rng, (outputs, kernel, kernel, depth // groups), outputs, 0)
    inputs = [x, weights, m.bias(rng, outputs)]
    m.op(
        "CONV_2D", inputs, [y], table="Conv2DOptions", strideH=stride, strideW=stride, padding=int(valid),
        dilationHFactor=dilation, dilationWFactor=dilation, fusedActivationFunction=_pick(rng, *ACTIVATIONS),
    )  # fmt: skip
    return m.build([x], [y])


def depthwise(rng: Rng) -> bytes:
    m = _Model()
    repeats, valid, kernel, stride = (
        _pick(rng, 1, 1, 1, 2),
        bool(rng.integers(2)),
        _pick(rng, 1, 3, 5, 7),
        _pick(rng, 1, 2),
    )
    rows, columns, depth = int(rng.integers(7, 12)), int(rng.integers(7, 12)), _pick(rng, 1, 4, 7, 12)
    sizes = [-(-(n - kernel + 1) // stride) if valid else -(-n // stride) for n in (rows, columns)]
    outputs = depth * repeats
    x, y = m.activation(rng, (1, rows, columns, depth)), m.activation(rng, (1, *sizes, outputs))
    weights = m.filter(rng, (1, kernel, kernel, outputs), outputs, 3)
    m.op(
        "DEPTHWISE_CONV_2D", [x, weights, m.bias(rng, outputs)], [y], table="DepthwiseConv2DOptions",
        strideH=stride, strideW=stride, padding=int(valid), depthMultiplier=repeats, dilationHFactor=1,
        dilationWFactor=1, fusedActivationFunction=_pick(rng, *ACTIVATIONS),
    )  # fmt: skip
    return m.build([x], [y])


def fully_connected(rng: Rng) -> bytes:
    m = _Model()
    rows, depth, outputs = _pick(rng, 1, 1, 3), int(rng.integers(1, 40)), int(rng.integers(2, 12))
    x, y = m.activation(rng, (rows, depth)), m.activation(rng, (rows, outputs))
    weights = m.filter(rng, (outputs, depth), _pick(rng, 1, outputs), 0)
    bias = m.bias(rng, outputs) if rng.integers(3) else -1
    m.op(
        "FULLY_CONNECTED", [x, weights, bias], [y], table="FullyConnectedOptions",
        fusedActivationFunction=_pick(rng, *ACTIVATIONS),
    )  # fmt: skip
    return m.build([x], [y])


def elementwise(kind: str) -> Callable[[Rng], bytes]:
    def model(rng: Rng) -> bytes:
        m = _Model()
        shape = (1, int(rng.integers(2, 6)), int(rng.integers(2, 6)), int(rng.integers(1, 9)))
        others = [shape, (1, 1, 1, shape[3]), (1, *shape[1:3], 1), (1, 1, 1, 1), (1, shape[1], 1, shape[3])]
        other = others[int(rng.integers(len(others)))]
        x = m.activation(rng, shape)
        if rng.integers(3):
            z, inputs = m.activation(rng, other), [x]
            inputs.append(z)
        else:
            z, inputs = m.filter(rng, other, 1, 0), [x]
        pair = [x, z] if rng.integers(2) else [z, x]
        y = m.activation(rng, shape)
        if kind == "MUL":  # one rounding of the factor in float more or less must not matter
            m.scale(y, 0.5 * m.tensors[x].quantization.scale[0], int(rng.integers(-128, 128)))
        m.op(
            kind,
            pair,
            [y],
            table=f"{kind.capitalize()}Options",
            fusedActivationFunction=_pick(rng, *ACTIVATIONS),
        )
        return m.build(inputs, [y])

    return model


def leaky_relu(rng: Rng) -> bytes:
    """Slopes below 0 and above 1 too."""
    m = _Model()
    shape = (1, 5, 5, int(rng.integers(1, 9)))
    x, y = m.activation(rng, shape), m.activation(rng, shape)
    m.op("LEAKY_RELU", [x], [y], table="LeakyReluOptions", alpha=float(rng.uniform(-2, 3)))
    return m.build([x], [y])


def reduction(kind: str) -> Callable[[Rng], bytes]:
    def model(rng: Rng) -> bytes:
        m = _Model()
        shape = (1, int(rng.integers(2, 9)), int(rng.integers(2, 9)), int(rng.integers(1, 9)))
        axes = [[1, 2], [1], [3], [2, 3], [1, 2, 3], [-1], [1, 3]][int(rng.integers(7))]
        keep = bool(rng.integers(2))
        kept = {axis % 4 for axis in axes}
        output = [1 if a in kept else n for a, n in enumerate(shape) if keep or a not in kept]
        x, y = m.activation(rng, shape), m.activation(rng, tuple(output))
        if kind == "REDUCE_MAX":
            m.tensors[y].quantization = m.tensors[x].quantization
        m.op(kind, [x, m.indices(axes)], [y], table="ReducerOptions", keepDims=keep)
        return m.build([x], [y])

    return model


def pool(kind: str) -> Callable[[Rng], bytes]:
    def model(rng: Rng) -> bytes:
        m = _Model()
        window, stride, valid = _pick(rng, 2, 3, 4), _pick(rng, 1, 2), bool(rng.integers(2))
        side, depth = int(rng.integers(5, 10)), int(rng.integers(1, 7))
        size = -(-(side - window + 1) // stride) if valid else -(-side // stride)
        x = m.activation(rng, (1, side, side, depth))
        y = m.tensor((1, size, size, depth))
        m.tensors[y].quantization = m.tensors[x].quantization
        m.op(
            kind, [x], [y], table="Pool2DOptions", strideH=stride, strideW=stride, filterHeight=window,
            filterWidth=window, padding=int(valid), fusedActivationFunction=_pick(rng, *ACTIVATIONS),
        )  # fmt: skip
        return m.build([x], [y])

    return model


def softmax(rng: Rng) -> bytes:
    m = _Model()
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 30)))
    x, y = m.scale(m.tensor(shape), rng.uniform(0.005, 1.0), 3), m.scale(m.tensor(shape), 1 / 256, -128)
    m.op("SOFTMAX", [x], [y], table="SoftmaxOptions", beta=float(_pick(rng, 1, 1, 2)))
    return m.build([x], [y])


def lookup(kind: str) -> Callable[[Rng], bytes]:
    def model(rng: Rng) -> bytes:
        m = _Model()
        shape = (1, 5, 5, int(rng.integers(1, 9)))
        x = m.activation(rng, shape)
        fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
        y = m.scale(m.tensor(shape), *fixed[kind]) if kind in fixed else m.activation(rng, shape)
        options = {"table": "QuantizeOptions"} if kind == "QUANTIZE" else {}
        m.op(kind, [x], [y], **options)
        return m.build([x], [y])

    return model


def unsigned(source: str, output: str) -> Callable[[Rng], bytes]:
    """QUANTIZE at the border of a network that others feed with uint8, or read uint8 from."""

    def model(rng: Rng) -> bytes:
        m = _Model()
        shape = (1, 5, 4, 3)
        ends = []
        for dtype in (source, output):
            zero_point = int(rng.integers(0, 256) if dtype == "uint8" else rng.integers(-128, 128))
            ends.append(m.scale(m.tensor(shape, dtype), rng.uniform(0.01, 0.2), zero_point))
        m.op("QUANTIZE", ends[:1], ends[1:], table="QuantizeOptions")
        return m.build(ends[:1], ends[1:])

    return model


def from_float(rng: Rng) -> bytes:
    m = _Model()
    x, y = m.tensor((1, 4, 4, 3), "float32", scales=0), m.activation(rng, (1, 4, 4, 3))
    m.op("QUANTIZE", [x], [y], table="QuantizeOptions")
    return m.build([x], [y])


def to_float(rng: Rng) -> bytes:
    m = _Model()
    x, y = m.activation(rng, (1, 4, 4, 3)), m.tensor((1, 4, 4, 3), "float32", scales=0)
    m.op("DEQUANTIZE", [x], [y], table="DequantizeOptions")
    return m.build([x], [y])


def pad(rng: Rng) -> bytes:
    m = _Model()
    shape = (1, *(int(n) for n in rng.integers(1, 6, 3)))
    pads = rng.integers(0, 3, (4, 2))
    pads[0] = 0
    output = tuple(int(n) for n in np.array(shape) + pads.sum(1))
    x = m.activation(rng, shape)
    y = m.tensor(output)
    m.tensors[y].quantization = m.tensors[x].quantization
    m.op("PAD", [x, m.indices(pads)], [y], table="PadOptions")
    return m.build([x], [y])


def transpose(rng: Rng) -> bytes:
    m = _Model()
    shape = (1, *(int(n) for n in rng.integers(1, 6, 3)))
    order = [int(axis) for axis in rng.permutation(4)]
    x = m.activation(rng, shape)
    y = m.tensor(tuple(shape[axis] for axis in order))
    m.tensors[y].quantization = m.tensors[x].quantization
    m.op("TRANSPOSE", [x, m.indices(order)], [y], table="TransposeOptions")
    return m.build([x], [y])


def kept_reshape(rng: Rng) -> bytes:
    """A RESHAPE that cannot work in place: its input is read again, by an ADD of both."""
    m = _Model()
    x = m.activation(rng, (1, 2, 3, 4))
    y, flat, sum_ = m.activation(rng, (1, 2, 3, 4)), m.tensor((1, 24)), m.activation(rng, (1, 24))
    again = m.tensor((1, 24))
    m.op("HARD_SWISH", [x], [y])
    m.tensors[flat].quantization = m.tensors[again].quantization = m.tensors[y].quantization
    m.op("RESHAPE", [y, m.indices([1, 24])], [flat], table="ReshapeOptions", newShape=[1, 24])
    m.op("RESHAPE", [y, m.indices([1, 24])], [again], table="ReshapeOptions", newShape=[1, 24])
    m.op("ADD", [flat, again], [sum_], table="AddOptions")
    return m.build([x], [sum_])


def renamed_twice(kind: str, shape: tuple[int, ...], renamed: tuple[int, ...]) -> Callable[[Rng], bytes]:
    """One of two copies under another shape can lie where the input does."""

    def model(rng: Rng) -> bytes:
        m = _Model()
        x = m.activation(rng, shape)
        ends = [m.tensor(renamed) for _ in range(2)]
        for y in ends:
            m.tensors[y].quantization = m.tensors[x].quantization
            inputs = [x, m.tensor((), "int32", [2], 0)] if kind == "EXPAND_DIMS" else [x]
            options = {"squeezeDims": [2]} if kind == "SQUEEZE" else {}
            m.op(
                kind,
                inputs,
                [y],
                table={"SQUEEZE": "SqueezeOptions"}.get(kind, "ExpandDimsOptions"),
                **options,
            )
        z = m.activation(rng, renamed)
        m.op("ADD", ends, [z], table="AddOptions")
        return m.build([x], [z])

    return model


OPS: dict[str, Callable[[Rng], bytes]] = {
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": fully_connected,
    "ADD": elementwise("ADD"),
    "SUB": elementwise("SUB"),
    "MUL": elementwise("MUL"),
    "MEAN": reduction("MEAN"),
    "SUM": reduction("SUM"),
    "REDUCE_MAX": reduction("REDUCE_MAX"),
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": pool("MAX_POOL_2D"),
    "SOFTMAX": softmax,
    "HARD_SWISH": lookup("HARD_SWISH"),
    "LOGISTIC": lookup("LOGISTIC"),
    "RELU": lookup("RELU"),
    "RELU6": lookup("RELU6"),
    "LEAKY_RELU": leaky_relu,
    "TANH": lookup("TANH"),
    "ABS": lookup("ABS"),
    "QUANTIZE": lookup("QUANTIZE"),
    "QUANTIZE float": from_float,
    "QUANTIZE uint8": unsigned("uint8", "int8"),
    "QUANTIZE to uint8": unsigned("int8", "uint8"),
    "DEQUANTIZE": to_float,
    "PAD": pad,
    "TRANSPOSE": transpose,
    "RESHAPE": kept_reshape,
    "SQUEEZE": renamed_twice("SQUEEZE", (1, 4, 1, 6), (1, 4, 6)),
    "EXPAND_DIMS": renamed_twice("EXPAND_DIMS", (1, 4, 6), (1, 4, 1, 6)),
}

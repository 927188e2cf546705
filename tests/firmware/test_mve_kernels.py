"""The kernels with MVE, in the emulator, byte by byte against LiteRT's reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emulated_c import run_emulated
from random_ops import Rng, _Model

SEED = 55
DEPTHS = (1, 2, 3, 8, 15, 16, 17, 24, 31, 32, 40)
OUTPUTS = (1, 2, 3, 4, 5, 8, 11)
CHANNELS = (1, 3, 7, 8, 15, 16, 17, 24, 31, 32, 41)
WINDOWS = ((1, 1), (2, 2), (3, 3), (1, 4), (5, 5), (3, 7), (9, 1))
SCALES = ("usual", "shifts to the left", "sums beyond 2^30", "weights of -128")


def weights_of(
    m: _Model, rng: Rng, shape: tuple[int, ...], outputs: int, axis: int, kind: str, unit: float
) -> int:
    """A filter and the scales that a kind of channel has; with the scale ``unit`` a factor is 1."""
    values = rng.integers(-127, 128, shape, np.int8)
    scales = rng.uniform(0.001, 0.02, outputs)
    if kind == "shifts to the left":
        values = (rng.integers(-1, 2, shape) * (rng.random(shape) < 0.1)).astype(np.int8)
        scales[::2] = unit * rng.uniform(0.4, 3, len(scales[::2]))
    if kind == "sums beyond 2^30":
        scales[::2] = rng.uniform(1e-9, 1e-7, len(scales[::2]))
    if kind == "weights of -128":
        values[rng.random(shape) < 0.5] = -128
    return m.scale(m.tensor(shape, "int8", values, outputs, axis), scales)


def bias_of(m: _Model, rng: Rng, outputs: int, kind: str) -> int:
    largest = {"sums beyond 2^30": 2_000_000_000, "shifts to the left": 40}.get(kind, 5_000)
    return m.tensor((outputs,), "int32", rng.integers(-largest, largest, outputs), 0)


def convolution(
    rng: Rng, window: tuple[int, int], channels: int, outputs: int, kind: str, *, depthwise: bool = False
) -> bytes:
    m = _Model()
    batches, stride, valid = 1 + int(rng.integers(4) == 0), int(rng.integers(1, 4)), bool(rng.integers(2))
    sides = [int(rng.integers(size, size + 7)) for size in window]
    sizes = [
        -(-(n - k + 1) // stride) if valid else -(-n // stride) for n, k in zip(sides, window, strict=True)
    ]
    x = m.activation(rng, (batches, *sides, channels))
    y = m.activation(rng, (batches, *sizes, outputs))
    unit = m.tensors[y].quantization.scale[0] / m.tensors[x].quantization.scale[0]
    shape = (1, *window, outputs) if depthwise else (outputs, *window, channels)
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    more = {"depthMultiplier": 1} if depthwise else {}
    weights = weights_of(m, rng, shape, outputs, 3 if depthwise else 0, kind, unit)
    m.op(
        name, [x, weights, bias_of(m, rng, outputs, kind)], [y],
        table="DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", strideH=stride, strideW=stride,
        padding=int(valid), dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=int(rng.choice([0, 1, 3])), **more,
    )  # fmt: skip
    return m.build([x], [y])


def fully_connected(rng: Rng, depth: int, outputs: int) -> bytes:
    m = _Model()
    rows = int(rng.integers(1, 4))
    x, y = m.activation(rng, (rows, depth)), m.activation(rng, (rows, outputs))
    weights = m.filter(rng, (outputs, depth), int(rng.choice([1, outputs])), 0)
    bias = m.tensor((outputs,), "int32", rng.integers(-5_000, 5_000, outputs))
    m.scale(bias, m.tensors[x].quantization.scale[0] * m.tensors[weights].quantization.scale[0])
    m.op("FULLY_CONNECTED", [x, weights, bias], [y], table="FullyConnectedOptions")
    return m.build([x], [y])


def element_wise(rng: Rng, other: tuple[int, ...], name: str) -> bytes:
    m = _Model()
    shape = (1, 3, 5, 7)
    x, y = m.activation(rng, shape), m.activation(rng, shape)
    constant = rng.integers(-128, 128, other, np.int8)
    z = m.scale(m.tensor(other, "int8", constant), rng.uniform(0.01, 0.2), int(rng.integers(-128, 128)))
    if rng.integers(2):
        m.tensors[z].quantization.scale = m.tensors[x].quantization.scale
    if name == "MUL":  # one rounding of the factor in float more or less must not matter
        m.scale(y, 0.5 * m.tensors[x].quantization.scale[0], int(rng.integers(-128, 128)))
    pair = [x, z] if rng.integers(2) else [z, x]
    m.op(
        name,
        pair,
        [y],
        table=f"{name.capitalize()}Options",
        fusedActivationFunction=int(rng.choice([0, 1, 3])),
    )
    return m.build([x], [y])


def models() -> dict[str, bytes]:
    """A model for every depth, number of outputs and window, and each kind of scales."""
    rng, found = np.random.default_rng(SEED), {}
    for i, depth in enumerate(DEPTHS):
        for kind in SCALES:
            outputs, window = OUTPUTS[(i + len(found)) % len(OUTPUTS)], WINDOWS[len(found) % len(WINDOWS)]
            found[f"conv 1x1 {depth} {outputs} {kind}"] = convolution(rng, (1, 1), depth, outputs, kind)
            found[f"conv {window} {depth} {outputs} {kind}"] = convolution(rng, window, depth, outputs, kind)
    for i, channels in enumerate(CHANNELS):
        for kind in SCALES:
            window = WINDOWS[(i + len(found)) % len(WINDOWS)]
            found[f"depthwise {window} {channels} {kind}"] = convolution(
                rng, window, channels, channels, kind, depthwise=True
            )
    for depth in (1, 15, 16, 17, 50):
        for outputs in (1, 3, 4, 6):
            found[f"fully connected {depth} {outputs}"] = fully_connected(rng, depth, outputs)
    for name in ("ADD", "SUB", "MUL"):
        for other in ((1, 3, 5, 7), (1, 1, 1, 7), (1, 3, 5, 1), (1, 1, 1, 1)):
            found[f"{name} {other}"] = element_wise(rng, other, name)
    return found


@pytest.mark.emulator
@pytest.mark.parametrize("optimization", ["-O2", "-O0"])
def test_kernels_with_mve_equal_litert_and_read_nothing_behind_the_arena(
    optimization: str, tmp_path: Path
) -> None:
    every = models()
    found = run_emulated(every, tmp_path, optimization)
    assert {name: found.get(name, "not run") for name in every} == dict.fromkeys(every, "same")

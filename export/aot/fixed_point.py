"""Real factors as integers, as LiteRT's Prepare functions make them.

Source: tensorflow/lite/kernels/internal/quantization_util.cc and kernel_util.cc.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_SMALLEST_SHIFT = -31
_WIDE_BITS = 31


def multiplier_and_shift(factor: float) -> tuple[int, int]:
    """Return (multiplier, shift) with factor ≈ multiplier / 2^31 · 2^shift; 0 below 2^-32."""
    if factor == 0:
        return 0, 0
    fraction, shift = math.frexp(factor)
    multiplier = _round(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < _SMALLEST_SHIFT else (multiplier, shift)


def wide_multiplier_and_shift(factor: float) -> tuple[int, int]:
    """Return (multiplier, shift) with factor ≈ multiplier / 2^shift, both positive.

    The multiplier has at most 31 bits more than an int32 product needs, and the shift is at most 62.
    """
    _, exponent = math.frexp(factor)
    shift = min(_WIDE_BITS - exponent, 62)
    return _round(factor * 2.0**shift), shift


def convolution_factors(
    source: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], output: npt.NDArray[np.float32]
) -> list[float]:
    """Return source scale · filter scale / output scale for each filter scale, in double precision."""
    return [float(source[0]) * float(scale) / float(output[0]) for scale in weights]


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """Return the int8 range that a fused activation leaves."""
    lowest, highest = {
        "NONE": (-math.inf, math.inf),
        "RELU": (0.0, math.inf),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }[activation]

    def quantized(value: float) -> int:
        return zero_point + _round(float(np.float32(value) / np.float32(scale)))

    return (
        -128 if math.isinf(lowest) else max(-128, quantized(lowest)),
        127 if math.isinf(highest) else min(127, quantized(highest)),
    )


def _round(value: float) -> int:
    """Round to the nearest integer, ties away from zero, as C does."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)

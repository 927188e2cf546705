"""Constants of convolutions in the order in which kernels read them, which depends on the core.

The headers of ``firmware_templates/aot/nn`` describe it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mcofa.graph import OpKind
from mcofa.ops import Extension, Target

Value = int | float | Sequence[int] | npt.NDArray[Any]
Weights = npt.NDArray[Any]
_TAKE_PIXELS = frozenset({"nn_conv_2d", "nn_conv_2d_1x1"})
_OVER_INPUT = "nn_depthwise_over_input"
_STREAMED = ("filter", "bias", "multiplier", "shift")
_WIDE = 64
_LARGEST_SUM = 1 << 30
_LARGEST_VALUE = 256
_MVE_BLOCK = 16


def in_kernel_order(kind: OpKind, kernel: str, fields: dict[str, Value], on: Target) -> dict[str, Value]:
    """Return the ``fields`` of an op as its ``kernel`` reads them on the target ``on``."""
    if kernel not in _TAKE_PIXELS | {"nn_depthwise", _OVER_INPUT}:
        return fields
    mve = on.extension is Extension.MVE and kernel != _OVER_INPUT
    fields = _for_mve(fields) if mve else {**fields, "shift": _mark_wide(kind, fields)}
    if kernel in _TAKE_PIXELS:
        return _for_pixels(fields, _mve_blocks if mve else _fours)
    return _for_mve_depthwise(fields) if mve else fields


def _mark_wide(kind: OpKind, fields: Mapping[str, Value]) -> npt.NDArray[np.int32]:
    """Return the shifts with ``NN_WIDE`` of ``nn_four.h`` added where a sum may reach 2^30.

    Such channels have tiny scales, and so large biases: dead ones of trained networks.
    """
    weights, bias, shift = (np.asarray(fields[name]) for name in ("filter", "bias", "shift"))
    axes = (0, 1, 2) if kind is OpKind.DEPTHWISE_CONV_2D else (1, 2, 3)
    largest = np.abs(bias.astype(np.int64)) + _LARGEST_VALUE * np.abs(weights.astype(np.int64)).sum(axes)
    return np.where(largest >= _LARGEST_SUM, shift + _WIDE, shift).astype(np.int32)


def _for_pixels(
    fields: Mapping[str, Value], in_order: Callable[[Weights], list[Weights]]
) -> dict[str, Value]:
    """Put filter, bias, multipliers and shifts into one stream, as ``nn_four.h`` describes it."""
    weights, bias, multiplier, shift = (np.asarray(fields[name]) for name in _STREAMED)
    outputs = len(bias)
    weights = weights.reshape(outputs, -1)
    bias = bias + fields["input_offset"] * weights.sum(1, dtype=np.int32)
    padding = bytes(-weights.shape[1] % 4)
    stream: list[bytes | npt.NDArray[Any]] = []
    for first in range(0, outputs - outputs % 4, 4):
        group = slice(first, first + 4)
        stream += [bias[group], *in_order(weights[group]), multiplier[group], shift[group]]
    for one in range(outputs - outputs % 4, outputs):
        stream += [bias[one], weights[one], padding, multiplier[one], shift[one]]
    packed = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in stream)
    others = {name: value for name, value in fields.items() if name not in _STREAMED}
    return {**others, "filter": np.frombuffer(packed, np.int8)}


def _fours(weights: Weights) -> list[Weights]:
    """Take four weights of each output in turns, (4, depth); what remains one by one."""
    whole = weights.shape[1] // 4 * 4
    return [weights[:, :whole].reshape(4, -1, 4).transpose(1, 0, 2), weights[:, whole:].T]


def _mve_blocks(weights: Weights) -> list[Weights]:
    """Take 16 weights of each output in turns, (4, depth); what remains, 1 to 16, too."""
    return [weights[:, at : at + _MVE_BLOCK] for at in range(0, weights.shape[1], _MVE_BLOCK)]


def _for_mve_depthwise(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Let the bias hold what the input offset adds."""
    weights, bias = np.asarray(fields["filter"]), np.asarray(fields["bias"])
    offset = fields["input_offset"] * weights.reshape(-1, len(bias)).sum(0, dtype=np.int32)
    return {**fields, "bias": (bias + offset).astype(np.int32)}


def _for_mve(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Say whether the short way is exact: two products fit 16 bits, and every shift is to the right."""
    weights, multiplier, shift = (np.asarray(fields[name]) for name in ("filter", "multiplier", "shift"))
    shift = np.where(multiplier == 0, -1, shift).astype(np.int32)
    simple = weights.min() > np.iinfo(np.int8).min and shift.max() < 0
    return {**fields, "shift": shift, "simple": int(simple)}

"""Ops → calls of kernels: every number a kernel needs, worked out as LiteRT's Prepare functions do.

Source: tensorflow/lite/kernels/*.cc and kernels/internal/reference, of the LiteRT that the
tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.aot.fixed_point import (
    activation_range,
    convolution_factors,
    multiplier_and_shift,
    wide_multiplier_and_shift,
)
from export.aot.lookup import lookup_table
from export.aot.network import Network, Scaling
from export.aot.packing import Value, in_kernel_order
from export.aot.shapes import broadcast, reduced, strided_copy
from mcofa.errors import UnsupportedOpError
from mcofa.graph import Op, OpKind, Tensor
from mcofa.ops import LOOKUP, OPERATORS, Target, window_padding

_LARGEST_INT16 = (1 << 15) - 1
_ADD_LEFT_SHIFT = 20
_SOFTMAX_INTEGER_BITS = 5


@dataclass(frozen=True, slots=True)
class Call:
    """What a kernel is called with, besides tensors: a struct of constants, or a table.

    ``struct`` is the C type of ``fields``, whose arrays become constants of their own. A call
    without struct is that of a lookup with ``table``.
    """

    kernel: str
    struct: str
    fields: Mapping[str, Value]
    table: npt.NDArray[np.int8] | None = None


class _Operands:
    """The tensors of one op with their scalings, by role."""

    def __init__(self, network: Network, position: int) -> None:
        self.network = network
        self.position = position
        self.op: Op = network.graph.ops[position]

    def input(self, at: int = 0) -> Tensor:
        return self.network.graph.tensors[self.op.inputs[at]]

    @property
    def output(self) -> Tensor:
        return self.network.graph.tensors[self.op.outputs[0]]

    def scaling(self, at: int = 0) -> Scaling:
        return self.network.scalings[self.op.inputs[at]]

    @property
    def output_scaling(self) -> Scaling:
        return self.network.scalings[self.op.outputs[0]]

    def constant(self, at: int) -> npt.NDArray[Any]:
        return self.network.constants[self.op.inputs[at]]

    def bias(self, outputs: int) -> npt.NDArray[np.int32]:
        """The bias, zeros if there is none."""
        if len(self.op.inputs) < 3 or self.op.inputs[2] < 0:
            return np.zeros(outputs, np.int32)
        return self.constant(2).astype(np.int32)

    def range_fields(self) -> dict[str, int]:
        """The output's zero point and what the fused activation leaves of int8."""
        scaling = self.output_scaling
        minimum, maximum = activation_range(self.op.activation, scaling.scale, scaling.zero_point)
        return {"output_offset": scaling.zero_point, "minimum": minimum, "maximum": maximum}


def lower_op(network: Network, position: int, kernel: str, on: Target) -> Call:
    """Return the call of ``kernel`` that runs op ``position`` on the target ``on``.

    Raises:
        UnsupportedOpError: a dimension is too large for the kernel.
    """
    operands = _Operands(network, position)
    if kernel == LOOKUP.name:
        table = lookup_table(network.data, position)
        return Call(kernel, "", {"items": operands.output.items}, table)
    struct = OPERATORS[operands.op.kind].aot.struct
    fields = _LOWERINGS[operands.op.kind](operands)
    fields = in_kernel_order(operands.op.kind, kernel, fields, on)
    if struct in ("nn_convolution_t", "nn_pool_t"):
        _check_int16(operands.op, fields)
    return Call(kernel, struct, fields)


def _check_int16(op: Op, fields: Mapping[str, Value]) -> None:
    for name, value in fields.items():
        if isinstance(value, int) and value > _LARGEST_INT16:
            raise UnsupportedOpError(
                f"engine aot: {name} of a {op.kind} is {value}, more than {_LARGEST_INT16}",
                "use `--engine tflm` or a smaller network",
            )


def _window_fields(operands: _Operands, window: tuple[int, int]) -> dict[str, Value]:
    op, source, output = operands.op, operands.input().shape, operands.output.shape
    above, left = window_padding(source, (1, *window, 1), op)
    return {
        "batches": source[0],
        "input_height": source[1],
        "input_width": source[2],
        "output_height": output[1],
        "output_width": output[2],
        "stride_height": op.stride[0],
        "stride_width": op.stride[1],
        "pad_above": above,
        "pad_left": left,
    }


def _convolution(operands: _Operands) -> dict[str, Value]:
    weights = operands.constant(1)
    outputs = operands.output.shape[3]
    source = operands.scaling()
    filter_scales = np.broadcast_to(operands.scaling(1).scales, (outputs,))
    factors = convolution_factors(source.scales, filter_scales, operands.output_scaling.scales)
    multipliers, shifts = np.array([multiplier_and_shift(factor) for factor in factors], np.int32).T
    return {
        "filter": weights,
        "bias": operands.bias(outputs),
        "multiplier": multipliers,
        "shift": shifts,
        **_window_fields(operands, weights.shape[1:3]),
        "input_channels": operands.input().shape[3],
        "output_channels": outputs,
        "filter_height": weights.shape[1],
        "filter_width": weights.shape[2],
        "filter_channels": weights.shape[3],
        "dilation_height": operands.op.dilation[0],
        "dilation_width": operands.op.dilation[1],
        "input_offset": -source.zero_point,
        "padding": source.zero_point,
        **operands.range_fields(),
    }


def _fully_connected(operands: _Operands) -> dict[str, Value]:
    weights = operands.constant(1)
    outputs, depth = weights.shape
    source, filters = operands.scaling(), operands.scaling(1)
    factors = convolution_factors(source.scales, filters.scales, operands.output_scaling.scales)
    wide = [wide_multiplier_and_shift(factor) for factor in factors]
    return {
        "filter": weights,
        "bias": operands.bias(outputs)
        - source.zero_point * (weights.astype(np.int32) - filters.zero_point).sum(1, dtype=np.int32),
        "multiplier": np.array([multiplier for multiplier, _ in wide], np.int64),
        "shift": np.array([shift for _, shift in wide], np.int32),
        "rows": operands.input().items // depth,
        "depth": depth,
        "outputs": outputs,
        "per_output": int(len(factors) > 1),
        "filter_offset": -filters.zero_point,
        **operands.range_fields(),
    }


def _add(operands: _Operands) -> dict[str, Value]:
    one, two = operands.scaling(0), operands.scaling(1)
    twice = 2 * max(one.scale, two.scale)
    multiplier_1, shift_1 = multiplier_and_shift(one.scale / twice)
    multiplier_2, shift_2 = multiplier_and_shift(two.scale / twice)
    multiplier, shift = multiplier_and_shift(twice / ((1 << _ADD_LEFT_SHIFT) * operands.output_scaling.scale))
    return {
        **_broadcast_fields(operands),
        "multiplier_1": multiplier_1,
        "shift_1": shift_1,
        "multiplier_2": multiplier_2,
        "shift_2": shift_2,
        "multiplier": multiplier,
        "shift": shift,
        "sign_2": 1 if operands.op.kind is OpKind.ADD else -1,
        **operands.range_fields(),
    }


def _mul(operands: _Operands) -> dict[str, Value]:
    one, two, output = operands.scaling(0), operands.scaling(1), operands.output_scaling
    factor = float(one.scales[0] * two.scales[0] / output.scales[0])
    multiplier, shift = multiplier_and_shift(factor)
    return {
        **_broadcast_fields(operands),
        "multiplier": multiplier,
        "shift": shift,
        **operands.range_fields(),
    }


def _broadcast_fields(operands: _Operands) -> dict[str, Value]:
    sizes, strides_1, strides_2 = broadcast(
        operands.input(0).shape, operands.input(1).shape, operands.output.shape
    )
    return {
        "shape.size": sizes,
        "shape.stride_1": strides_1,
        "shape.stride_2": strides_2,
        "offset_1": -operands.scaling(0).zero_point,
        "offset_2": -operands.scaling(1).zero_point,
    }


def _reduce(operands: _Operands) -> dict[str, Value]:
    source, output = operands.scaling(), operands.output_scaling
    axes = [int(axis) for axis in operands.constant(1).ravel()]
    kept, kept_strides, sizes, strides = reduced(operands.input().shape, axes)
    count = math.prod(sizes)
    multiplier, shift = multiplier_and_shift(source.scale / output.scale)
    if operands.op.kind is OpKind.MEAN:
        bits = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << bits) // count, shift - bits
    return {
        "kept": kept,
        "kept_stride": kept_strides,
        "reduced": sizes,
        "reduced_stride": strides,
        "sum_offset": -source.zero_point * count,
        "multiplier": multiplier,
        "shift": shift,
        "output_offset": output.zero_point,
    }


def _reduce_max(operands: _Operands) -> dict[str, Value]:
    source, output = operands.scaling(), operands.output_scaling
    if (source.scale, source.zero_point) != (output.scale, output.zero_point):
        raise UnsupportedOpError(
            f"engine aot: {operands.op.kind} has another quantization in its output than in its input",
            "convert the model again: TensorFlow Lite's converter gives both the same",
        )
    axes = [int(axis) for axis in operands.constant(1).ravel()]
    kept, kept_strides, sizes, strides = reduced(operands.input().shape, axes)
    return {"kept": kept, "kept_stride": kept_strides, "reduced": sizes, "reduced_stride": strides}


def _pool(operands: _Operands) -> dict[str, Value]:
    bounds = operands.range_fields()
    return {
        **_window_fields(operands, operands.op.window),
        "channels": operands.input().shape[3],
        "window_height": operands.op.window[0],
        "window_width": operands.op.window[1],
        "minimum": bounds["minimum"],
        "maximum": bounds["maximum"],
    }


def _softmax(operands: _Operands) -> dict[str, Value]:
    depth = operands.input().shape[-1]
    fraction_bits = 31 - _SOFTMAX_INTEGER_BITS
    beta = operands.network.betas[operands.position]
    factor = min(beta * operands.scaling().scale * (1 << fraction_bits), (1 << 31) - 1.0)
    multiplier, shift = multiplier_and_shift(factor)
    radius = math.floor(((1 << _SOFTMAX_INTEGER_BITS) - 1) * (1 << fraction_bits) / (1 << shift))
    return {
        "rows": operands.input().items // depth,
        "depth": depth,
        "multiplier": multiplier,
        "shift": shift,
        "smallest_difference": -radius,
    }


def _copy(operands: _Operands) -> dict[str, Value]:
    source, output = operands.input(), operands.output
    item_bytes = source.dtype.item_bytes
    if OPERATORS[operands.op.kind].aot.in_place_is_nothing:
        return _copy_fields((1,), (0,), 0, source.bytes, source.bytes)
    strides = [item_bytes * math.prod(output.shape[axis + 1 :]) for axis in range(len(output.shape))]
    if operands.op.kind is OpKind.TRANSPOSE:
        order = [int(axis) for axis in operands.constant(1)]
        strides = [strides[order.index(axis)] for axis in range(len(order))]
        return _copy_fields(source.shape, strides, 0, output.bytes, item_bytes)
    before = [int(pair[0]) for pair in operands.constant(1)]
    first = sum(pad * stride for pad, stride in zip(before, strides, strict=True))
    fields = _copy_fields(source.shape, strides, first, output.bytes, item_bytes)
    return {**fields, "fill": operands.output_scaling.zero_point, "fills": 1}


def _copy_fields(
    sizes: Sequence[int], strides: Sequence[int], first: int, output_bytes: int, item_bytes: int
) -> dict[str, Value]:
    sizes, strides = strided_copy(sizes, strides)
    return {
        "size": sizes,
        "output_stride": strides,
        "output_first": first,
        "output_bytes": output_bytes,
        "item_bytes": item_bytes,
    }


def _quantize(operands: _Operands) -> dict[str, Value]:
    quantized = operands.output_scaling if operands.op.kind is OpKind.QUANTIZE else operands.scaling()
    return {
        "items": operands.output.items,
        "scale": quantized.scale,
        "zero_point": quantized.zero_point,
    }


_LOWERINGS: Mapping[OpKind, Callable[[_Operands], dict[str, Value]]] = {
    OpKind.CONV_2D: _convolution,
    OpKind.DEPTHWISE_CONV_2D: _convolution,
    OpKind.FULLY_CONNECTED: _fully_connected,
    OpKind.ADD: _add,
    OpKind.SUB: _add,
    OpKind.MUL: _mul,
    OpKind.MEAN: _reduce,
    OpKind.SUM: _reduce,
    OpKind.REDUCE_MAX: _reduce_max,
    OpKind.AVERAGE_POOL_2D: _pool,
    OpKind.MAX_POOL_2D: _pool,
    OpKind.SOFTMAX: _softmax,
    OpKind.RESHAPE: _copy,
    OpKind.EXPAND_DIMS: _copy,
    OpKind.SQUEEZE: _copy,
    OpKind.PAD: _copy,
    OpKind.TRANSPOSE: _copy,
    OpKind.QUANTIZE: _quantize,
    OpKind.DEQUANTIZE: _quantize,
}

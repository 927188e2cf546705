"""CONV_2D."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mcofa.files.flatbuffer import round_up
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.ops import options
from mcofa.ops.constraints import constant_parameters, filter_of_type, same_type
from mcofa.ops.record import (
    INT32_BYTES,
    OUTPUT,
    Aot,
    BuiltinData,
    Kernel,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
    requested,
)
from mcofa.ops.rows import filter_window
from mcofa.ops.target import Extension, Target
from mcofa.ops.windows import window_padding

BUILTIN_DATA = BuiltinData(arm32=(28, 4), x86_64=(28, 4), riscv32=(28, 4))
OP_DATA = OpData(arm32=56, arm32_cmsis_nn=60, x86_64=80)
TEMPORARIES = (0, 1, OUTPUT, 0, 1, 2, OUTPUT)
ACTIVATIONS = same_type(DType.INT8, DType.INT16, DType.FLOAT32)


def _macs(graph: Graph, op: Op) -> int:
    _, rows, columns, channels = graph.tensors[op.inputs[1]].shape
    return graph.tensors[op.outputs[0]].items * rows * columns * channels


def _work(graph: Graph, op: Op) -> Mapping[str, int]:
    width, rows, columns, _ = graph.tensors[op.inputs[1]].shape
    macs, outputs = _macs(graph, op), graph.tensors[op.outputs[0]].items
    if rows == columns == 1:
        return {"conv_1x1_macs": macs, "conv_outputs": outputs}
    return {"conv_kxk_macs": macs, "conv_kxk_patch_elements": macs // width, "conv_outputs": outputs}


def per_channel_arrays(channels: int) -> tuple[int, int]:
    """Return the sizes of the multipliers and the shifts that a kernel keeps for its output channels."""
    return (INT32_BYTES * channels,) * 2


def filter_arrays(graph: Graph, op: Op, on: Target, channels: int) -> tuple[int, ...]:
    """Return the sizes of a convolution's arrays; of float32 with CMSIS-NN there are none."""
    unscaled = first_type(graph, op) is DType.FLOAT32 and on.has_cmsis_nn
    return () if unscaled else per_channel_arrays(channels)


def _arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    return filter_arrays(graph, op, on, graph.tensors[op.inputs[1]].shape[0])


def _scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN: none for float32, and for int8 of 1×1 without padding, dilation or groups; else im2col."""
    dtype, rules = first_type(graph, op), on.tflm.rules
    if not on.has_cmsis_nn or dtype is DType.FLOAT32:
        return ()
    source, kernel, output = (graph.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
    if dtype is DType.INT16:
        return requested(_int16_im2col_bytes(source.shape[3], kernel, on))
    padding = window_padding(source.shape, kernel.shape, op)
    undilated = op.dilation == (1, 1)
    ungrouped = source.shape[3] == kernel.shape[3]
    strided = op.stride != (1, 1) and rules.strided_1x1_columns
    if kernel.shape[1:3] == (1, 1) and padding == (0, 0) and undilated and ungrouped and not strided:
        return ()
    is_1_x_n = source.shape[1] == kernel.shape[1] == 1 and undilated and ungrouped
    if on.extension is Extension.MVE and is_1_x_n and rules.mve_1_x_n == "no scratch":
        if output.shape[2] % 4 == 0:
            return ()
        size = im2col_bytes(source.shape[3], kernel, on)
    elif on.extension is Extension.MVE and is_1_x_n and op.stride[1] * source.shape[3] % 4 == 0:
        size = _mve_1_x_n_bytes(source, kernel, output, op.stride[1], padding[1])
    else:
        size = im2col_bytes(source.shape[3], kernel, on)
    return requested(size)


def im2col_bytes(channels: int, kernel: Tensor, on: Target) -> int:
    """Return CMSIS-NN's columns: four of int8 rounded up to 16 on MVE, elsewhere two of int16 up to 4.

    Older versions round up to fewer.
    """
    column, rules = kernel.shape[1] * kernel.shape[2] * channels, on.tflm.rules
    multiple = rules.mve_column_multiple if on.extension is Extension.MVE else rules.column_multiple
    return 4 * round_up(column, multiple)


def _int16_im2col_bytes(channels: int, kernel: Tensor, on: Target) -> int:
    """Columns of int16, whatever the window: two, on MVE four rounded up to 8 elements."""
    column = kernel.shape[1] * kernel.shape[2] * channels
    columns = 4 * round_up(column, 8) if on.extension is Extension.MVE else 2 * column
    return columns * DType.INT16.item_bytes


def _mve_1_x_n_bytes(source: Tensor, kernel: Tensor, output: Tensor, stride: int, pad: int) -> int:
    """Scratch of a 1×N convolution on MVE: its padded first and last windows.

    Source: arm_convolve_1_x_n_s8_get_buffer_size_mve, CMSIS-NN 99f736a6. ``pad + odd != 0``
    is read as C does: the sum is compared.
    """
    channels, width = source.shape[3], kernel.shape[2]
    total_pad = (output.shape[2] - 1) * stride + width - source.shape[2]
    odd = total_pad - 2 * int(total_pad / 2)
    right = max(1, _truncated(pad + odd + stride - 1, stride)) if pad + odd != 0 else 0
    left = max(1, (pad + stride - 1) // stride) if pad else 0
    middle = max(output.shape[2] - (right + left), 0)
    if right + middle + left != output.shape[2]:
        return 4 * round_up(kernel.shape[1] * width * channels, 16)
    right_pad = right * channels if odd else pad * channels
    return max((width + pad) * channels, (width - 1) * channels + right_pad)


def _truncated(numerator: int, denominator: int) -> int:
    """Division that rounds towards zero, as C does."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


_IM2COL = Kernel(name="nn_conv_2d", four_channels=True, takes_scratch=True, by_row=True)
_POINTWISE = Kernel(name="nn_conv_2d_1x1", four_channels=True)
_ANY = Kernel(name="nn_conv_2d_any", by_row=True)


def _kernel(graph: Graph, op: Op, _on: Target) -> Kernel:
    source, weights = (graph.tensors[index].shape for index in op.inputs[:2])
    if source[3] != weights[3] or op.dilation != (1, 1):
        return _ANY
    pointwise = weights[1:3] == (1, 1) and window_padding(source, weights, op) == (0, 0)
    return _POINTWISE if pointwise else _IM2COL


def _scratch_bytes(graph: Graph, op: Op, on: Target) -> int:
    """One window."""
    windows = _kernel(graph, op, on) is _IM2COL
    return math.prod(graph.tensors[op.inputs[1]].shape[1:]) if windows else 0


def scales_bytes(graph: Graph, op: Op) -> int:
    """Return the bytes of biases, multipliers and shifts.

    The outputs that are left over when four are taken at a time are padded to words.
    """
    outputs = graph.tensors[op.outputs[0]].shape[3]
    padding = -math.prod(graph.tensors[op.inputs[1]].shape[1:]) % INT32_BYTES
    return 3 * INT32_BYTES * outputs + outputs % 4 * padding


CONV_2D = Operator(
    kind=OpKind.CONV_2D,
    code=3,
    version=3,
    inputs=(2, 3),
    ranks=(4, 4, 4),
    options=options.CONV_2D,
    constraints=(ACTIVATIONS, filter_of_type),
    macs=_macs,
    work=_work,
    tflm=Tflm(
        registration=Registration("AddConv2D", "Register_CONV_2D_INT8"),
        builtin_data=BUILTIN_DATA,
        op_data=OP_DATA,
        temporaries=TEMPORARIES,
        arrays=_arrays,
        scratch=_scratch,
    ),
    aot=Aot(
        kernels=(_IM2COL, _POINTWISE, _ANY),
        choose=_kernel,
        struct="nn_convolution_t",
        rows=filter_window,
        stored=(1,),
        scales_bytes=scales_bytes,
        scratch_bytes=_scratch_bytes,
        constraints=(constant_parameters,),
    ),
)

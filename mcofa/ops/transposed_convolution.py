"""TRANSPOSE_CONV."""

from __future__ import annotations

import math

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.convolution import im2col_bytes, per_channel_arrays
from mcofa.ops.record import (
    INT32_BYTES,
    OUTPUT,
    BuiltinData,
    OpData,
    Operator,
    Registration,
    Tflm,
)
from mcofa.ops.target import Target

_INT64_BYTES = 8
_SOURCE, _BIAS = 2, 3
_REVERSED_FROM_CHANNELS = 17
_LARGEST_REVERSED_STRIDE = 2
_QUANTIZED = (_SOURCE, 1, _BIAS, OUTPUT)


def source_type(graph: Graph, op: Op) -> DType:
    """Return the element type of the image, which is the third input."""
    return graph.tensors[op.inputs[_SOURCE]].dtype


def image_of_type(graph: Graph, op: Op) -> str:
    """The image and the output are int8, int16 or float32, the filter int8 or float32."""
    source, weights = source_type(graph, op), graph.tensors[op.inputs[1]].dtype
    known = {DType.INT8: DType.INT8, DType.INT16: DType.INT8, DType.FLOAT32: DType.FLOAT32}
    fits = known.get(source) is weights and graph.tensors[op.outputs[0]].dtype is source
    return "" if fits else f"{source} with a filter of {weights}"


def _borrowed(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    quantized = source_type(graph, op) is not DType.FLOAT32
    return (OUTPUT, _SOURCE, 1, *(_QUANTIZED if quantized else ()))


def _arrays(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    return per_channel_arrays(graph.tensors[op.inputs[1]].shape[0])


def _scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Sums of all outputs, for int8 with CMSIS-NN what its kernels ask for; then a bias of int16 widened."""
    dtype, output = source_type(graph, op), graph.tensors[op.outputs[0]]
    if dtype is DType.INT8:
        return _cmsis_nn_scratch(graph, op, on) if on.has_cmsis_nn else (INT32_BYTES * output.items,)
    if dtype is not DType.INT16:
        return ()
    bias = graph.tensors[op.inputs[_BIAS]] if len(op.inputs) > _BIAS else None
    widened = (_INT64_BYTES * bias.items,) if bias is not None and bias.dtype is DType.INT16 else ()
    return (_INT64_BYTES * output.items, *widened)


def _cmsis_nn_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, int]:
    """Columns and the reversed filter, or rows of sums and nothing, which is asked for all the same.

    Source: arm_transpose_conv_get_buffer_sizes_s8.c, CMSIS-NN 99f736a6, where the stride of rows stands
    for that of columns, too.
    """
    source, kernel = graph.tensors[op.inputs[_SOURCE]], graph.tensors[op.inputs[1]]
    outputs, rows, columns, depth = kernel.shape
    if max(op.stride) <= _LARGEST_REVERSED_STRIDE and depth >= _REVERSED_FROM_CHANNELS:
        return im2col_bytes(depth, kernel, on), math.prod(kernel.shape)
    width = (source.shape[2] - 1) * op.stride[1] + max(columns, op.stride[0])
    return INT32_BYTES * max(width, 0) * outputs * max(rows, op.stride[0]), 0


def _macs(graph: Graph, op: Op) -> int:
    outputs, rows, columns, _ = graph.tensors[op.inputs[1]].shape
    return graph.tensors[op.inputs[_SOURCE]].items * outputs * rows * columns


TRANSPOSE_CONV = Operator(
    kind=OpKind.TRANSPOSE_CONV,
    code=67,
    inputs=(3, 4),
    ranks=(None, 4, 4, 4),
    options=options.TRANSPOSE_CONV,
    constraints=(image_of_type,),
    macs=_macs,
    tflm=Tflm(
        registration=Registration("AddTransposeConv", "Register_TRANSPOSE_CONV"),
        builtin_data=BuiltinData(arm32=(16, 4), x86_64=(20, 4), riscv32=(20, 4)),
        op_data=OpData(arm32=72, arm32_cmsis_nn=76, x86_64=88),
        temporaries=_borrowed,
        arrays=_arrays,
        scratch=_scratch,
    ),
)

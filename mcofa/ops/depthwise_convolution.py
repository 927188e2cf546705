"""DEPTHWISE_CONV_2D."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.constraints import constant_parameters, filter_of_type
from mcofa.ops.convolution import (
    ACTIVATIONS,
    BUILTIN_DATA,
    OP_DATA,
    TEMPORARIES,
    filter_arrays,
    im2col_bytes,
    scales_bytes,
)
from mcofa.ops.record import (
    Aot,
    Kernel,
    Operator,
    OverInput,
    Registration,
    Tflm,
    first_type,
    requested,
)
from mcofa.ops.rows import filter_window
from mcofa.ops.target import Extension, Target
from mcofa.ops.windows import window_padding

_MVE_CHANNEL_BLOCK = 124


def _macs(graph: Graph, op: Op) -> int:
    _, rows, columns, _ = graph.tensors[op.inputs[1]].shape
    return graph.tensors[op.outputs[0]].items * rows * columns


def _work(graph: Graph, op: Op) -> Mapping[str, int]:
    window = graph.tensors[op.inputs[1]].shape[1:3]
    name = "depthwise_3x3_macs" if window == (3, 3) else "depthwise_other_macs"
    return {name: _macs(graph, op), "depthwise_outputs": graph.tensors[op.outputs[0]].items}


def _arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    return filter_arrays(graph, op, on, graph.tensors[op.inputs[1]].shape[3])


def _scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN: none without DSP; 2·C·kh·kw with DSP unless 3×3 with padding ≤ 1; 496·kh·kw on MVE.

    That holds for int8, C_in = C_out, batch 1, no dilation (otherwise none). MVE first turns a
    single input channel with several output channels into a convolution and adds a copy of
    the filter. Older versions of CMSIS-NN do not, or make no exception for 3×3.
    """
    rules = on.tflm.rules
    if not on.has_cmsis_nn or first_type(graph, op) is not DType.INT8:
        return ()
    source, kernel, output = (graph.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
    taps = kernel.shape[1] * kernel.shape[2]
    channels = output.shape[3]
    if _runs_as_convolution(graph, op, on) and channels > 1:
        return requested(_as_convolution_bytes(graph, op, on) + channels * taps)
    if source.shape[3] != channels or source.shape[0] != 1 or op.dilation != (1, 1):
        return ()
    if on.extension is Extension.MVE:
        return requested(4 * _MVE_CHANNEL_BLOCK * taps)
    if on.extension is Extension.NONE:
        return ()
    small = kernel.shape[1:3] == (3, 3) and max(window_padding(source.shape, kernel.shape, op)) <= 1
    small = small and not rules.depthwise_3x3_scratch
    return () if small else requested(2 * source.shape[3] * taps)


def _runs_as_convolution(graph: Graph, op: Op, on: Target) -> bool:
    one_channel = graph.tensors[op.inputs[0]].shape[3] == 1
    return one_channel and on.extension is Extension.MVE and on.tflm.rules.mve_depthwise_as_convolution


def _as_convolution_bytes(graph: Graph, op: Op, on: Target) -> int:
    """Scratch of the convolution that a one-channel depthwise convolution becomes on MVE."""
    source, kernel = (graph.tensors[index] for index in op.inputs[:2])
    padding = window_padding(source.shape, kernel.shape, op)
    if kernel.shape[1:3] == (1, 1) and padding == (0, 0) and op.dilation == (1, 1):
        return 0
    return im2col_bytes(1, kernel, on)


def _reads_unset_stride(graph: Graph, op: Op, on: Target) -> str:
    """TFLM sizes this op's scratch with a stride that its Prepare never sets.

    MVE turns a depthwise convolution of one input channel into a convolution, whose
    1×N case asks for the stride (cmsis_nn/depthwise_conv.cc leaves it unset).
    """
    if on.extension is not Extension.MVE or not on.has_cmsis_nn or first_type(graph, op) is not DType.INT8:
        return ""
    height = graph.tensors[op.inputs[0]].shape[1]
    kernel_height = graph.tensors[op.inputs[1]].shape[1]
    if _runs_as_convolution(graph, op, on) and height == kernel_height == 1:
        return f"one input channel, height 1, on {on.name} with CMSIS-NN"
    return ""


_OWN = Kernel(name="nn_depthwise", four_channels=True, by_row=True)
_ANY = Kernel(name="nn_depthwise_any", by_row=True)
_OVER_INPUT = Kernel(name="nn_depthwise_over_input", four_channels=True, takes_scratch=True)
_CHANNELS_AT_ONCE = 4


def _kernel(graph: Graph, op: Op, _on: Target) -> Kernel:
    source, weights = (graph.tensors[index].shape for index in op.inputs[:2])
    return _ANY if source[3] != weights[3] or op.dilation != (1, 1) else _OWN


def _over_input_bytes(graph: Graph, op: Op) -> int | None:
    """The scratch for four channels at once: their weights, and a ring of their rows."""
    source, weights, output = (graph.tensors[index].shape for index in (*op.inputs[:2], op.outputs[0]))
    if source != output or source[0] != 1 or op.stride != (1, 1) or op.dilation != (1, 1):
        return None
    _, rows, columns, _ = source
    return _CHANNELS_AT_ONCE * (weights[1] * weights[2] + min(weights[1], rows) * columns)


DEPTHWISE_CONV_2D = Operator(
    kind=OpKind.DEPTHWISE_CONV_2D,
    code=4,
    version=3,
    inputs=(2, 3),
    ranks=(4, 4, 4),
    options=options.DEPTHWISE_CONV_2D,
    constraints=(ACTIVATIONS, filter_of_type),
    macs=_macs,
    work=_work,
    tflm=Tflm(
        registration=Registration("AddDepthwiseConv2D", "Register_DEPTHWISE_CONV_2D_INT8"),
        builtin_data=BUILTIN_DATA,
        op_data=OP_DATA,
        temporaries=TEMPORARIES,
        arrays=_arrays,
        scratch=_scratch,
        refused=_reads_unset_stride,
    ),
    aot=Aot(
        kernels=(_OWN, _ANY, _OVER_INPUT),
        choose=_kernel,
        struct="nn_convolution_t",
        rows=filter_window,
        over_input=OverInput(_OVER_INPUT, _over_input_bytes),
        stored=(1,),
        scales_bytes=scales_bytes,
        constraints=(constant_parameters,),
    ),
)

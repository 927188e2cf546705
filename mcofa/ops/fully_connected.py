"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.constraints import constant_parameters, filter_of_type
from mcofa.ops.convolution import ACTIVATIONS, per_channel_arrays
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
from mcofa.ops.target import Extension, KernelSet, Target


def _macs(graph: Graph, op: Op) -> int:
    return graph.tensors[op.outputs[0]].items * graph.tensors[op.inputs[1]].shape[-1]


def _work(graph: Graph, op: Op) -> Mapping[str, int]:
    return {
        "fully_connected_macs": _macs(graph, op),
        "conv_outputs": graph.tensors[op.outputs[0]].items,
    }


def _arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Multipliers and shifts if the filter has more than one scale, and kernel sums.

    Older versions keep them with CMSIS-NN where the op runs as a convolution.
    """
    if first_type(graph, op) is DType.FLOAT32:
        return ()
    scales, rules = graph.tensors[op.inputs[1]].scales, on.tflm.rules
    if rules.fully_connected_1x1 == "arrays" and on.has_cmsis_nn and _runs_as_convolution(graph, op, on):
        return per_channel_arrays(graph.tensors[op.outputs[0]].shape[-1])
    by_channel = scales > 1 and rules.fully_connected_by_channel
    return (per_channel_arrays(scales) if by_channel else ()) + _kept_sums(graph, op, on)


def _kept_sums(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Sums that persist: MVE, built for speed, constant weights."""
    constant = all(graph.tensors[index].constant for index in op.inputs[1:3] if index >= 0)
    return _sums(graph, op, on) if on.kernels is KernelSet.CMSIS_NN_SPEED and constant else ()


def _sums(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Sums of the filter's rows, of int8: 4·C_out on MVE, unless run as a 1×1 convolution."""
    is_int8 = first_type(graph, op) is DType.INT8
    if on.extension is not Extension.MVE or not is_int8 or not on.tflm.rules.fully_connected_sums:
        return ()
    if _runs_as_convolution(graph, op, on):
        return ()
    return (INT32_BYTES * graph.tensors[op.outputs[0]].shape[-1],)


def _runs_as_convolution(graph: Graph, op: Op, on: Target) -> bool:
    """CMSIS-NN does so if the output's rank is above 2 and depth % 4 = 0."""
    if on.tflm.rules.fully_connected_1x1 == "no":
        return False
    depth = graph.tensors[op.inputs[1]].shape[-1]
    return len(graph.tensors[op.outputs[0]].shape) > 2 and depth % 4 == 0


def _scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN: 8·C_out if run as a 1×1 convolution with one scale; sums on MVE unless they persist."""
    if not on.has_cmsis_nn or first_type(graph, op) is not DType.INT8:
        return ()
    if _runs_as_convolution(graph, op, on):
        if on.tflm.rules.fully_connected_1x1 == "arrays":
            return ()
        channels = graph.tensors[op.outputs[0]].shape[-1]
        return requested(2 * INT32_BYTES * channels) if graph.tensors[op.inputs[1]].scales <= 1 else ()
    return () if _kept_sums(graph, op, on) else requested(*_sums(graph, op, on))


def _scaled_by_channel(graph: Graph, op: Op, on: Target) -> str:
    """CMSIS-NN runs int16 with one scale for the whole filter only."""
    several = graph.tensors[op.inputs[1]].scales > 1 and first_type(graph, op) is DType.INT16
    return "int16 with a scale for each channel" if several and on.has_cmsis_nn else ""


def _scales_bytes(graph: Graph, op: Op) -> int:
    """Biases, and shifts and multipliers of 64 bits, one of each if the filter has one scale."""
    weights = graph.tensors[op.inputs[1]]
    return INT32_BYTES * weights.shape[0] + 3 * INT32_BYTES * max(weights.scales, 1) + INT32_BYTES


FULLY_CONNECTED = Operator(
    kind=OpKind.FULLY_CONNECTED,
    code=9,
    inputs=(2, 3),
    ranks=(None, 2, None),
    options=options.FULLY_CONNECTED,
    constraints=(ACTIVATIONS, filter_of_type),
    macs=_macs,
    work=_work,
    tflm=Tflm(
        registration=Registration("AddFullyConnected", "Register_FULLY_CONNECTED_INT8"),
        builtin_data=BuiltinData(arm32=(5, 1), x86_64=(32, 8), riscv32=(16, 4)),
        op_data=OpData(arm32=48, arm32_cmsis_nn=72, x86_64=72),
        temporaries=(0, 1, 2, OUTPUT),
        arrays=_arrays,
        scratch=_scratch,
        refused=_scaled_by_channel,
    ),
    aot=Aot(
        kernels=(Kernel(name="nn_fully_connected", four_channels=True),),
        struct="nn_fully_connected_t",
        stored=(1,),
        scales_bytes=_scales_bytes,
        constraints=(constant_parameters,),
    ),
)

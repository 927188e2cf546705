"""UNIDIRECTIONAL_SEQUENCE_LSTM and SVDF, whose state is kept from one inference to the next."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import same_type
from mcofa.ops.convolution import per_channel_arrays
from mcofa.ops.record import (
    INT32_BYTES,
    OUTPUT,
    BuiltinData,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
    requested,
)
from mcofa.ops.target import Extension, KernelSet, Target

_LSTM_WEIGHTS = range(1, 9)
_LSTM_BIASES = range(12, 16)
_HIDDEN, _CELL = 18, 19
_LSTM_VARIANTS = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Inputs of an LSTM that TFLM knows only as absent: peepholes, a projection, layer normalization."""

_LSTM_TYPES = {
    DType.INT8: (DType.INT8, DType.INT32, DType.INT16),
    DType.INT16: (DType.INT8, DType.INT64, DType.INT16),
    DType.FLOAT32: (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32),
}
"""Types of weights, biases and cells, by that of the input."""


def parameters_of_type(graph: Graph, op: Op) -> str:
    """Weights are int8, biases int32 (int64 for int16) and cells int16, or all are float32."""
    wanted = _LSTM_TYPES.get(first_type(graph, op))
    if wanted is None:
        return ""
    parts = {"weights": _LSTM_WEIGHTS, "biases": _LSTM_BIASES, "cells": (_CELL,)}
    for (part, positions), known in zip(parts.items(), wanted, strict=True):
        for dtype in (graph.tensors[op.inputs[position]].dtype for position in positions):
            if dtype is not known:
                return f"{first_type(graph, op)} with {part} of {dtype}"
    hidden = graph.tensors[op.inputs[_HIDDEN]].dtype
    return "" if hidden is first_type(graph, op) else f"{first_type(graph, op)} with a state of {hidden}"


def plain_cell(_graph: Graph, op: Op) -> str:
    """No peepholes, projection or layer normalization."""
    return "a variant of the LSTM" if any(op.inputs[position] >= 0 for position in _LSTM_VARIANTS) else ""


def kept_states(graph: Graph, op: Op) -> str:
    """Both states are variables."""
    kept = all(graph.tensors[op.inputs[position]].variable for position in (_HIDDEN, _CELL))
    return "" if kept else "a state that is not a variable"


def _lstm_units(graph: Graph, op: Op) -> int:
    return graph.tensors[op.outputs[0]].shape[-1]


def _lstm_arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Multipliers and shifts of filters with a scale per channel; with CMSIS-NN sums of all eight filters.

    The sums are as wide as a bias. float32 needs none of it.
    """
    if first_type(graph, op) is DType.FLOAT32:
        return ()
    scales = [graph.tensors[op.inputs[position]].scales for position in _LSTM_WEIGHTS]
    by_channel = tuple(size for count in scales if count > 1 for size in per_channel_arrays(count))
    bias_bytes = graph.tensors[op.inputs[_LSTM_BIASES[0]]].dtype.item_bytes
    sums = (_lstm_units(graph, op) * bias_bytes,) * len(scales) if on.has_cmsis_nn else ()
    return by_channel + sums


def _lstm_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Four buffers as large as the cells; three with CMSIS-NN, but for float32."""
    three = on.has_cmsis_nn and first_type(graph, op) is not DType.FLOAT32
    return (graph.tensors[op.inputs[_CELL]].bytes,) * (3 if three else 4)


def _lstm_macs(graph: Graph, op: Op) -> int:
    features = graph.tensors[op.inputs[0]].shape[-1]
    return 4 * graph.tensors[op.outputs[0]].items * (features + _lstm_units(graph, op))


def _lstm_work(graph: Graph, op: Op) -> Mapping[str, int]:
    return {
        "fully_connected_macs": _lstm_macs(graph, op),
        "other_elements": 8 * graph.tensors[op.outputs[0]].items,
    }


UNIDIRECTIONAL_SEQUENCE_LSTM = Operator(
    kind=OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM,
    code=44,
    inputs=(24, 24),
    absent=_LSTM_VARIANTS,
    ranks=(3, 3),
    constraints=(
        same_type(DType.INT8, DType.INT16, DType.FLOAT32),
        parameters_of_type,
        plain_cell,
        kept_states,
    ),
    macs=_lstm_macs,
    work=_lstm_work,
    tflm=Tflm(
        registration=Registration("AddUnidirectionalSequenceLSTM", "Register_UNIDIRECTIONAL_SEQUENCE_LSTM"),
        builtin_data=BuiltinData.everywhere(16, 4),
        op_data=OpData(arm32=688, arm32_cmsis_nn=912, x86_64=688),
        temporaries=(*range(24), OUTPUT),
        arrays=_lstm_arrays,
        scratch=_lstm_scratch,
    ),
)

_FILTERS, _TIMES, _BIAS, _STATE = 1, 2, 3, 4


def filters_of_type(graph: Graph, op: Op) -> str:
    """Filters are int8, biases int32, state and its filters both int8 or both int16; or all are float32."""
    source = first_type(graph, op)
    found = tuple(graph.tensors[op.inputs[at]].dtype for at in (_FILTERS, _BIAS, _TIMES, _STATE))
    known = {
        DType.FLOAT32: ((DType.FLOAT32,) * 4,),
        DType.INT8: tuple((DType.INT8, DType.INT32, kept, kept) for kept in (DType.INT8, DType.INT16)),
    }.get(source, (found,))
    return "" if found in known else f"{source} with {', '.join(found)}"


def kept_state(graph: Graph, op: Op) -> str:
    """The state is a variable."""
    return "" if graph.tensors[op.inputs[_STATE]].variable else "a state that is not a variable"


def _svdf_sums(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN on MVE: sums of the filters, of int8."""
    if not on.has_cmsis_nn or on.extension is not Extension.MVE or first_type(graph, op) is DType.FLOAT32:
        return ()
    return requested(INT32_BYTES * graph.tensors[op.inputs[_FILTERS]].shape[0])


def _svdf_arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    return _svdf_sums(graph, op, on) if on.kernels is KernelSet.CMSIS_NN_SPEED else ()


def _svdf_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """A sum for each filter; for int8 also for each output, and the filters' sums unless they persist."""
    batch, filters = graph.tensors[op.inputs[0]].shape[0], graph.tensors[op.inputs[_FILTERS]].shape[0]
    features = INT32_BYTES * batch * filters
    if first_type(graph, op) is DType.FLOAT32:
        return (features,)
    sums = () if on.kernels is KernelSet.CMSIS_NN_SPEED else _svdf_sums(graph, op, on)
    return (features, INT32_BYTES * graph.tensors[op.outputs[0]].items, *sums)


def _svdf_macs(graph: Graph, op: Op) -> int:
    features = graph.tensors[op.inputs[0]]
    return features.shape[0] * sum(graph.tensors[op.inputs[at]].items for at in (_FILTERS, _TIMES))


SVDF = Operator(
    kind=OpKind.SVDF,
    code=27,
    inputs=(5, 5),
    ranks=(2, 2, 2, 1, 2, 2),
    constraints=(same_type(DType.INT8, DType.FLOAT32), filters_of_type, kept_state),
    macs=_svdf_macs,
    work=lambda graph, op: {"fully_connected_macs": _svdf_macs(graph, op)},
    tflm=Tflm(
        registration=Registration("AddSvdf", "Register_SVDF"),
        builtin_data=BuiltinData(arm32=(8, 4), x86_64=(12, 4), riscv32=(12, 4)),
        op_data=OpData(arm32=36, arm32_cmsis_nn=44, x86_64=36),
        temporaries=(*range(5), OUTPUT),
        arrays=_svdf_arrays,
        scratch=_svdf_scratch,
    ),
)

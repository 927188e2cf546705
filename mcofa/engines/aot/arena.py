"""What engine ``aot`` needs for a graph: kernels, arena and flash, known before anything is generated.

Generated C has no interpreter: the arena holds activations and scratch and nothing else, the
flash the constants, one parameter struct an op, and the kernels that are used. An op whose
input is not read afterwards works in place where its kernel can, so that several tensors
may share one *storage*; storages and scratch are the buffers that are planned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mcofa.engines.tflm import Extension, KernelSet, Target, scratch_buffers, window_padding
from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.memory.plan import Buffer, plan_greedy

LOOKUPS = frozenset({OpKind.HARD_SWISH, OpKind.LOGISTIC, OpKind.RELU, OpKind.RELU6, OpKind.QUANTIZE})
"""Ops that are such a function when input and output are int8."""

_IN_PLACE = LOOKUPS | {OpKind.ADD, OpKind.SUB, OpKind.MUL, OpKind.SOFTMAX, OpKind.RESHAPE}
_CONVOLUTIONS = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)

_KERNELS = {
    OpKind.FULLY_CONNECTED: "nn_fully_connected",
    OpKind.ADD: "nn_add",
    OpKind.SUB: "nn_add",
    OpKind.MUL: "nn_mul",
    OpKind.MEAN: "nn_reduce",
    OpKind.SUM: "nn_reduce",
    OpKind.AVERAGE_POOL_2D: "nn_average_pool",
    OpKind.MAX_POOL_2D: "nn_max_pool",
    OpKind.SOFTMAX: "nn_softmax",
    OpKind.RESHAPE: "nn_copy",
    OpKind.PAD: "nn_copy",
    OpKind.TRANSPOSE: "nn_copy",
    OpKind.DEQUANTIZE: "nn_dequantize",
}

_CMSIS_NN_SCRATCH = frozenset({"nn_conv_2d_cmsis_nn", "nn_depthwise_cmsis_nn"})
TAKES_SCRATCH = _CMSIS_NN_SCRATCH | {"nn_conv_2d"}
"""The kernels with a scratch argument."""

_TYPES: Mapping[OpKind, tuple[tuple[DType, DType], ...]] = {
    OpKind.QUANTIZE: ((DType.INT8, DType.INT8), (DType.FLOAT32, DType.INT8)),
    OpKind.DEQUANTIZE: ((DType.INT8, DType.FLOAT32),),
}
_INT8_ONLY = ((DType.INT8, DType.INT8),)
_MOVES_BYTES = frozenset({OpKind.RESHAPE, OpKind.TRANSPOSE})


@dataclass(frozen=True, slots=True)
class Storage:
    """Where tensors lie that share memory, or the scratch of one op (then without tensors)."""

    buffer: Buffer
    tensors: tuple[int, ...]


def check_supported(graph: Graph) -> None:
    """Check that there is a kernel for every op of ``graph``.

    Raises:
        UnsupportedOpError: names all the ops without one.
    """
    reasons = sorted({reason for op in graph.ops if (reason := _unsupported(graph, op))})
    if any(tensor.variable for tensor in graph.tensors):
        reasons.append("variable tensors")
    if reasons:
        raise UnsupportedOpError(
            f"engine aot has no kernel for: {', '.join(reasons)}",
            "use `--engine tflm`, or convert the model to int8 without them",
        )


def _unsupported(graph: Graph, op: Op) -> str:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    types = source.dtype, output.dtype
    if op.kind not in _MOVES_BYTES and types not in _TYPES.get(op.kind, _INT8_ONLY):
        return f"{op.kind} ({source.dtype} to {output.dtype})"
    if op.kind not in (OpKind.ADD, OpKind.SUB, OpKind.MUL):
        variable = [i for i in op.inputs[1:] if i >= 0 and not graph.tensors[i].constant]
        return f"{op.kind} (with weights that are not constant)" if variable else ""
    return ""


def kernel(graph: Graph, op: Op, on: Target) -> str:
    """Return the name of the kernel that runs ``op`` on the target ``on``."""
    if op.kind in LOOKUPS:
        return "nn_quantize" if graph.tensors[op.inputs[0]].dtype is DType.FLOAT32 else "nn_lookup"
    if op.kind is OpKind.CONV_2D:
        return _conv_2d_kernel(graph, op, on)
    if op.kind is OpKind.DEPTHWISE_CONV_2D:
        return _depthwise_kernel(graph, op, on)
    return _KERNELS[op.kind]


def _conv_2d_kernel(graph: Graph, op: Op, on: Target) -> str:
    """CMSIS-NN's with MVE, but never its 1×N variant, which gives wrong results at times."""
    source, weights = (graph.tensors[index].shape for index in op.inputs[:2])
    if source[3] != weights[3] or op.dilation != (1, 1):
        return "nn_conv_2d_any"
    if weights[1:3] != (1, 1) or window_padding(source, weights, op) != (0, 0):
        return "nn_conv_2d_cmsis_nn" if _prefers_cmsis_nn(on) else "nn_conv_2d"
    if not _prefers_cmsis_nn(on):
        return "nn_conv_2d_1x1"
    return "nn_conv_2d_1x1_cmsis_nn" if op.stride == (1, 1) else "nn_conv_2d_1x1_strided_cmsis_nn"


def _depthwise_kernel(graph: Graph, op: Op, on: Target) -> str:
    """CMSIS-NN's with MVE, for one image."""
    source, weights = (graph.tensors[index].shape for index in op.inputs[:2])
    if source[3] != weights[3] or op.dilation != (1, 1):
        return "nn_depthwise_any"
    return "nn_depthwise_cmsis_nn" if _prefers_cmsis_nn(on) and source[0] == 1 else "nn_depthwise"


def _prefers_cmsis_nn(on: Target) -> bool:
    """Whether CMSIS-NN needs fewer instructions than the own kernels: measured, with MVE only."""
    return on.extension is Extension.MVE and on.kernels is not KernelSet.REFERENCE


def scratch_bytes(graph: Graph, op: Op, on: Target) -> int:
    """Return the scratch of the op's kernel: one window, or what TFLM gives the same CMSIS-NN kernel."""
    used = kernel(graph, op, on)
    if used == "nn_conv_2d":
        return math.prod(graph.tensors[op.inputs[1]].shape[1:])
    return sum(scratch_buffers(graph, op, on)) if used in _CMSIS_NN_SCRATCH else 0


def storages(graph: Graph, on: Target) -> tuple[Storage, ...]:
    """Return what must be planned, storages of tensors by their first tensor, then scratch by op.

    The input exists from step 0, op *i* is step *i* + 1, and outputs stay to the end. An
    output takes over the storage of an input of its size that is not read again, if the kernel
    works in place; of two such inputs, that of the later one, so that blocks stay independent.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
    """
    check_supported(graph)
    first, last = _lifetimes(graph)
    storage_of: dict[int, int] = {index: index for index in graph.inputs}
    end = {index: last[index] for index in graph.inputs}
    for step, op in enumerate(graph.ops, start=1):
        output = op.outputs[0]
        takers = [index for index in op.inputs if _may_take_over(graph, op, index)]
        free = [storage_of[index] for index in takers if end[storage_of[index]] == step]
        storage_of[output] = max(free, key=lambda index: first[index], default=output)
        end[storage_of[output]] = max(end.get(storage_of[output], step), last[output])
    tensors = [
        Storage(
            Buffer(graph.tensors[root].bytes, first[root], end[root]),
            tuple(index for index in sorted(storage_of) if storage_of[index] == root),
        )
        for root in sorted(end)
    ]
    scratch = [
        Storage(Buffer(size, step, step), ())
        for step, op in enumerate(graph.ops, start=1)
        if (size := scratch_bytes(graph, op, on))
    ]
    return (*tensors, *scratch)


def _may_take_over(graph: Graph, op: Op, index: int) -> bool:
    """Whether the output may lie where the input ``index`` does, if nothing reads that again."""
    if op.kind not in _IN_PLACE or index < 0 or graph.tensors[index].constant:
        return False
    source, output = graph.tensors[index], graph.tensors[op.outputs[0]]
    same_items = source.bytes == output.bytes
    return same_items and (op.kind is OpKind.RESHAPE or source.items == output.items)


def _lifetimes(graph: Graph) -> tuple[dict[int, int], dict[int, int]]:
    """First and last step of every tensor that is not constant."""
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for step, op in enumerate(graph.ops, start=1):
        for index in op.inputs:
            if index in first:
                last[index] = step
        first[op.outputs[0]] = last[op.outputs[0]] = step
    last.update(dict.fromkeys(graph.outputs, len(graph.ops) + 1))
    return first, last


def aot_arena_bytes(graph: Graph, on: Target) -> int:
    """Return the arena of the greedy plan, in bytes: what the search counts with.

    The export plans again with a solver, which never takes more.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
    """
    return plan_greedy([storage.buffer for storage in storages(graph, on)]).total_bytes

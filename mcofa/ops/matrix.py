"""BATCH_MATMUL."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.ops import options
from mcofa.ops.constraints import operands_of_type, same_type
from mcofa.ops.record import (
    INT32_BYTES,
    OUTPUT,
    BuiltinData,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
)
from mcofa.ops.target import Extension, Target

_PARAMETERS_BYTES = 28
_EVAL_TENSOR_WORDS = 3
_LOWEST_RANK, _HIGHEST_RANK, _HIGHEST_CMSIS_NN_RANK = 2, 5, 4


def _arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Parameters unless float32; operands turned over, the left if transposed, the right if not; a shape."""
    left, right = (graph.tensors[index] for index in op.inputs)
    parameters = () if first_type(graph, op) is DType.FLOAT32 else (_PARAMETERS_BYTES,)
    turned = (
        *(_turned(left, on) if op.transposed[0] else ()),
        *(() if op.transposed[1] else _turned(right, on)),
    )
    shape = _shape_bytes(graph.tensors[op.outputs[0]])
    return (*turned, shape, *parameters) if on.has_cmsis_nn else (*parameters, *turned, shape)


def _turned(tensor: Tensor, on: Target) -> tuple[int, int, int]:
    """An eval tensor, its shape and its data."""
    return on.pointer_bytes * _EVAL_TENSOR_WORDS, _shape_bytes(tensor), tensor.bytes


def _shape_bytes(tensor: Tensor) -> int:
    return INT32_BYTES * (1 + len(tensor.shape))


def _scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN on MVE: a sum for each column of the output, of int8."""
    sums = on.has_cmsis_nn and on.extension is Extension.MVE and first_type(graph, op) is DType.INT8
    return (INT32_BYTES * graph.tensors[op.outputs[0]].shape[-1],) if sums else ()


def _many_dimensions(graph: Graph, op: Op, on: Target) -> str:
    """CMSIS-NN's kernels take tensors of rank 4 at most."""
    rank = max(len(graph.tensors[index].shape) for index in op.inputs)
    too_many = on.has_cmsis_nn and rank > _HIGHEST_CMSIS_NN_RANK
    return f"rank {rank}, more than {_HIGHEST_CMSIS_NN_RANK} with CMSIS-NN" if too_many else ""


def matrices(graph: Graph, op: Op) -> str:
    """Both inputs and the output have rank 2 to 5."""
    ranks = [len(graph.tensors[index].shape) for index in (*op.inputs, *op.outputs)]
    lowest, highest = min(ranks), max(ranks)
    return "" if lowest >= _LOWEST_RANK and highest <= _HIGHEST_RANK else f"ranks {lowest} to {highest}"


def _macs(graph: Graph, op: Op) -> int:
    depth = graph.tensors[op.inputs[0]].shape[-2 if op.transposed[0] else -1]
    return graph.tensors[op.outputs[0]].items * depth


BATCH_MATMUL = Operator(
    kind=OpKind.BATCH_MATMUL,
    code=126,
    inputs=(2, 2),
    options=options.BATCH_MATMUL,
    constraints=(same_type(DType.INT8, DType.INT16, DType.FLOAT32), operands_of_type, matrices),
    macs=_macs,
    tflm=Tflm(
        registration=Registration("AddBatchMatMul", "Register_BATCH_MATMUL"),
        builtin_data=BuiltinData.everywhere(3, 1),
        op_data=OpData(arm32=16, arm32_cmsis_nn=36, x86_64=32),
        temporaries=(0, 1, OUTPUT),
        arrays=_arrays,
        scratch=_scratch,
        refused=_many_dimensions,
    ),
)

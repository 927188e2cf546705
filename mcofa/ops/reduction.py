"""MEAN, SUM and REDUCE_MAX over some of a tensor's axes."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.constraints import Constraint, constant_parameters, same_type
from mcofa.ops.record import (
    INT32_BYTES,
    OUTPUT,
    Aot,
    Buffers,
    BuiltinData,
    Kernel,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
)
from mcofa.ops.rows import height
from mcofa.ops.target import Target


def _sums(graph: Graph, op: Op) -> int | None:
    """Sums of int32 over the rows and columns of an image."""
    return INT32_BYTES * graph.tensors[op.outputs[0]].items if _is_over_image(graph, op) else None


def _is_over_image(graph: Graph, op: Op) -> bool:
    source, axes = (graph.tensors[index] for index in op.inputs)
    rank = len(source.shape)
    return height(source) > 1 and sorted(axis % rank for axis in axes.values) == [1, 2]


def _maxima(graph: Graph, op: Op) -> int | None:
    """The largest values so far."""
    return graph.tensors[op.outputs[0]].bytes if _is_over_image(graph, op) else None


def _work(graph: Graph, op: Op) -> Mapping[str, int]:
    return {"mean_elements": graph.tensors[op.inputs[0]].items}


def _sum_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """With every kernel set: 4·output elements for the sums of integers, then indices.

    Older versions ask for the sums alone.
    """
    added = first_type(graph, op) is not DType.FLOAT32
    sums = (INT32_BYTES * graph.tensors[op.outputs[0]].items,) if added else ()
    return sums if on.tflm.rules.sum_scratch == "sums" else (*sums, *_index_scratch(graph, op, on))


def _index_scratch(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """With every kernel set: 4·input rank, 4·number of axes."""
    source, axes = (graph.tensors[index] for index in op.inputs)
    return INT32_BYTES * len(source.shape), INT32_BYTES * axes.items


def _temporaries(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """Input, output and axes; input and axes again, of int8 the output, too."""
    again = (OUTPUT,) if first_type(graph, op) is DType.INT8 else ()
    return 0, OUTPUT, 1, 0, 1, *again


_SUMMED = same_type(DType.INT8, DType.INT16, DType.FLOAT32)


def _reduction(
    kind: OpKind,
    code: int,
    registration: Registration,
    types: Constraint,
    scratch: Buffers,
    aot: Aot,
    version: int | None = None,
) -> Operator:
    return Operator(
        kind=kind,
        code=code,
        version=version,
        inputs=(2, 2),
        valued=(1,),
        options=options.REDUCER,
        constraints=(types,),
        work=_work,
        tflm=Tflm(
            registration=registration,
            builtin_data=BuiltinData(arm32=(1, 1), x86_64=(1, 1), riscv32=(1, 1)),
            op_data=OpData(arm32=44, arm32_cmsis_nn=44, x86_64=44),
            temporaries=_temporaries,
            scratch=scratch,
        ),
        aot=aot,
    )


_SUMS = Aot(
    kernels=(Kernel(name="nn_reduce"),),
    struct="nn_reduce_t",
    sums=_sums,
    constraints=(constant_parameters,),
)
_MAXIMUM = Aot(
    kernels=(Kernel(name="nn_reduce_max"),),
    struct="nn_reduce_max_t",
    sums=_maxima,
    constraints=(constant_parameters,),
)

MEAN = _reduction(
    OpKind.MEAN, 40, Registration("AddMean", "Register_MEAN"), _SUMMED, _sum_scratch, _SUMS, version=2
)
SUM = _reduction(OpKind.SUM, 74, Registration("AddSum", "Register_SUM"), _SUMMED, _sum_scratch, _SUMS)
REDUCE_MAX = _reduction(
    OpKind.REDUCE_MAX,
    82,
    Registration("AddReduceMax", "Register_REDUCE_MAX"),
    same_type(DType.INT8, DType.FLOAT32),
    _index_scratch,
    _MAXIMUM,
)

"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.constraints import same_type
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
from mcofa.ops.rows import height, pool_window
from mcofa.ops.target import Extension, Target

_BUILTIN_DATA = BuiltinData(arm32=(40, 4), x86_64=(40, 4), riscv32=(40, 4))
_TYPES = same_type(DType.INT8, DType.INT16, DType.FLOAT32)
_OP_DATA = OpData(arm32=32, arm32_cmsis_nn=36, x86_64=32)


def _work(graph: Graph, op: Op) -> Mapping[str, int]:
    return {"pooled_elements": graph.tensors[op.outputs[0]].items * op.window[0] * op.window[1]}


def _average_temporaries(_graph: Graph, _op: Op, on: Target) -> tuple[int, ...]:
    """Input and output; CMSIS-NN's kernel borrows them twice."""
    return (0, OUTPUT) * (2 if on.has_cmsis_nn else 1)


def _average_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """CMSIS-NN: 4·C on cores with DSP, none on the others and for float32."""
    if not on.has_cmsis_nn or on.extension is not Extension.DSP or first_type(graph, op) is DType.FLOAT32:
        return ()
    return requested(INT32_BYTES * graph.tensors[op.inputs[0]].shape[3])


def _sums(graph: Graph, op: Op) -> int | None:
    """Sums of int32 where the one row of the output averages over all rows."""
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    covers = height(source) > 1 and height(output) == output.shape[0] == 1 and op.window[0] >= height(source)
    return INT32_BYTES * output.items if covers else None


AVERAGE_POOL_2D = Operator(
    kind=OpKind.AVERAGE_POOL_2D,
    code=1,
    version=2,
    ranks=(4, 4),
    options=options.POOL_2D,
    constraints=(_TYPES,),
    work=_work,
    tflm=Tflm(
        registration=Registration("AddAveragePool2D", "Register_AVERAGE_POOL_2D_INT8"),
        builtin_data=_BUILTIN_DATA,
        op_data=_OP_DATA,
        temporaries=_average_temporaries,
        scratch=_average_scratch,
    ),
    aot=Aot(
        kernels=(Kernel(name="nn_average_pool", by_row=True),),
        struct="nn_pool_t",
        rows=pool_window,
        sums=_sums,
    ),
)

MAX_POOL_2D = Operator(
    kind=OpKind.MAX_POOL_2D,
    code=17,
    ranks=(4, 4),
    options=options.POOL_2D,
    constraints=(_TYPES,),
    work=_work,
    tflm=Tflm(
        registration=Registration("AddMaxPool2D", "Register_MAX_POOL_2D_INT8"),
        builtin_data=_BUILTIN_DATA,
        op_data=_OP_DATA,
        temporaries=(0, OUTPUT),
    ),
    aot=Aot(kernels=(Kernel(name="nn_max_pool", by_row=True),), struct="nn_pool_t", rows=pool_window),
)

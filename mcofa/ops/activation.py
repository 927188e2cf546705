"""Functions of one value, and SOFTMAX."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import same_type, type_pairs
from mcofa.ops.record import (
    OUTPUT,
    Aot,
    BuiltinData,
    Kernel,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
)
from mcofa.ops.rows import same_row
from mcofa.ops.target import Target

_TYPES = same_type(DType.INT8, DType.INT16, DType.FLOAT32)
_TABLE = Aot(table=True, rows=same_row, in_place=True)


def _hard_swish_work(graph: Graph, op: Op) -> Mapping[str, int]:
    return {"hard_swish_elements": graph.tensors[op.outputs[0]].items}


HARD_SWISH = Operator(
    kind=OpKind.HARD_SWISH,
    code=117,
    version=1,
    constraints=(same_type(DType.INT8, DType.FLOAT32),),
    work=_hard_swish_work,
    tflm=Tflm(
        registration=Registration("AddHardSwish", "Register_HARD_SWISH"),
        op_data=OpData(arm32=20, arm32_cmsis_nn=20, x86_64=20),
        temporaries=(0, OUTPUT),
    ),
    aot=_TABLE,
)

LOGISTIC = Operator(
    kind=OpKind.LOGISTIC,
    code=14,
    constraints=(_TYPES,),
    tflm=Tflm(
        registration=Registration("AddLogistic", "Register_LOGISTIC"),
        op_data=OpData(arm32=16, arm32_cmsis_nn=16, x86_64=16),
        temporaries=(0, OUTPUT),
    ),
    aot=_TABLE,
)

RELU = Operator(
    kind=OpKind.RELU,
    code=19,
    constraints=(_TYPES,),
    tflm=Tflm(
        registration=Registration("AddRelu", "Register_RELU"),
        op_data=OpData(arm32=28, arm32_cmsis_nn=28, x86_64=28),
        temporaries=(0, OUTPUT),
    ),
    aot=_TABLE,
)

RELU6 = Operator(
    kind=OpKind.RELU6,
    code=21,
    constraints=(_TYPES,),
    tflm=Tflm(
        registration=Registration("AddRelu6", "Register_RELU6"),
        op_data=OpData(arm32=8, arm32_cmsis_nn=8, x86_64=8),
        temporaries=(0,),
    ),
    aot=_TABLE,
)

LEAKY_RELU = Operator(
    kind=OpKind.LEAKY_RELU,
    code=98,
    constraints=(_TYPES,),
    tflm=Tflm(
        registration=Registration("AddLeakyRelu", "Register_LEAKY_RELU"),
        builtin_data=BuiltinData(arm32=(4, 4), x86_64=(4, 4), riscv32=(4, 4)),
        op_data=OpData(arm32=24, arm32_cmsis_nn=24, x86_64=24),
        temporaries=(0, OUTPUT),
    ),
    aot=_TABLE,
)

_SOFTMAX_TABLE_ITEMS = 513


def _softmax_tables(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """Tables of exp and of 1 / (1 + x) for int16."""
    is_int16 = first_type(graph, op) is DType.INT16
    return (DType.INT16.item_bytes * _SOFTMAX_TABLE_ITEMS,) * 2 if is_int16 else ()


SOFTMAX = Operator(
    kind=OpKind.SOFTMAX,
    code=25,
    constraints=(
        type_pairs(
            (DType.INT8, DType.INT8),
            (DType.INT8, DType.INT16),
            (DType.INT16, DType.INT16),
            (DType.FLOAT32, DType.FLOAT32),
        ),
    ),
    tflm=Tflm(
        registration=Registration("AddSoftmax", "Register_SOFTMAX_INT8"),
        builtin_data=BuiltinData(arm32=(4, 4), x86_64=(4, 4), riscv32=(4, 4)),
        op_data=OpData(arm32=56, arm32_cmsis_nn=64, x86_64=80),
        temporaries=(0, OUTPUT),
        arrays=_softmax_tables,
    ),
    aot=Aot(kernels=(Kernel(name="nn_softmax"),), struct="nn_softmax_t", rows=same_row, in_place=True),
)

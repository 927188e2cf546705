"""Functions of one value that are no activations by habit, PRELU, LOG_SOFTMAX and L2_NORMALIZATION."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import same_type
from mcofa.ops.record import (
    NO_KERNEL,
    OUTPUT,
    Aot,
    BuiltinData,
    OpData,
    Operator,
    Registration,
    Tflm,
    first_type,
)
from mcofa.ops.rows import same_row
from mcofa.ops.target import Target

_TABLE = Aot(table=True, rows=same_row, in_place=True)
_BORROWED = (0, OUTPUT)


def _function(
    kind: OpKind,
    code: int,
    method: str,
    *types: DType,
    op_data_bytes: int = 0,
    temporaries: tuple[int, ...] = _BORROWED,
    aot: Aot = NO_KERNEL,
) -> Operator:
    return Operator(
        kind=kind,
        code=code,
        constraints=(same_type(*types),),
        tflm=Tflm(
            registration=Registration(method, f"Register_{kind}"),
            op_data=OpData.everywhere(op_data_bytes),
            temporaries=temporaries,
        ),
        aot=aot,
    )


TANH = _function(
    *(OpKind.TANH, 28, "AddTanh", DType.INT8, DType.INT16, DType.FLOAT32),
    op_data_bytes=16,
    temporaries=(0, 0, OUTPUT),
    aot=_TABLE,
)
ELU = _function(OpKind.ELU, 111, "AddElu", DType.INT8, DType.FLOAT32, op_data_bytes=256)
ABS = _function(
    OpKind.ABS, 101, "AddAbs", DType.INT8, DType.INT16, DType.FLOAT32, op_data_bytes=28, aot=_TABLE
)
RSQRT = _function(OpKind.RSQRT, 76, "AddRsqrt", DType.INT8, DType.INT16, DType.FLOAT32, op_data_bytes=28)
NEG = _function(OpKind.NEG, 59, "AddNeg", DType.FLOAT32, temporaries=())
SQUARE = _function(OpKind.SQUARE, 92, "AddSquare", DType.FLOAT32)
SQRT = _function(OpKind.SQRT, 75, "AddSqrt", DType.FLOAT32)
EXP = _function(OpKind.EXP, 47, "AddExp", DType.FLOAT32)
LOG = _function(OpKind.LOG, 73, "AddLog", DType.FLOAT32)
SIN = _function(OpKind.SIN, 66, "AddSin", DType.FLOAT32)
COS = _function(OpKind.COS, 108, "AddCos", DType.FLOAT32)
FLOOR = _function(OpKind.FLOOR, 8, "AddFloor", DType.FLOAT32, temporaries=())
CEIL = _function(OpKind.CEIL, 104, "AddCeil", DType.FLOAT32)
ROUND = _function(OpKind.ROUND, 116, "AddRound", DType.FLOAT32)
LOGICAL_NOT = _function(OpKind.LOGICAL_NOT, 87, "AddLogicalNot", DType.BOOL)

PRELU = Operator(
    kind=OpKind.PRELU,
    code=54,
    inputs=(2, 2),
    constraints=(same_type(DType.INT8, DType.INT16, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddPrelu", "Register_PRELU"),
        op_data=OpData.everywhere(28),
        temporaries=(0, 1, OUTPUT),
    ),
)


def _log_softmax_parameters(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Parameters of int8, two of them words, which Prepare allocates."""
    size = 40 if on.abi == "x86-64" else 28
    return (size,) if first_type(graph, op) is DType.INT8 else ()


LOG_SOFTMAX = Operator(
    kind=OpKind.LOG_SOFTMAX,
    code=50,
    constraints=(same_type(DType.INT8, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddLogSoftmax", "Register_LOG_SOFTMAX"),
        temporaries=_BORROWED,
        arrays=_log_softmax_parameters,
    ),
)

L2_NORMALIZATION = Operator(
    kind=OpKind.L2_NORMALIZATION,
    code=11,
    constraints=(same_type(DType.INT8, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddL2Normalization", "Register_L2_NORMALIZATION"),
        builtin_data=BuiltinData.one_enum(),
        op_data=OpData.everywhere(4),
        temporaries=_BORROWED,
    ),
)

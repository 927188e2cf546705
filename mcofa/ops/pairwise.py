"""Ops that take the elements of two tensors or more pair by pair, and CUMSUM, ARG_MAX and ARG_MIN."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import (
    Constraint,
    input_type,
    operands_of_type,
    output_type,
    same_type,
    unscaled_int32,
)
from mcofa.ops.record import OUTPUT, BuiltinData, OpData, Operator, Registration, Tflm, first_type
from mcofa.ops.target import Target

_BOTH = (0, 1, OUTPUT)
_MOST_ADDED = 1 << 10


def _pairwise(
    kind: OpKind,
    code: int,
    method: str,
    *types: DType,
    temporaries: tuple[int, ...] = _BOTH,
    builtin_data: BuiltinData | None = None,
    op_data_bytes: int = 0,
    constraints: tuple[Constraint, ...] = (),
) -> Operator:
    return Operator(
        kind=kind,
        code=code,
        inputs=(2, 2),
        constraints=(same_type(*types), operands_of_type, *constraints),
        tflm=Tflm(
            registration=Registration(method, f"Register_{kind}"),
            builtin_data=builtin_data or BuiltinData(),
            op_data=OpData.everywhere(op_data_bytes),
            temporaries=temporaries,
        ),
    )


_EXTREMES = (DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.FLOAT32)

MAXIMUM = _pairwise(OpKind.MAXIMUM, 55, "AddMaximum", *_EXTREMES, temporaries=())
MINIMUM = _pairwise(OpKind.MINIMUM, 57, "AddMinimum", *_EXTREMES, temporaries=())
DIV = _pairwise(
    *(OpKind.DIV, 42, "AddDiv", DType.INT8, DType.INT32, DType.FLOAT32),
    builtin_data=BuiltinData.one_enum(),
    op_data_bytes=28,
    constraints=(unscaled_int32,),
)
FLOOR_DIV = _pairwise(OpKind.FLOOR_DIV, 90, "AddFloorDiv", DType.FLOAT32)
FLOOR_MOD = _pairwise(OpKind.FLOOR_MOD, 95, "AddFloorMod", DType.FLOAT32)
SQUARED_DIFFERENCE = _pairwise(
    *(OpKind.SQUARED_DIFFERENCE, 99, "AddSquaredDifference"),
    *(DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32),
    op_data_bytes=112,
)
LOGICAL_AND = _pairwise(OpKind.LOGICAL_AND, 86, "AddLogicalAnd", DType.BOOL, temporaries=())
LOGICAL_OR = _pairwise(OpKind.LOGICAL_OR, 84, "AddLogicalOr", DType.BOOL, temporaries=())


_COMPARED = (DType.INT8, DType.INT32, DType.INT64, DType.FLOAT32)


def _comparison(kind: OpKind, code: int, method: str, *more: DType) -> Operator:
    return Operator(
        kind=kind,
        code=code,
        inputs=(2, 2),
        constraints=(input_type(*_COMPARED, *more), operands_of_type, output_type(DType.BOOL)),
        tflm=Tflm(
            registration=Registration(method, f"Register_{kind}"),
            op_data=OpData.everywhere(32),
            temporaries=(0, 1),
        ),
    )


EQUAL = _comparison(OpKind.EQUAL, 71, "AddEqual", DType.BOOL)
NOT_EQUAL = _comparison(OpKind.NOT_EQUAL, 72, "AddNotEqual", DType.BOOL)
GREATER = _comparison(OpKind.GREATER, 61, "AddGreater", DType.INT16)
GREATER_EQUAL = _comparison(OpKind.GREATER_EQUAL, 62, "AddGreaterEqual")
LESS = _comparison(OpKind.LESS, 58, "AddLess")
LESS_EQUAL = _comparison(OpKind.LESS_EQUAL, 63, "AddLessEqual")

SELECT_V2 = Operator(
    kind=OpKind.SELECT_V2,
    code=123,
    inputs=(3, 3),
    constraints=(output_type(DType.INT8, DType.INT16, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddSelectV2", "Register_SELECT_V2"),
        op_data=OpData.everywhere(1),
        temporaries=(0, 1, 2, OUTPUT),
    ),
)


def _all_inputs(_graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    return (0, OUTPUT, *range(1, len(op.inputs)))


def _kept_sum(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """Parameters of int8, which Prepare allocates."""
    return (_SUM_PARAMETERS_BYTES[op.kind],) if first_type(graph, op) is DType.INT8 else ()


def _pointers(_graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """With every kernel set: a pointer to each input."""
    return (on.pointer_bytes * len(op.inputs),)


_SUM_PARAMETERS_BYTES = {OpKind.ADD_N: 40, OpKind.CUMSUM: 36}
_SUMMED = (same_type(DType.INT8, DType.FLOAT32),)

ADD_N = Operator(
    kind=OpKind.ADD_N,
    code=106,
    inputs=(2, _MOST_ADDED),
    constraints=_SUMMED,
    tflm=Tflm(
        registration=Registration("AddAddN", "Register_ADD_N"),
        temporaries=_all_inputs,
        arrays=_kept_sum,
        scratch=_pointers,
    ),
)

CUMSUM = Operator(
    kind=OpKind.CUMSUM,
    code=128,
    inputs=(2, 2),
    constraints=_SUMMED,
    tflm=Tflm(
        registration=Registration("AddCumSum", "Register_CUMSUM"),
        builtin_data=BuiltinData.everywhere(2, 1),
        temporaries=_BOTH,
        arrays=_kept_sum,
    ),
)


def _position(kind: OpKind, code: int, method: str) -> Operator:
    return Operator(
        kind=kind,
        code=code,
        inputs=(2, 2),
        constraints=(input_type(DType.INT8, DType.FLOAT32), output_type(DType.INT32)),
        tflm=Tflm(
            registration=Registration(method, f"Register_{kind}"),
            builtin_data=BuiltinData.one_enum(),
            temporaries=(),
        ),
    )


ARG_MAX = _position(OpKind.ARG_MAX, 56, "AddArgMax")
ARG_MIN = _position(OpKind.ARG_MIN, 79, "AddArgMin")

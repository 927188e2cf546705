"""CONCATENATION, PACK, SPLIT, SPLIT_V and UNPACK: several tensors become one, or one becomes several."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import same_type
from mcofa.ops.record import OUTPUT, BuiltinData, OpData, Operator, Registration, Tflm
from mcofa.ops.target import Target

_MOST = 1 << 10
_MOST_CONCATENATED = 10


def _first_and_all(_graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    return (0, OUTPUT, *range(len(op.inputs)))


def parts_of_type(graph: Graph, op: Op) -> str:
    """The input and its parts are int8, int16, int32 or float32."""
    source = op.inputs[1 if op.kind is OpKind.SPLIT else 0]
    dtype = graph.tensors[source].dtype
    known = dtype in (DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32)
    return "" if known else str(dtype)


CONCATENATION = Operator(
    kind=OpKind.CONCATENATION,
    code=2,
    inputs=(1, _MOST_CONCATENATED),
    constraints=(same_type(DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.FLOAT32, DType.BOOL),),
    tflm=Tflm(
        registration=Registration("AddConcatenation", "Register_CONCATENATION"),
        builtin_data=BuiltinData.everywhere(8, 4),
        op_data=OpData(arm32=24, arm32_cmsis_nn=24, x86_64=80),
        temporaries=_first_and_all,
    ),
)

PACK = Operator(
    kind=OpKind.PACK,
    code=83,
    inputs=(1, _MOST),
    constraints=(same_type(DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddPack", "Register_PACK"),
        builtin_data=BuiltinData.everywhere(8, 4),
        temporaries=(),
    ),
)

UNPACK = Operator(
    kind=OpKind.UNPACK,
    code=88,
    outputs=(1, _MOST),
    constraints=(parts_of_type,),
    tflm=Tflm(
        registration=Registration("AddUnpack", "Register_UNPACK"),
        builtin_data=BuiltinData.everywhere(8, 4),
        temporaries=(),
    ),
)

SPLIT = Operator(
    kind=OpKind.SPLIT,
    code=49,
    inputs=(2, 2),
    outputs=(1, _MOST),
    constraints=(parts_of_type,),
    tflm=Tflm(
        registration=Registration("AddSplit", "Register_SPLIT"),
        builtin_data=BuiltinData.everywhere(4, 4),
        temporaries=(0,),
    ),
)

SPLIT_V = Operator(
    kind=OpKind.SPLIT_V,
    code=102,
    inputs=(3, 3),
    outputs=(1, _MOST),
    constraints=(parts_of_type,),
    tflm=Tflm(
        registration=Registration("AddSplitV", "Register_SPLIT_V"),
        builtin_data=BuiltinData.everywhere(4, 4),
        temporaries=(2,),
    ),
)

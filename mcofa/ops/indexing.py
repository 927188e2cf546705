"""SHAPE, slices and gathers: parts of a tensor that other tensors choose."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import output_type, same_type
from mcofa.ops.record import INT32_BYTES, OUTPUT, BuiltinData, OpData, Operator, Registration, Tflm
from mcofa.ops.target import Target

_SLICED = (same_type(DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32, DType.BOOL),)
_GATHERED = (same_type(DType.INT8, DType.FLOAT32),)
_TWO_INPUTS = (0, 1, OUTPUT)


def written_shape(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """Return the size of a copy of the output's shape: its rank, then its sizes."""
    return (INT32_BYTES * (1 + len(graph.tensors[op.outputs[0]].shape)),)


SHAPE = Operator(
    kind=OpKind.SHAPE,
    code=77,
    constraints=(output_type(DType.INT32),),
    tflm=Tflm(
        registration=Registration("AddShape", "Register_SHAPE"),
        builtin_data=BuiltinData.one_enum(),
        temporaries=(),
    ),
)

STRIDED_SLICE = Operator(
    kind=OpKind.STRIDED_SLICE,
    code=45,
    inputs=(4, 4),
    constraints=_SLICED,
    tflm=Tflm(
        registration=Registration("AddStridedSlice", "Register_STRIDED_SLICE"),
        builtin_data=BuiltinData.everywhere(24, 4),
        op_data=OpData.everywhere(84),
        temporaries=(0, 1, 2, 3, OUTPUT),
    ),
)

SLICE = Operator(
    kind=OpKind.SLICE,
    code=65,
    inputs=(3, 3),
    constraints=_SLICED,
    tflm=Tflm(registration=Registration("AddSlice", "Register_SLICE"), temporaries=(0, 1, 2, OUTPUT)),
)

GATHER = Operator(
    kind=OpKind.GATHER,
    code=36,
    inputs=(2, 2),
    constraints=_GATHERED,
    tflm=Tflm(
        registration=Registration("AddGather", "Register_GATHER"),
        builtin_data=BuiltinData.everywhere(8, 4),
        temporaries=_TWO_INPUTS,
        arrays=written_shape,
    ),
)

GATHER_ND = Operator(
    kind=OpKind.GATHER_ND,
    code=107,
    inputs=(2, 2),
    constraints=_GATHERED,
    tflm=Tflm(
        registration=Registration("AddGatherNd", "Register_GATHER_ND"),
        temporaries=_TWO_INPUTS,
        arrays=written_shape,
    ),
)

"""Ops that put the values of a tensor in other places, or repeat them, and CAST."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import input_type, one_type, output_type, same_type
from mcofa.ops.indexing import written_shape
from mcofa.ops.movement import RENAMED
from mcofa.ops.record import INT32_BYTES, OUTPUT, BuiltinData, OpData, Operator, Registration, Tflm
from mcofa.ops.target import Target

_ONE_INPUT = (0, OUTPUT)
_TWO_INPUTS = (0, 1, OUTPUT)
_INT8_OR_FLOAT = (same_type(DType.INT8, DType.FLOAT32),)

SQUEEZE = Operator(
    kind=OpKind.SQUEEZE,
    code=43,
    constraints=(one_type,),
    tflm=Tflm(
        registration=Registration("AddSqueeze", "Register_SQUEEZE"),
        builtin_data=BuiltinData.everywhere(36, 4),
        temporaries=_ONE_INPUT,
    ),
    aot=RENAMED,
)

EXPAND_DIMS = Operator(
    kind=OpKind.EXPAND_DIMS,
    code=70,
    inputs=(2, 2),
    constraints=(same_type(DType.INT8, DType.INT16, DType.FLOAT32),),
    tflm=Tflm(registration=Registration("AddExpandDims", "Register_EXPAND_DIMS"), temporaries=_TWO_INPUTS),
    aot=RENAMED,
)

SPACE_TO_BATCH_ND = Operator(
    kind=OpKind.SPACE_TO_BATCH_ND,
    code=38,
    inputs=(3, 3),
    constraints=_INT8_OR_FLOAT,
    tflm=Tflm(
        registration=Registration("AddSpaceToBatchNd", "Register_SPACE_TO_BATCH_ND"),
        op_data=OpData.everywhere(4),
        temporaries=_ONE_INPUT,
    ),
)

BATCH_TO_SPACE_ND = Operator(
    kind=OpKind.BATCH_TO_SPACE_ND,
    code=37,
    inputs=(3, 3),
    constraints=_INT8_OR_FLOAT,
    tflm=Tflm(
        registration=Registration("AddBatchToSpaceNd", "Register_BATCH_TO_SPACE_ND"), temporaries=_ONE_INPUT
    ),
)

SPACE_TO_DEPTH = Operator(
    kind=OpKind.SPACE_TO_DEPTH,
    code=26,
    ranks=(4, 4),
    constraints=_INT8_OR_FLOAT,
    tflm=Tflm(
        registration=Registration("AddSpaceToDepth", "Register_SPACE_TO_DEPTH"),
        builtin_data=BuiltinData.everywhere(4, 4),
        temporaries=_ONE_INPUT,
        arrays=written_shape,
    ),
)

DEPTH_TO_SPACE = Operator(
    kind=OpKind.DEPTH_TO_SPACE,
    code=5,
    ranks=(4, 4),
    constraints=_INT8_OR_FLOAT,
    tflm=Tflm(
        registration=Registration("AddDepthToSpace", "Register_DEPTH_TO_SPACE"),
        builtin_data=BuiltinData.everywhere(4, 4),
        temporaries=_ONE_INPUT,
        arrays=written_shape,
    ),
)

REVERSE_V2 = Operator(
    kind=OpKind.REVERSE_V2,
    code=105,
    inputs=(2, 2),
    constraints=(one_type,),
    tflm=Tflm(registration=Registration("AddReverseV2", "Register_REVERSE_V2"), temporaries=_TWO_INPUTS),
)


def _mirror_scratch(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """With every kernel set: strides of the output, then of the input."""
    return (INT32_BYTES * len(graph.tensors[op.inputs[0]].shape),) * 2


MIRROR_PAD = Operator(
    kind=OpKind.MIRROR_PAD,
    code=100,
    inputs=(2, 2),
    ranks=(None, None, None),
    constraints=_INT8_OR_FLOAT,
    tflm=Tflm(
        registration=Registration("AddMirrorPad", "Register_MIRROR_PAD"),
        builtin_data=BuiltinData.one_enum(),
        op_data=OpData.everywhere(20),
        temporaries=_TWO_INPUTS,
        scratch=_mirror_scratch,
    ),
)

PADV2 = Operator(
    kind=OpKind.PADV2,
    code=60,
    inputs=(3, 3),
    constraints=(same_type(DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddPadV2", "Register_PADV2"),
        op_data=OpData.everywhere(56),
        temporaries=(0, 1, 2, OUTPUT),
    ),
)


def _constant_dimensions(graph: Graph, op: Op) -> str:
    """The dimensions are constants."""
    return "" if graph.tensors[op.inputs[0]].constant else "with dimensions that are not constant"


FILL = Operator(
    kind=OpKind.FILL,
    code=94,
    inputs=(2, 2),
    constraints=(output_type(DType.INT8, DType.INT32, DType.FLOAT32), _constant_dimensions),
    tflm=Tflm(registration=Registration("AddFill", "Register_FILL"), temporaries=_TWO_INPUTS),
)

ZEROS_LIKE = Operator(
    kind=OpKind.ZEROS_LIKE,
    code=93,
    constraints=(same_type(DType.INT8, DType.INT32, DType.INT64, DType.FLOAT32),),
    tflm=Tflm(registration=Registration("AddZerosLike", "Register_ZEROS_LIKE"), temporaries=_ONE_INPUT),
)

BROADCAST_TO = Operator(
    kind=OpKind.BROADCAST_TO,
    code=130,
    inputs=(2, 2),
    constraints=(one_type,),
    tflm=Tflm(registration=Registration("AddBroadcastTo", "Register_BROADCAST_TO"), temporaries=_TWO_INPUTS),
)

BROADCAST_ARGS = Operator(
    kind=OpKind.BROADCAST_ARGS,
    code=145,
    inputs=(2, 2),
    constraints=(same_type(DType.INT32, DType.INT64),),
    tflm=Tflm(
        registration=Registration("AddBroadcastArgs", "Register_BROADCAST_ARGS"), temporaries=_TWO_INPUTS
    ),
)

_NUMBERS = (DType.INT8, DType.INT16, DType.INT32, DType.UINT32, DType.FLOAT32)

CAST = Operator(
    kind=OpKind.CAST,
    code=53,
    constraints=(input_type(*_NUMBERS, DType.BOOL), output_type(*_NUMBERS)),
    tflm=Tflm(
        registration=Registration("AddCast", "Register_CAST"),
        builtin_data=BuiltinData((2, 1), (8, 4), (8, 4)),
        temporaries=_ONE_INPUT,
    ),
)

"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from mcofa.graph import DType, OpKind
from mcofa.ops.constraints import same_type
from mcofa.ops.record import OUTPUT, BuiltinData, Operator, Registration, Tflm

RESIZE_BILINEAR = Operator(
    kind=OpKind.RESIZE_BILINEAR,
    code=23,
    inputs=(2, 2),
    ranks=(4, None, 4),
    constraints=(same_type(DType.INT8, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddResizeBilinear", "Register_RESIZE_BILINEAR"),
        builtin_data=BuiltinData.everywhere(2, 1),
        temporaries=(0, 1, OUTPUT),
    ),
)

RESIZE_NEAREST_NEIGHBOR = Operator(
    kind=OpKind.RESIZE_NEAREST_NEIGHBOR,
    code=97,
    inputs=(2, 2),
    ranks=(4, None, 4),
    constraints=(same_type(DType.INT8, DType.INT16, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddResizeNearestNeighbor", ""),
        builtin_data=BuiltinData.everywhere(2, 1),
        temporaries=(0, 1, OUTPUT),
    ),
)

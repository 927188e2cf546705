"""QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from mcofa.graph import DType, OpKind
from mcofa.ops.constraints import type_pairs
from mcofa.ops.record import OUTPUT, Aot, Kernel, OpData, Operator, Registration, Tflm
from mcofa.ops.rows import same_row

_OP_DATA = OpData(arm32=32, arm32_cmsis_nn=32, x86_64=32)

QUANTIZE = Operator(
    kind=OpKind.QUANTIZE,
    code=114,
    constraints=(
        type_pairs(
            *((DType.INT8, to) for to in (DType.INT8, DType.UINT8, DType.INT16, DType.INT32)),
            (DType.UINT8, DType.INT8),
            *((DType.INT16, to) for to in (DType.INT8, DType.INT16, DType.INT32)),
            *((DType.INT32, to) for to in (DType.INT8, DType.INT16)),
            *((DType.FLOAT32, to) for to in (DType.INT8, DType.INT16)),
        ),
    ),
    tflm=Tflm(
        registration=Registration("AddQuantize", "Register_QUANTIZE"),
        op_data=_OP_DATA,
        temporaries=(0, OUTPUT),
    ),
    aot=Aot(
        kernels=(Kernel(name="nn_quantize"),),
        struct="nn_quantize_t",
        table=True,
        rows=same_row,
        in_place=True,
        types=type_pairs(
            (DType.INT8, DType.INT8),
            (DType.INT8, DType.UINT8),
            (DType.UINT8, DType.INT8),
            (DType.FLOAT32, DType.INT8),
        ),
    ),
)

DEQUANTIZE = Operator(
    kind=OpKind.DEQUANTIZE,
    code=6,
    constraints=(type_pairs(*((of, DType.FLOAT32) for of in (DType.INT8, DType.UINT8, DType.INT16))),),
    tflm=Tflm(
        registration=Registration("AddDequantize", "Register_DEQUANTIZE"),
        op_data=_OP_DATA,
        temporaries=(0, OUTPUT),
    ),
    aot=Aot(
        kernels=(Kernel(name="nn_dequantize"),),
        struct="nn_quantize_t",
        rows=same_row,
        types=type_pairs((DType.INT8, DType.FLOAT32)),
    ),
)

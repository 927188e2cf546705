"""QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from mcofa.graph import OpKind
from mcofa.ops.constraints import int8_or_float_to_int8, int8_to_float
from mcofa.ops.record import OUTPUT, Aot, Kernel, OpData, Operator, Registration, Tflm
from mcofa.ops.rows import same_row

_OP_DATA = OpData(arm32=32, arm32_cmsis_nn=32, x86_64=32)

QUANTIZE = Operator(
    kind=OpKind.QUANTIZE,
    code=114,
    constraints=(),
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
        constraints=(int8_or_float_to_int8,),
    ),
)

DEQUANTIZE = Operator(
    kind=OpKind.DEQUANTIZE,
    code=6,
    constraints=(),
    tflm=Tflm(
        registration=Registration("AddDequantize", "Register_DEQUANTIZE"),
        op_data=_OP_DATA,
        temporaries=(0, OUTPUT),
    ),
    aot=Aot(
        kernels=(Kernel(name="nn_dequantize"),),
        struct="nn_quantize_t",
        rows=same_row,
        constraints=(int8_to_float,),
    ),
)

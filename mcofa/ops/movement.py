"""RESHAPE, PAD and TRANSPOSE, which move values and change none."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import any_type, constant_parameters, one_type, same_type
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
)
from mcofa.ops.rows import RowWindow
from mcofa.ops.target import Target

_COPY = Kernel(name="nn_copy")


def _resolved_shape(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """A copy of an output shape with −1: its rank, then its sizes."""
    if not op.output_wildcard:
        return ()
    return (INT32_BYTES * (1 + len(graph.tensors[op.outputs[0]].shape)),)


RENAMED = Aot(
    kernels=(_COPY,),
    struct="nn_copy_t",
    in_place=True,
    in_place_is_nothing=True,
    types=any_type,
    constraints=(constant_parameters,),
)
"""The output has the bytes of the input, in another shape."""

RESHAPE = Operator(
    kind=OpKind.RESHAPE,
    code=22,
    inputs=(1, 2),
    constraints=(one_type,),
    tflm=Tflm(
        registration=Registration("AddReshape", "Register_RESHAPE"),
        builtin_data=BuiltinData(arm32=(36, 4), x86_64=(36, 4), riscv32=(36, 4)),
        temporaries=(0, OUTPUT),
        arrays=_resolved_shape,
    ),
    aot=RENAMED,
)


def _padded_row(graph: Graph, op: Op) -> RowWindow | None:
    """A row of the output is one of the input, or none."""
    source, amounts = (graph.tensors[index] for index in op.inputs)
    if len(source.shape) != 4 or source.shape[0] != 1 or len(amounts.values) != 8 or any(amounts.values[:2]):
        return None
    return RowWindow(above=amounts.values[2])


PAD = Operator(
    kind=OpKind.PAD,
    code=34,
    version=2,
    inputs=(2, 2),
    valued=(1,),
    constraints=(same_type(DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration("AddPad", "Register_PAD_INT8", "tensorflow/lite/micro/kernels/pad.h"),
        op_data=OpData(arm32=56, arm32_cmsis_nn=56, x86_64=56),
        temporaries=(0, 1, 2, OUTPUT),
    ),
    aot=Aot(kernels=(_COPY,), struct="nn_copy_t", rows=_padded_row, constraints=(constant_parameters,)),
)

TRANSPOSE = Operator(
    kind=OpKind.TRANSPOSE,
    code=39,
    inputs=(2, 2),
    constraints=(same_type(DType.INT8, DType.INT16, DType.FLOAT32),),
    tflm=Tflm(
        registration=Registration(
            "AddTranspose", "Register_TRANSPOSE_INT8", "tensorflow/lite/micro/kernels/transpose.h"
        ),
        temporaries=(0, 1, OUTPUT),
    ),
    aot=Aot(kernels=(_COPY,), struct="nn_copy_t", types=any_type, constraints=(constant_parameters,)),
)

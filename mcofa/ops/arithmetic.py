"""ADD, SUB and MUL of two tensors, one of which may be repeated along some dimensions."""

from __future__ import annotations

from collections.abc import Mapping

from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.constraints import operands_of_type, same_type, unscaled_int32
from mcofa.ops.record import OUTPUT, Aot, BuiltinData, Kernel, OpData, Operator, Registration, Tflm
from mcofa.ops.rows import same_row

_TEMPORARIES = (0, 1, OUTPUT)
_TYPES = same_type(DType.INT8, DType.INT16, DType.INT32, DType.FLOAT32), operands_of_type
_ADD_AOT = Aot(kernels=(Kernel(name="nn_add"),), struct="nn_add_t", operands=2, rows=same_row, in_place=True)


def _added(graph: Graph, op: Op) -> Mapping[str, int]:
    return {"add_elements": graph.tensors[op.outputs[0]].items}


def _multiplied(graph: Graph, op: Op) -> Mapping[str, int]:
    """A product of equal shapes takes what a sum does."""
    items = graph.tensors[op.outputs[0]].items
    repeats = any(graph.tensors[index].items != items for index in op.inputs)
    return {"broadcast_mul_elements" if repeats else "add_elements": items}


ADD = Operator(
    kind=OpKind.ADD,
    code=0,
    version=2,
    inputs=(2, 2),
    options=options.ADD,
    constraints=(*_TYPES, unscaled_int32),
    work=_added,
    tflm=Tflm(
        registration=Registration("AddAdd", "Register_ADD_INT8"),
        builtin_data=BuiltinData(arm32=(2, 1), x86_64=(8, 4), riscv32=(8, 4)),
        op_data=OpData(arm32=60, arm32_cmsis_nn=60, x86_64=60),
        temporaries=_TEMPORARIES,
    ),
    aot=_ADD_AOT,
)

SUB = Operator(
    kind=OpKind.SUB,
    code=41,
    inputs=(2, 2),
    options=options.SUB,
    constraints=(*_TYPES, unscaled_int32),
    work=_added,
    tflm=Tflm(
        registration=Registration("AddSub", "Register_SUB"),
        builtin_data=BuiltinData(arm32=(2, 1), x86_64=(8, 4), riscv32=(8, 4)),
        op_data=OpData(arm32=52, arm32_cmsis_nn=52, x86_64=52),
        temporaries=_TEMPORARIES,
    ),
    aot=_ADD_AOT,
)

MUL = Operator(
    kind=OpKind.MUL,
    code=18,
    version=2,
    inputs=(2, 2),
    options=options.MUL,
    constraints=_TYPES,
    work=_multiplied,
    tflm=Tflm(
        registration=Registration("AddMul", "Register_MUL_INT8"),
        builtin_data=BuiltinData(arm32=(1, 1), x86_64=(4, 4), riscv32=(4, 4)),
        op_data=OpData(arm32=36, arm32_cmsis_nn=36, x86_64=36),
        temporaries=_TEMPORARIES,
    ),
    aot=Aot(kernels=(Kernel(name="nn_mul"),), struct="nn_mul_t", operands=2, rows=same_row, in_place=True),
)

"""Resource variables, which keep their values from one inference to the next, and CALL_ONCE.

A subgraph that CALL_ONCE runs before the first inference gives the variables their first values.
"""

from __future__ import annotations

from mcofa.graph import Graph, Op, OpKind
from mcofa.ops import options
from mcofa.ops.record import BuiltinData, OpData, Operator, Registration, Tflm
from mcofa.ops.target import Target

CALL_ONCE = Operator(
    kind=OpKind.CALL_ONCE,
    code=129,
    inputs=(0, 0),
    outputs=(0, 0),
    options=options.CALL_ONCE,
    constraints=(),
    work=lambda graph, op: {},
    tflm=Tflm(
        registration=Registration("AddCallOnce", "Register_CALL_ONCE"),
        builtin_data=BuiltinData.everywhere(4, 4),
        op_data=OpData.everywhere(8),
        temporaries=(),
    ),
)

VAR_HANDLE = Operator(
    kind=OpKind.VAR_HANDLE,
    code=142,
    inputs=(0, 0),
    options=options.VAR_HANDLE,
    constraints=(),
    work=lambda graph, op: {},
    tflm=Tflm(
        registration=Registration("AddVarHandle", "Register_VAR_HANDLE"),
        builtin_data=BuiltinData(arm32=(8, 4), x86_64=(16, 8), riscv32=(8, 4)),
        op_data=OpData.everywhere(4),
        temporaries=(),
        keeps_output=True,
    ),
)

READ_VARIABLE = Operator(
    kind=OpKind.READ_VARIABLE,
    code=143,
    constraints=(),
    tflm=Tflm(registration=Registration("AddReadVariable", "Register_READ_VARIABLE"), temporaries=(0,)),
)


def _variable(graph: Graph, op: Op) -> str:
    """The variable that an ASSIGN_VARIABLE writes, as its subgraph knows it: "" if it was handed in."""
    handles = (one for one in graph.ops if op.inputs[0] in one.outputs and one.subgraph == op.subgraph)
    return next((one.variable for one in handles), "")


def _values(graph: Graph, op: Op, _on: Target) -> tuple[int, ...]:
    """The values of a variable: kept where it is first assigned, in the order of preparing."""
    name = _variable(graph, op)
    assigning = (graph.ops[i] for i in graph.prepared_order)
    first = next(
        one for one in assigning if one.kind is OpKind.ASSIGN_VARIABLE and _variable(graph, one) == name
    )
    return (graph.tensors[op.inputs[1]].bytes,) if name and first is op else ()


ASSIGN_VARIABLE = Operator(
    kind=OpKind.ASSIGN_VARIABLE,
    code=144,
    inputs=(2, 2),
    outputs=(0, 0),
    constraints=(),
    work=lambda graph, op: {},
    tflm=Tflm(
        registration=Registration("AddAssignVariable", "Register_ASSIGN_VARIABLE"),
        # The wheel is built for compressed tensors, and keeps a scratch index for them.
        op_data=OpData(x86_64=4),
        temporaries=(1,),
        arrays=_values,
    ),
)

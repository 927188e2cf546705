"""Which kernels of engine ``aot`` run a graph."""

from __future__ import annotations

from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op
from mcofa.ops import LOOKUP, OPERATORS, Target


def check_supported(graph: Graph) -> None:
    """Check that there is a kernel for every op of ``graph``.

    Raises:
        UnsupportedOpError: names all the ops without one.
    """
    reasons = sorted({reason for op in graph.ops if (reason := _unsupported(graph, op))})
    if any(tensor.variable for tensor in graph.tensors):
        reasons.append("variable tensors")
    if reasons:
        raise UnsupportedOpError(
            f"engine aot has no kernel for: {', '.join(reasons)}",
            "use `--engine tflm`, or convert the model to int8 without them",
        )


def _unsupported(graph: Graph, op: Op) -> str:
    operator = OPERATORS[op.kind]
    if not operator.aot.exists:
        return str(op.kind)
    for constraint in (*operator.constraints, operator.aot.types, *operator.aot.constraints):
        if broken := constraint(graph, op):
            return f"{op.kind} ({broken})"
    return ""


def reads_table(graph: Graph, op: Op) -> bool:
    """Return whether a table of 256 values runs ``op``: a function of one value of 8 bits."""
    return OPERATORS[op.kind].aot.table and graph.tensors[op.inputs[0]].dtype in (DType.INT8, DType.UINT8)


def kernel(graph: Graph, op: Op, on: Target) -> str:
    """Return the name of the kernel that runs ``op`` on the target ``on``."""
    rules = OPERATORS[op.kind].aot
    if reads_table(graph, op):
        return LOOKUP.name
    chosen = rules.choose(graph, op, on) if rules.choose else rules.kernels[0]
    return chosen.name

"""What ops must keep to; the docstring of each function is the rule as the documents print it."""

from __future__ import annotations

from mcofa.graph import DType, Graph, Op


def int8_to_int8(graph: Graph, op: Op) -> str:
    """Input and output are int8."""
    return _other_types(graph, op, (DType.INT8, DType.INT8))


def int8_or_float_to_int8(graph: Graph, op: Op) -> str:
    """The input is int8 or float32, the output int8."""
    return _other_types(graph, op, (DType.INT8, DType.INT8), (DType.FLOAT32, DType.INT8))


def int8_to_float(graph: Graph, op: Op) -> str:
    """The input is int8, the output float32."""
    return _other_types(graph, op, (DType.INT8, DType.FLOAT32))


def constant_parameters(graph: Graph, op: Op) -> str:
    """All inputs but the first are constants."""
    variable = any(index >= 0 and not graph.tensors[index].constant for index in op.inputs[1:])
    return "with weights that are not constant" if variable else ""


def _other_types(graph: Graph, op: Op, *known: tuple[DType, DType]) -> str:
    found = graph.tensors[op.inputs[0]].dtype, graph.tensors[op.outputs[0]].dtype
    if found in known:
        return ""
    return found[0] if found[0] is found[1] else f"{found[0]} to {found[1]}"

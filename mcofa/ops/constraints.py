"""What ops must keep to; the docstring of each function is the rule as the documents print it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcofa.graph import DType, Graph, Op

Constraint = Callable[[Graph, Op], str]
"""Returns what an op does not keep to, or "". The docstring is the rule, as documents print it."""

_Pair = tuple[DType, DType]


def same_type(*known: DType) -> Constraint:
    """Return the rule that first input and output are of one and the same of the ``known`` types."""
    rule = f"Input and output are {_either(known)}."
    return _types_rule(rule, {(dtype, dtype) for dtype in known})


def type_pairs(*known: _Pair) -> Constraint:
    """Return the rule that first input and output are one of the ``known`` pairs of types."""
    sources = tuple(dict.fromkeys(source for source, _ in known))
    cases = (f"{source} to {_either([to for of, to in known if of is source])}" for source in sources)
    return _types_rule(f"From {', from '.join(cases)}.", set(known))


def _types_rule(rule: str, known: set[_Pair]) -> Constraint:
    def constraint(graph: Graph, op: Op) -> str:
        found = graph.tensors[op.inputs[0]].dtype, graph.tensors[op.outputs[0]].dtype
        if found in known:
            return ""
        return found[0] if found[0] is found[1] else f"{found[0]} to {found[1]}"

    constraint.__doc__ = rule
    return constraint


def _either(types: Sequence[DType]) -> str:
    *first, last = types
    return f"{', '.join(first)} or {last}" if first else last


def input_type(*known: DType) -> Constraint:
    """Return the rule that the first input is of one of the ``known`` types."""
    return _end_rule("input", known, lambda op: op.inputs[0])


def output_type(*known: DType) -> Constraint:
    """Return the rule that the first output is of one of the ``known`` types."""
    return _end_rule("output", known, lambda op: op.outputs[0])


def _end_rule(end: str, known: Sequence[DType], index: Callable[[Op], int]) -> Constraint:
    def constraint(graph: Graph, op: Op) -> str:
        dtype = graph.tensors[index(op)].dtype
        return "" if dtype in known else f"{end} {dtype}"

    constraint.__doc__ = f"The {end} is {_either(known)}."
    return constraint


def one_type(graph: Graph, op: Op) -> str:
    """Input and output are of one type."""
    source, output = (graph.tensors[index].dtype for index in (op.inputs[0], op.outputs[0]))
    return "" if source is output else f"{source} to {output}"


def any_type(_graph: Graph, _op: Op) -> str:
    """Any type."""
    return ""


int8_to_int8 = same_type(DType.INT8)


def filter_of_type(graph: Graph, op: Op) -> str:
    """The filter is int8, or float32 where the input is."""
    source, weights = (graph.tensors[index].dtype for index in op.inputs[:2])
    wanted = DType.FLOAT32 if source is DType.FLOAT32 else DType.INT8
    return "" if weights is wanted else f"{source} with a filter of {weights}"


def operands_of_type(graph: Graph, op: Op) -> str:
    """Both inputs are of one type."""
    one, other = (graph.tensors[index].dtype for index in op.inputs[:2])
    return "" if one is other else f"{one} and {other}"


def unscaled_int32(graph: Graph, op: Op) -> str:
    """int32 is not quantized."""
    scaled = any(graph.tensors[i].dtype is DType.INT32 and graph.tensors[i].scales for i in op.inputs[:2])
    return "quantized int32" if scaled else ""


def constant_parameters(graph: Graph, op: Op) -> str:
    """All inputs but the first are constants."""
    variable = any(index >= 0 and not graph.tensors[index].constant for index in op.inputs[1:])
    return "with weights that are not constant" if variable else ""

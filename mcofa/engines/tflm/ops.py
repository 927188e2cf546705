"""What each op of a graph adds to the arena: its persistent data, arrays and scratch buffers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mcofa.engines.tflm.targets import int_array_bytes, structs
from mcofa.errors import UnsupportedOpError
from mcofa.graph import Graph, Op
from mcofa.ops import OPERATORS, Target, Tflm
from mcofa.ops.record import OUTPUT


@dataclass(frozen=True, slots=True)
class OpMemory:
    """What one op of a graph adds to the arena of a target (bytes).

    ``kernel_arrays_bytes`` and ``op_data_bytes`` are persistent and aligned to 16 each;
    ``scratch_bytes`` are planned in the head; ``temporaries_bytes`` live while the op
    is prepared.
    """

    builtin_data_bytes: int
    builtin_data_align: int
    op_data_bytes: int
    kernel_arrays_bytes: tuple[int, ...]
    scratch_bytes: tuple[int, ...]
    temporaries_bytes: int


def check_supported(graph: Graph, on: Target) -> None:
    """Check that every op of ``graph`` keeps to the constraints of its operator.

    Raises:
        UnsupportedOpError: names all the ops that do not.
    """
    named = ((op, _unsupported(graph, op, on)) for op in graph.ops)
    raise_unsupported(f"{op.kind} ({reason})" for op, reason in named if reason)


def _unsupported(graph: Graph, op: Op, on: Target) -> str:
    """Why the op's memory is not known, or ""."""
    operator = OPERATORS[op.kind]
    broken = next(filter(None, (constraint(graph, op) for constraint in operator.constraints)), "")
    return broken or operator.tflm.undefined(graph, op, on)


def raise_unsupported(names: Iterable[str]) -> None:
    """Raise one error that names every distinct op in ``names``; do nothing if there is none.

    Raises:
        UnsupportedOpError: ``names`` is not empty.
    """
    distinct = sorted(set(names))
    if distinct:
        raise UnsupportedOpError(
            f"no memory rule for: {', '.join(distinct)} (known: {', '.join(OPERATORS)}; int8)",
            "convert the model to int8 with these ops only",
        )


def op_memory(graph: Graph, op: Op, on: Target) -> OpMemory:
    """Return what ``op`` adds to the arena of ``on``; the op must be supported."""
    rules = OPERATORS[op.kind].tflm
    builtin_bytes, builtin_align = rules.builtin_data.on(on.abi)
    return OpMemory(
        builtin_data_bytes=builtin_bytes,
        builtin_data_align=builtin_align,
        op_data_bytes=rules.op_data.on(on),
        kernel_arrays_bytes=rules.arrays(graph, op, on),
        scratch_bytes=rules.scratch(graph, op, on),
        temporaries_bytes=_temporaries_bytes(graph, op, on, rules),
    )


def _temporaries_bytes(graph: Graph, op: Op, on: Target, rules: Tflm) -> int:
    """Bytes of the temporary tensors that Prepare borrows; absent optional inputs cost nothing."""
    sizes = structs(on.abi)
    total = 0
    for index in _temporaries(op, on, rules):
        scales = graph.tensors[index].scales
        total += sizes.tensor + (sizes.affine_quantization + int_array_bytes(scales) if scales else 0)
    return total


def _temporaries(op: Op, on: Target, rules: Tflm) -> Iterable[int]:
    """The tensors that Prepare borrows, by index in the graph."""
    positions = rules.temporaries
    if on.has_cmsis_nn and rules.cmsis_nn_temporaries is not None:
        positions = rules.cmsis_nn_temporaries
    for position in positions:
        if position == OUTPUT:
            yield op.outputs[0]
        elif position < len(op.inputs) and op.inputs[position] >= 0:
            yield op.inputs[position]

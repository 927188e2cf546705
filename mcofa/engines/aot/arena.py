"""What engine ``aot`` needs for a graph: kernels, arena and flash, known before anything is generated.

Generated C has no interpreter: the arena holds activations and scratch and nothing else, the
flash the constants, one parameter struct an op, and the kernels that are used. An op whose
input is not read afterwards works in place where its kernel can, so that several tensors
may share one *storage*; storages and scratch are the buffers that are planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op
from mcofa.memory.offline import plan_offline
from mcofa.memory.plan import Buffer, Plan, plan_greedy
from mcofa.ops import LOOKUP, OPERATORS, Target

PLANNING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Storage:
    """Where tensors lie that share memory, or the scratch of one op (then without tensors)."""

    buffer: Buffer
    tensors: tuple[int, ...]


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
    for constraint in (*operator.constraints, *operator.aot.constraints):
        if broken := constraint(graph, op):
            return f"{op.kind} ({broken})"
    return ""


def reads_table(graph: Graph, op: Op) -> bool:
    """Return whether a table of 256 values runs ``op``: a function of one int8 value."""
    return OPERATORS[op.kind].aot.table and graph.tensors[op.inputs[0]].dtype is DType.INT8


def kernel(graph: Graph, op: Op, on: Target) -> str:
    """Return the name of the kernel that runs ``op`` on the target ``on``."""
    rules = OPERATORS[op.kind].aot
    if reads_table(graph, op):
        return LOOKUP.name
    chosen = rules.choose(graph, op, on) if rules.choose else rules.kernels[0]
    return chosen.name


def storages(graph: Graph, on: Target) -> tuple[Storage, ...]:
    """Return what must be planned, storages of tensors by their first tensor, then scratch by op.

    The input exists from step 0, op *i* is step *i* + 1, and outputs stay to the end. An
    output takes over the storage of an input of its size that is not read again, if the kernel
    works in place; of two such inputs, that of the later one, so that blocks stay independent.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
    """
    check_supported(graph)
    first, last = _lifetimes(graph)
    storage_of: dict[int, int] = {index: index for index in graph.inputs}
    end = {index: last[index] for index in graph.inputs}
    for step, op in enumerate(graph.ops, start=1):
        output = op.outputs[0]
        takers = [index for index in op.inputs if _may_take_over(graph, op, index)]
        free = [storage_of[index] for index in takers if end[storage_of[index]] == step]
        storage_of[output] = max(free, key=lambda index: first[index], default=output)
        end[storage_of[output]] = max(end.get(storage_of[output], step), last[output])
    tensors = [
        Storage(
            Buffer(graph.tensors[root].bytes, first[root], end[root]),
            tuple(index for index in sorted(storage_of) if storage_of[index] == root),
        )
        for root in sorted(end)
    ]
    scratch = [
        Storage(Buffer(size, step, step), ())
        for step, op in enumerate(graph.ops, start=1)
        if (size := OPERATORS[op.kind].aot.scratch_bytes(graph, op, on))
    ]
    return (*tensors, *scratch)


def _may_take_over(graph: Graph, op: Op, index: int) -> bool:
    """Whether the output may lie where the input ``index`` does, if nothing reads that again."""
    if not OPERATORS[op.kind].aot.in_place or index < 0 or graph.tensors[index].constant:
        return False
    source, output = graph.tensors[index], graph.tensors[op.outputs[0]]
    return source.bytes == output.bytes and source.items == output.items


def _lifetimes(graph: Graph) -> tuple[dict[int, int], dict[int, int]]:
    """First and last step of every tensor that is not constant."""
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for step, op in enumerate(graph.ops, start=1):
        for index in op.inputs:
            if index in first:
                last[index] = step
        first[op.outputs[0]] = last[op.outputs[0]] = step
    last.update(dict.fromkeys(graph.outputs, len(graph.ops) + 1))
    return first, last


def solved_plan(stored: Sequence[Storage]) -> Plan:
    """Return where generated C puts storages: never more bytes than the greedy plan takes.

    Raises:
        McofaError: the solver is needed and not installed.
    """
    return plan_offline([storage.buffer for storage in stored], PLANNING_SECONDS).plan


def aot_arena_bytes(graph: Graph, on: Target) -> int:
    """Return the arena of the greedy plan, in bytes: what the search counts with.

    The export plans again with a solver, which never takes more.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
    """
    return plan_greedy([storage.buffer for storage in storages(graph, on)]).total_bytes

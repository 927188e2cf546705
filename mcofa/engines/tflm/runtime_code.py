"""Flash that TensorFlow Lite Micro's code and constants take, by op set and kernel set.

The table ``runtime_code.json`` was measured by linking: for each core and kernel set it
holds how many bytes are linked whenever any op of a group is registered, and under the
empty group what every program has (interpreter, allocator, planner). A set of ops takes
the groups that it touches; ``benchmarks/measure_runtime_code.py`` checks that against
programs linked for random sets.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from functools import cache
from pathlib import Path

from mcofa.boards import Board, core_named
from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops import OPERATORS
from mcofa.ops.record import first_type

TABLE_FILE = Path(__file__).with_name("runtime_code.json")


def runtime_code_bytes(kinds: Iterable[OpKind], core: str, kernels: str) -> int:
    """Return the flash that TFLM takes with registrations for ``kinds``.

    Raises:
        UnsupportedOpError: no code size was measured for a kind of op.
    """
    parts = {part: size for kind in kinds for part, size in code_parts(kind, core, kernels).items()}
    return always_linked_bytes(core, kernels) + sum(parts.values())


def graph_code_bytes(graph: Graph, board: Board) -> int:
    """Return the flash that TFLM takes on ``board`` with the ops of ``graph``, less the ``uncounted_ops``."""
    kinds = {op.kind for op in graph.ops if _is_counted(op.kind, board)}
    return runtime_code_bytes(kinds, board.core, board.kernels)


def uncounted_ops(graph: Graph, board: Board) -> tuple[str, ...]:
    """Return the ops whose code was not measured on ``board``, with their type where that is why."""
    unmeasured = {str(op.kind) for op in graph.ops if not _is_counted(op.kind, board)}
    if board.kernels != "reference":
        # The reference kernels of a kind hold all types, which optimized ones have in functions of their own.
        other = (op for op in graph.ops if needs_any_type(graph, op))
        unmeasured |= {f"{op.kind} of {first_type(graph, op)}" for op in other}
    return tuple(sorted(unmeasured))


def _is_counted(kind: OpKind, board: Board) -> bool:
    return any(kind in group.split() for group in _groups(board.core, board.kernels))


def needs_any_type(graph: Graph, op: Op) -> bool:
    """Return whether ``op`` needs the registration for any type, where there is one for int8 only."""
    registration = OPERATORS[op.kind].tflm.registration
    return registration != registration.any_type and first_type(graph, op) is not DType.INT8


def always_linked_bytes(core: str, kernels: str) -> int:
    """Return the flash that TFLM takes before any op is registered."""
    return _groups(core, kernels)[""]


def code_parts(kind: OpKind, core: str, kernels: str) -> dict[Hashable, int]:
    """Return the parts, and their bytes, that an op of ``kind`` links; ops may share them.

    Raises:
        UnsupportedOpError: no code size was measured for this kind of op.
    """
    found: dict[Hashable, int] = {
        group: size for group, size in _groups(core, kernels).items() if kind in group.split()
    }
    if not found:
        raise UnsupportedOpError(
            f"no code size was measured for {kind}", "measure it with benchmarks/measure_runtime_code.py"
        )
    return found


@cache
def _groups(core: str, kernels: str) -> dict[str, int]:
    tables: dict[str, dict[str, dict[str, int]]] = json.loads(TABLE_FILE.read_text())["cores"]
    return tables[core_named(core).measured_as.tflm_code][kernels]

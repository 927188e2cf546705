"""Flash that a program with engine ``aot`` takes: constants by op, kernels by name, firmware around them.

The sizes of code are those of ``aot_constants.json``, measured by ``benchmarks/aot_code_bytes.py``.
Constants are counted as if no two ops shared any, and code is rounded up, so that no program takes
more than is predicted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from mcofa.boards import core_named
from mcofa.engines.aot.flow import over_input_bytes
from mcofa.engines.aot.kernels import kernel, reads_table
from mcofa.engines.aot.plan import AotPlan
from mcofa.engines.engine import Flash
from mcofa.graph import Graph, Op
from mcofa.ops import KERNELS, OPERATORS, Target
from mcofa.ops.rows import SAME_ROW

CONSTANTS_FILE = Path(__file__).with_name("aot_constants.json")
_WORD_BYTES = 4
_LOOKUP_BYTES = 256
_PIXEL_TABLE_BYTES = 256
_CLASS_BYTES = 24
_ROW = "_row"
_CALL_BYTES = 24
"""Code of one call and of the address of its struct, at most."""
_MAKER_BYTES = 80
_WINDOWED_MAKER_BYTES = 112
"""Code of the function that makes an op's rows, at most: of one that reads a row, of one that reads more."""


def aot_flash(graph: Graph, on: Target, plan: AotPlan | None = None) -> Flash:
    """Return the flash of a whole program that runs ``graph`` on the core of ``on``, test images apart.

    Without ``plan`` every op may run row by row or not, which takes more code.
    """
    runs = [Runs.EITHER] * len(graph.ops) if plan is None else _as_planned(graph, plan)
    parts: dict[Hashable, int] = {}
    for op, how in zip(graph.ops, runs, strict=True):
        parts |= kernel_parts(graph, op, on, how)
    return Flash(
        data_bytes=sum(op_flash_bytes(graph, op, how) for op, how in zip(graph.ops, runs, strict=True)),
        code_bytes=sum(size for part, size in parts.items() if not _is_within(part, parts)),
        firmware_bytes=firmware_bytes(graph, on),
    )


def _is_within(part: Hashable, parts: Mapping[Hashable, int]) -> bool:
    """Whether a kernel for rows is part of one for whole tensors."""
    return str(part).endswith(_ROW) and str(part).removesuffix(_ROW) in parts


class Runs(Enum):
    """How an op runs, as far as that is known."""

    WHOLE = auto()
    OVER_INPUT = auto()
    BY_ROWS = auto()
    INTO_SUMS = auto()
    EITHER = auto()


def _as_planned(graph: Graph, plan: AotPlan) -> list[Runs]:
    sums = {storage.sums_of for storage in plan.storages}

    def runs(position: int, span: range) -> Runs:
        op = graph.ops[position]
        if position in sums:
            return Runs.INTO_SUMS
        if len(span) > 1 or (plan.streams_input and not position):
            return Runs.BY_ROWS
        if OPERATORS[op.kind].aot.over_input and plan.is_over_input(op):
            return Runs.OVER_INPUT
        return Runs.WHOLE

    return [runs(position, span) for span in plan.spans for position in span]


def op_flash_bytes(graph: Graph, op: Op, how: Runs = Runs.EITHER) -> int:
    """Return what one op takes for itself: constants, its parameter struct, and the call or the maker."""
    rules = OPERATORS[op.kind].aot
    is_called = how in (Runs.WHOLE, Runs.OVER_INPUT)
    call_bytes = _CALL_BYTES if is_called else _maker_bytes(graph, op)
    if reads_table(graph, op):
        return _LOOKUP_BYTES + call_bytes
    struct_bytes: int = _table()["struct_bytes"][rules.struct]
    kept = [index for at, index in enumerate(op.inputs) if at < rules.operands or at in rules.stored]
    constants = [graph.tensors[index] for index in kept if index >= 0 and graph.tensors[index].constant]
    stored = sum(_aligned(tensor.bytes) for tensor in constants)
    return stored + rules.scales_bytes(graph, op) + struct_bytes + call_bytes


def _maker_bytes(graph: Graph, op: Op) -> int:
    rules = OPERATORS[op.kind].aot
    window = rules.rows(graph, op)
    if window is None and rules.sums(graph, op) is None:
        return _CALL_BYTES
    read = [index for index in op.inputs if index >= 0 and not graph.tensors[index].constant]
    one_row = window == SAME_ROW and len(read) == 1
    return _MAKER_BYTES if one_row else _WINDOWED_MAKER_BYTES


def kernel_parts(graph: Graph, op: Op, on: Target, how: Runs = Runs.EITHER) -> dict[Hashable, int]:
    """Return the code that an op needs, by part, with its bytes; ops share equal parts."""
    measured = _table()["cores"][core_named(on.name).measured_as.aot_kernels]
    name, over_input = kernel(graph, op, on), OPERATORS[op.kind].aot.over_input
    parts: dict[str, int] = {}
    if over_input and how in (Runs.OVER_INPUT, Runs.EITHER) and over_input_bytes(graph, op) is not None:
        parts |= measured["kernels"][over_input.kernel.name]
    if how in (Runs.INTO_SUMS, Runs.EITHER) and OPERATORS[op.kind].aot.sums(graph, op) is not None:
        parts |= measured["accumulating"][name]
    if how is Runs.BY_ROWS and KERNELS[name].by_row and OPERATORS[op.kind].aot.rows(graph, op) is not None:
        parts |= measured["by_row"][name]
    elif how not in (Runs.INTO_SUMS, Runs.OVER_INPUT):
        parts |= measured["kernels"][name]
    return {part: _aligned(size) for part, size in parts.items()}


def firmware_bytes(graph: Graph, on: Target) -> int:
    """Return what the program around the network takes: start-up, output, self-test, labels, pixel table."""
    source, output = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    measured: int = _table()["cores"][core_named(on.name).measured_as.aot_firmware]["firmware"]
    return measured + _PIXEL_TABLE_BYTES * min(source.shape[-1], 4) + _CLASS_BYTES * output.shape[-1]


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(CONSTANTS_FILE.read_text(encoding="utf-8"))
    return table


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _WORD_BYTES) * _WORD_BYTES

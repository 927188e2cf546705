"""Flash that a program with engine ``aot`` takes: constants by op, kernels by name, firmware around them.

The sizes of code are those of ``aot_constants.json``, measured by ``benchmarks/aot_code_bytes.py``.
Constants are counted as if no two ops shared any, and code is rounded up, so that no program takes
more than is predicted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from mcofa.boards import core_named
from mcofa.engines.aot.kernels import kernel, reads_table
from mcofa.engines.engine import Flash
from mcofa.graph import Graph, Op
from mcofa.ops import OPERATORS, Target

CONSTANTS_FILE = Path(__file__).with_name("aot_constants.json")
_WORD_BYTES = 4
_LOOKUP_BYTES = 256
_PIXEL_TABLE_BYTES = 256
_CLASS_BYTES = 24
_CALL_BYTES = 40
"""Code of one call and of the address of its struct, at most."""
_MAKER_BYTES = 112
"""Code of the function that makes an op's rows, at most."""


def aot_flash(graph: Graph, on: Target) -> Flash:
    """Return the flash of a whole program that runs ``graph`` on the core of ``on``, test images apart."""
    return Flash(
        data_bytes=sum(op_flash_bytes(graph, op) for op in graph.ops),
        code_bytes=aot_code_bytes(graph, on),
        firmware_bytes=firmware_bytes(graph, on),
    )


def aot_code_bytes(graph: Graph, on: Target) -> int:
    """Return the code of all the kernels that ``graph`` needs on the core of ``on``."""
    parts = {part: size for op in graph.ops for part, size in kernel_parts(graph, op, on).items()}
    return sum(parts.values())


def op_flash_bytes(graph: Graph, op: Op) -> int:
    """Return what one op takes for itself: constants, its parameter struct and the call."""
    rules = OPERATORS[op.kind].aot
    call_bytes = _CALL_BYTES if rules.rows(graph, op) is None else _MAKER_BYTES
    if reads_table(graph, op):
        return _LOOKUP_BYTES + call_bytes
    struct_bytes: int = _table()["struct_bytes"][rules.struct]
    kept = [index for at, index in enumerate(op.inputs) if at < rules.operands or at in rules.stored]
    constants = [graph.tensors[index] for index in kept if index >= 0 and graph.tensors[index].constant]
    stored = sum(_aligned(tensor.bytes) for tensor in constants)
    return stored + rules.scales_bytes(graph, op) + struct_bytes + call_bytes


def kernel_parts(graph: Graph, op: Op, on: Target) -> dict[Hashable, int]:
    """Return the code that an op needs, by part, with its bytes; ops share equal parts."""
    measured = _table()["cores"][core_named(on.name).measured_as.aot_kernels]
    name = kernel(graph, op, on)
    parts: dict[str, int] = dict(measured["kernels"][name])
    if OPERATORS[op.kind].aot.sums(graph, op) is not None:
        parts |= measured["accumulating"][name]
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

"""Flash that a program with engine ``aot`` takes: constants by op, kernels by name, firmware around them.

The sizes of code are those of ``aot_constants.json``, measured by ``benchmarks/aot_code_bytes.py``.
Constants are counted as if no two ops shared any, and code is rounded up, so that no program takes
more than is predicted.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from mcofa.engines.aot.arena import LOOKUPS, kernel
from mcofa.engines.tflm import Target
from mcofa.graph import DType, Graph, Op, OpKind

CONSTANTS_FILE = Path(__file__).with_name("aot_constants.json")
_WORD_BYTES = 4
_LOOKUP_BYTES = 256
_PIXEL_TABLE_BYTES = 256
_CLASS_BYTES = 24
_CALL_BYTES = 40
"""Code of one call and of the address of its struct, at most."""

_STRUCTS = {
    OpKind.CONV_2D: "nn_convolution_t",
    OpKind.DEPTHWISE_CONV_2D: "nn_convolution_t",
    OpKind.FULLY_CONNECTED: "nn_fully_connected_t",
    OpKind.ADD: "nn_add_t",
    OpKind.SUB: "nn_add_t",
    OpKind.MUL: "nn_mul_t",
    OpKind.MEAN: "nn_reduce_t",
    OpKind.SUM: "nn_reduce_t",
    OpKind.AVERAGE_POOL_2D: "nn_pool_t",
    OpKind.MAX_POOL_2D: "nn_pool_t",
    OpKind.SOFTMAX: "nn_softmax_t",
    OpKind.RESHAPE: "nn_copy_t",
    OpKind.PAD: "nn_copy_t",
    OpKind.TRANSPOSE: "nn_copy_t",
    OpKind.QUANTIZE: "nn_quantize_t",
    OpKind.DEQUANTIZE: "nn_quantize_t",
}


def aot_flash_bytes(graph: Graph, on: Target) -> int:
    """Return the flash of a whole program that runs ``graph`` on the core of ``on``, test images apart."""
    constants = sum(op_flash_bytes(graph, op) for op in graph.ops)
    return constants + aot_code_bytes(graph, on) + firmware_bytes(graph, on)


def aot_code_bytes(graph: Graph, on: Target) -> int:
    """Return the code of all the kernels that ``graph`` needs on the core of ``on``."""
    parts = {part: size for op in graph.ops for part, size in kernel_parts(graph, op, on).items()}
    return sum(parts.values())


def op_flash_bytes(graph: Graph, op: Op) -> int:
    """Return what one op takes for itself: constants, its parameter struct and the call."""
    if op.kind in LOOKUPS and graph.tensors[op.inputs[0]].dtype is DType.INT8:
        return _LOOKUP_BYTES + _CALL_BYTES
    struct_bytes: int = _table()["struct_bytes"][_STRUCTS[op.kind]]
    kept = sum(_aligned(graph.tensors[index].bytes) for index in op.inputs if _is_kept(graph, op, index))
    return kept + _scales_bytes(graph, op) + struct_bytes + _CALL_BYTES


def _is_kept(graph: Graph, op: Op, index: int) -> bool:
    """Whether an input is a constant that is stored: a filter or an operand, not axes, paddings, biases."""
    if index < 0 or not graph.tensors[index].constant:
        return False
    if op.kind in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D, OpKind.FULLY_CONNECTED):
        return index == op.inputs[1]
    return op.kind in (OpKind.ADD, OpKind.SUB, OpKind.MUL)


def _scales_bytes(graph: Graph, op: Op) -> int:
    """Biases, multipliers and shifts; FULLY_CONNECTED has multipliers of 64 bits, one if it has one scale.

    The outputs that are left over when four are taken at a time are padded to words.
    """
    if op.kind in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D):
        outputs = graph.tensors[op.outputs[0]].shape[3]
        padding = -math.prod(graph.tensors[op.inputs[1]].shape[1:]) % _WORD_BYTES
        return 3 * _WORD_BYTES * outputs + outputs % 4 * padding
    if op.kind is OpKind.FULLY_CONNECTED:
        weights = graph.tensors[op.inputs[1]]
        return _WORD_BYTES * weights.shape[0] + 3 * _WORD_BYTES * max(weights.scales, 1) + _WORD_BYTES
    return 0


def kernel_parts(graph: Graph, op: Op, on: Target) -> dict[Hashable, int]:
    """Return the code that an op needs, by part, with its bytes; ops share equal parts."""
    parts: dict[str, int] = _table()["cores"][on.name]["kernels"][kernel(graph, op, on)]
    return {part: _aligned(size) for part, size in parts.items()}


def firmware_bytes(graph: Graph, on: Target) -> int:
    """Return what the program around the network takes: start-up, output, self-test, labels, pixel table."""
    source, output = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    measured: int = _table()["cores"][on.name]["firmware"]
    return measured + _PIXEL_TABLE_BYTES * min(source.shape[-1], 4) + _CLASS_BYTES * output.shape[-1]


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(CONSTANTS_FILE.read_text(encoding="utf-8"))
    return table


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _WORD_BYTES) * _WORD_BYTES

"""All operators, by kind, and all kernels of engine ``aot``, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mcofa.graph import OpKind
from mcofa.ops import (
    activation,
    arithmetic,
    convolution,
    depthwise_convolution,
    elementwise,
    fully_connected,
    indexing,
    joining,
    matrix,
    movement,
    pairwise,
    pooling,
    quantization,
    rearranging,
    recurrent,
    reduction,
    resizing,
    transposed_convolution,
    variables,
)
from mcofa.ops.record import LOOKUP, Kernel, Operator

_FAMILIES = (
    *(convolution, depthwise_convolution, fully_connected, arithmetic, reduction),
    *(pooling, activation, movement, quantization),
    *(elementwise, indexing, joining, matrix, pairwise, rearranging, resizing, transposed_convolution),
    *(recurrent, variables),
)

_records = {
    record.kind: record
    for family in _FAMILIES
    for record in vars(family).values()
    if isinstance(record, Operator)
}

OPERATORS: Mapping[OpKind, Operator] = MappingProxyType({kind: _records[kind] for kind in OpKind})
"""The record of every kind of op, in the order of ``OpKind``."""

KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {kernel.name: kernel for record in OPERATORS.values() for kernel in (*record.aot.kernels, LOOKUP)}
)

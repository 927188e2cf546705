"""One row of an op as an op of its own, for kernels that need no more than that to run row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from export.aot.lowering import Call, lower_op
from export.aot.network import Network
from export.aot.packing import Value
from export.aot.shapes import reduced
from mcofa.graph import OpKind, Tensor
from mcofa.ops import KERNELS, Target
from mcofa.ops.rows import height

_ROWS_AXIS = 1


def lower_row(network: Network, position: int, kernel: str, on: Target) -> Call:
    """Return the call of ``kernel`` that makes one row of the output of op ``position``.

    Raises:
        UnsupportedOpError: a dimension is too large for the kernel.
    """
    if KERNELS[kernel].by_row:
        return lower_op(network, position, kernel, on)
    return lower_op(_of_one_row(network, position), position, kernel, on)


def lower_sums(network: Network, position: int, kernel: str, on: Target) -> Call:
    """Return the call whose struct takes one row of the input of op ``position`` into sums."""
    call = lower_op(network, position, kernel, on)
    if KERNELS[kernel].by_row:
        return call
    op = network.graph.ops[position]
    source = network.graph.tensors[op.inputs[0]].shape
    axes = [int(axis) for axis in network.constants[op.inputs[1]].ravel()]
    kept, kept_strides, sizes, strides = reduced((1, 1, *source[2:]), axes)
    row: Mapping[str, Value] = {
        "kept": kept,
        "kept_stride": kept_strides,
        "reduced": sizes,
        "reduced_stride": strides,
    }
    return replace(call, fields={**call.fields, **row})


def _of_one_row(network: Network, position: int) -> Network:
    """The network with the rows of what op ``position`` reads and writes reduced to one."""
    op = network.graph.ops[position]
    tensors = list(network.graph.tensors)
    constants = dict(network.constants)
    for index in (*op.inputs, *op.outputs):
        if index >= 0 and height(tensors[index]) > 1 and not _is_filter(op.kind, op.inputs, index):
            tensors[index] = _first_row(tensors[index])
            if index in constants:
                constants[index] = constants[index][:, :1]
    if op.kind is OpKind.PAD:
        constants[op.inputs[1]] = _without_rows(constants[op.inputs[1]])
    return replace(network, graph=replace(network.graph, tensors=tuple(tensors)), constants=constants)


def _is_filter(kind: OpKind, inputs: tuple[int, ...], index: int) -> bool:
    return kind in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D) and index in inputs[1:]


def _first_row(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=(1, 1, *tensor.shape[2:]))


def _without_rows(amounts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The amounts of a PAD that adds columns and channels only."""
    kept = amounts.copy()
    kept[_ROWS_AXIS] = np.zeros_like(kept[_ROWS_AXIS])
    return kept

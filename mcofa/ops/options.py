"""The option tables of ops in a .tflite file, and which attributes of an op they hold.

A table lists what is read and written, in the order of writing. The values of a field follow from
its name alone, whatever the op.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcofa.files.flatbuffer import Field, Table, reference
from mcofa.graph import Op

PADDINGS = ("SAME", "VALID")
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""The schema's enumerations, in the order of their numbers."""

_WINDOW = (Field("Padding", 0, 1), Field("StrideH", 2, 4), Field("StrideW", 1, 4))


def _activation(slot: int) -> Field:
    return Field("FusedActivationFunction", slot, 1)


def _dilation(slot: int) -> tuple[Field, Field]:
    return Field("DilationHFactor", slot + 1, 4, default=1), Field("DilationWFactor", slot, 4, default=1)


CONV_2D = Table("Conv2DOptions", (*_WINDOW, _activation(3), *_dilation(4)), 1)
DEPTHWISE_CONV_2D = Table(
    "DepthwiseConv2DOptions", (*_WINDOW, _activation(4), Field("DepthMultiplier", 3, 4), *_dilation(5)), 2
)
POOL_2D = Table(
    "Pool2DOptions", (*_WINDOW, _activation(5), Field("FilterHeight", 4, 4), Field("FilterWidth", 3, 4)), 5
)
FULLY_CONNECTED = Table("FullyConnectedOptions", (_activation(0),), 8)
ADD = Table("AddOptions", (_activation(0),), 11)
MUL = Table("MulOptions", (_activation(0),), 21)
REDUCER = Table("ReducerOptions", (Field("KeepDims", 0, 1),), 27)
SUB = Table("SubOptions", (_activation(0),), 28)
TRANSPOSE_CONV = Table("TransposeConvOptions", (*_WINDOW, _activation(3)), 49)
BATCH_MATMUL = Table("BatchMatMulOptions", (Field("AdjX", 0, 1), Field("AdjY", 1, 1)), 101)
CALL_ONCE = Table("CallOnceOptions", (Field("InitSubgraphIndex", 0, 4),), 103)
VAR_HANDLE = Table("VarHandleOptions", (reference("Container", 0), reference("SharedName", 1)), 111)

_VALUES: Mapping[str, Callable[[Op], int]] = {
    "Padding": lambda op: PADDINGS.index(op.padding),
    "StrideH": lambda op: op.stride[0],
    "StrideW": lambda op: op.stride[1],
    "FilterHeight": lambda op: op.window[0],
    "FilterWidth": lambda op: op.window[1],
    "DilationHFactor": lambda op: op.dilation[0],
    "DilationWFactor": lambda op: op.dilation[1],
    "FusedActivationFunction": lambda op: ACTIVATIONS.index(op.activation),
    # Not attributes of an op: shapes say the same, and the exporter writes only these.
    "DepthMultiplier": lambda op: 1,
    "KeepDims": lambda op: 1,
    "InitSubgraphIndex": lambda op: op.calls or 0,
    "AdjX": lambda op: int(op.transposed[0]),
    "AdjY": lambda op: int(op.transposed[1]),
}


_PAIRS = {
    "stride": ("StrideH", "StrideW"),
    "window": ("FilterHeight", "FilterWidth"),
    "dilation": ("DilationHFactor", "DilationWFactor"),
}
_LARGEST_STEP = 1 << 16


def is_required(table: Table) -> bool:
    """Return whether no op can be without these options."""
    return _WINDOW[0] in table.fields or table in (CALL_ONCE, VAR_HANDLE)


def option_values(table: Table, op: Op) -> dict[str, int]:
    """Return the value of each field of an op's option table, by name."""
    return {field.name: _VALUES[field.name](op) for field in table.fields}


def op_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an op that hold ``values``, which were read from its option table.

    Raises:
        ValueError: a value that no op can have; says which.
    """
    found: dict[str, Any] = {}
    for attribute, field, names in (
        ("padding", "Padding", PADDINGS),
        ("activation", "FusedActivationFunction", ACTIVATIONS),
    ):
        if field in values:
            if not 0 <= values[field] < len(names):
                raise ValueError(f"{attribute} {values[field]}")
            found[attribute] = names[values[field]]
    for attribute, (height, width) in _PAIRS.items():
        if height in values:
            pair = values[height], values[width]
            if not all(1 <= step <= _LARGEST_STEP for step in pair):
                raise ValueError(f"{attribute} {pair[0]}×{pair[1]}")
            found[attribute] = pair
    if "AdjX" in values:
        found["transposed"] = bool(values["AdjX"]), bool(values["AdjY"])
    if "SharedName" in values:
        found["variable"] = f"{values['Container']}/{values['SharedName']}"
    if "InitSubgraphIndex" in values:
        found["calls"] = values["InitSubgraphIndex"]
    return found

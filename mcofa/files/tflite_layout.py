"""How a .tflite file is laid out: the tables that the exporter writes, their alignments and sections.

The writer follows this description and the prediction of sizes counts with it. The option
tables of ops are in ``mcofa.ops.options``.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

from mcofa.files.flatbuffer import Field, Table, reference

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
TABLE_ALIGNMENT_BYTES = 4
TENSOR_ALIGNMENT_BYTES = 8
"""Zero points have 8 bytes: what holds some starts aligned to that."""
BUFFER_ALIGNMENT_BYTES = 16
"""The schema's ``force_align`` of constants."""
SECTION_ALIGNMENT_BYTES = 16
_LARGEST_DEPRECATED_CODE = 127
"""Codes above are written in the newer field only; the older one holds this then."""

SCALE_BYTES = 4
ZERO_POINT_BYTES = 8
INT32_BYTES = 4

OPERATOR_CODE = Table(
    "OperatorCode",
    (Field("DeprecatedBuiltinCode", 0, 1), Field("Version", 2, 4, default=1), Field("BuiltinCode", 3, 4)),
)
OPERATOR = Table(
    "Operator",
    (
        *(Field("OpcodeIndex", 0, 4), reference("Inputs", 1), reference("Outputs", 2)),
        *(Field("BuiltinOptionsType", 3, 1), reference("BuiltinOptions", 4)),
    ),
)
QUANTIZATION = Table(
    "QuantizationParameters",
    (reference("Scale", 2), reference("ZeroPoint", 3), Field("QuantizedDimension", 6, 4)),
)
TENSOR = Table(
    "Tensor",
    (reference("Shape", 0), Field("Type", 1, 1), Field("Buffer", 2, 4), reference("Quantization", 4)),
)
BUFFER = Table("Buffer", (reference("Data", 0),))
SUBGRAPH = Table(
    "SubGraph",
    (reference("Tensors", 0), reference("Inputs", 1), reference("Outputs", 2), reference("Operators", 3)),
)
MODEL = Table(
    "Model",
    (
        *(Field("Version", 0, 4), reference("OperatorCodes", 1)),
        *(reference("Subgraphs", 2), reference("Buffers", 4)),
    ),
)


def operator_code_values(code: int, version: int) -> dict[str, int]:
    """Return the fields of the operator code of ``code``, the schema's number of an op."""
    return {
        "DeprecatedBuiltinCode": min(code, _LARGEST_DEPRECATED_CODE),
        "Version": version,
        "BuiltinCode": code,
    }

"""int8 models turned into ones of other element types, op by op."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from tiny_models import schema

_CODES = schema.TensorType
_OF_INT16 = {"SOFTMAX": 1 / 32768, "LOGISTIC": 1 / 32768, "TANH": 1 / 32768}
"""The scales of outputs that TFLM fixes."""
_UNSCALED = {"ADD", "SUB", "MUL", "DIV"}
"""What TFLM adds and multiplies of int32 has no scale."""
_FILTERED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU", "TRANSPOSE_CONV"}
_FILTERED |= {"UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"}
_CELL = ("UNIDIRECTIONAL_SEQUENCE_LSTM", 19)
"""The input of an LSTM that is int16 unless all is float32."""


def retyped(data: bytes, *dtypes: str) -> bytes:
    """Return an int8 model of ops that share no tensor, with one of ``dtypes`` for each op instead.

    Filters stay int8 unless the op becomes float32; biases become int64 for int16 and float32 for float32.
    "int8 to uint8" changes the output only.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    for op, dtype in zip(graph.operators, dtypes, strict=True):
        kind = _kind(model, op)
        source, _, result = dtype.partition(" to ")
        for position, index in enumerate(op.inputs):
            if index >= 0:
                tensor = graph.tensors[index]
                is_parameter = kind in _FILTERED and position > 0 and tensor.buffer > 0
                if (kind, position) == _CELL and source != "float32":
                    continue
                _retype(model, tensor, _parameter_type(tensor, source) if is_parameter else source)
        for output in (graph.tensors[index] for index in op.outputs):
            _retype(model, output, result or source)
            if output.type == _CODES.INT16 and kind in _OF_INT16:
                wide = kind == "SOFTMAX" and source == "int8"
                output.quantization.scale = [1 / 65536 if wide else _OF_INT16[kind]]
                output.quantization.zeroPoint = [-32768 if wide else 0]
        if dtype == "int32" and kind in _UNSCALED:
            for index in (*op.inputs, *op.outputs):
                graph.tensors[index].quantization = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _kind(model: Any, op: Any) -> str:
    code = model.operatorCodes[op.opcodeIndex].builtinCode
    return next(name for name, number in vars(schema.BuiltinOperator).items() if number == code)


def _parameter_type(tensor: Any, dtype: str) -> str:
    if dtype == "float32":
        return dtype
    is_bias = tensor.type == _CODES.INT32
    return "int64" if is_bias and dtype == "int16" else "int32" if is_bias else "int8"


def _retype(model: Any, tensor: Any, dtype: str) -> None:
    """Give a tensor another type; axes, conditions and the like, int32 or bool without a scale, stay."""
    if tensor.type in (_CODES.INT32, _CODES.BOOL) and tensor.quantization is None:
        return
    if tensor.buffer:
        buffer = model.buffers[tensor.buffer]
        found = {_CODES.INT8: np.int8, _CODES.INT32: np.int32}[tensor.type]
        values = np.asarray(buffer.data, np.uint8).view(found).astype(dtype)
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.type = getattr(_CODES, dtype.upper())
    if dtype in ("float32", "bool"):
        tensor.quantization = None
    elif tensor.quantization is not None and dtype == "int16":
        tensor.quantization.zeroPoint = [0] * len(tensor.quantization.zeroPoint)

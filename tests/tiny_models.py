"""Tiny .tflite files built through the schema's object API, one op or a few at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {name.lower(): code for name, code in vars(schema.TensorType).items() if name.isupper()}


@dataclass
class ModelBuilder:
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    ops: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    metadata: list[Any] = field(default_factory=list)

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str = "int8",
        data: Any = None,
        scales: int = 1,
        axis: int = 0,
        variable: bool = False,
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape = list(shape)
        tensor.type = _TYPES[dtype]
        tensor.buffer = 0
        tensor.isVariable = variable
        tensor.name = f"t{len(self.tensors)}"
        if scales:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [0.5] * scales
            tensor.quantization.zeroPoint = [0] * scales
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(data, dtype=dtype).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def weights(self, shape: tuple[int, ...], scales: int = 1, axis: int = 0, dtype: str = "int8") -> int:
        return self.tensor(shape, dtype, np.ones(shape, dtype), scales, axis)

    def op(self, name: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        code = schema.OperatorCodeT()
        builtin = getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        op = schema.OperatorT()
        op.opcodeIndex = len(self.codes)
        op.inputs, op.outputs = inputs, outputs
        if "table" in options:
            table = options.pop("table")
            op.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            op.builtinOptions = getattr(schema, f"{table}T")()
            for key, value in options.items():
                setattr(op.builtinOptions, key, value)
        self.codes.append(code)
        self.ops.append(op)

    def conv(
        self, source: int, weights: int, bias: int, output: int, stride: int = 1, valid: bool = False
    ) -> None:
        self.op(
            "CONV_2D", [source, weights] + [bias] * (bias >= 0), [output],
            table="Conv2DOptions", strideH=stride, strideW=stride, padding=int(valid),
            dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip

    def note(self, name: str) -> None:
        metadata = schema.MetadataT()
        metadata.name, metadata.buffer = name, 0
        self.metadata.append(metadata)

    def build(self, inputs: list[int], outputs: list[int], subgraphs: int = 1) -> bytes:
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.ops
        subgraph.inputs, subgraph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [subgraph] * subgraphs
        model.buffers, model.operatorCodes, model.metadata = self.buffers, self.codes, self.metadata
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def one_op(kind: str) -> bytes:
    """A model of one op of a supported kind."""
    return ops_side_by_side([kind])


def ops_side_by_side(kinds: list[str]) -> bytes:
    """A model of ops that share no tensor: each has its own inputs and output."""
    m = ModelBuilder()
    ends = [_add_op(m, kind) for kind in kinds]
    return m.build([x for inputs, _ in ends for x in inputs], [y for _, y in ends])


def _add_op(m: ModelBuilder, kind: str) -> tuple[list[int], int]:
    """Add an op of any supported kind on 6×6×4 int8 inputs; return its inputs and its output."""
    x = m.tensor((1, 6, 6, 4))
    inputs = [x]
    if kind == "CONV_2D":
        y = m.tensor((1, 3, 3, 8))
        m.conv(x, m.weights((8, 3, 3, 4), 8), m.weights((8,), 8, 0, "int32"), y, stride=2)
    elif kind == "DEPTHWISE_CONV_2D":
        y = m.tensor((1, 6, 6, 4))
        m.op(
            kind, [x, m.weights((1, 5, 5, 4), 4, 3), m.weights((4,), 4, 0, "int32")], [y],
            table="DepthwiseConv2DOptions", strideH=1, strideW=1, padding=0, depthMultiplier=1,
            dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip
    elif kind == "FULLY_CONNECTED":
        y = m.tensor((1, 10))
        m.op(kind, [x, m.weights((10, 144)), -1], [y], table="FullyConnectedOptions")
    elif kind in ("ADD", "SUB", "MUL"):
        inputs.append(m.tensor((1, 6, 6, 4)))
        y = m.tensor((1, 6, 6, 4))
        m.op(kind, inputs, [y], table=f"{kind.capitalize()}Options")
    elif kind in ("MEAN", "SUM", "REDUCE_MAX"):
        y = m.tensor((1, 4))
        axes = m.tensor((2,), "int32", [1, 2], 0)
        m.op(kind, [x, axes], [y], table="ReducerOptions", keepDims=False)
    elif kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        y = m.tensor((1, 3, 3, 4))
        m.op(kind, [x], [y], table="Pool2DOptions", strideH=2, strideW=2, filterHeight=2, filterWidth=2)
    elif kind == "RESHAPE":
        y = m.tensor((1, 144))
        m.op(kind, [x, m.tensor((2,), "int32", [1, 144], 0)], [y], table="ReshapeOptions", newShape=[1, 144])
    elif kind == "RESHAPE_WILDCARD":
        y = m.tensor((1, -1))
        m.op(
            "RESHAPE", [x, m.tensor((2,), "int32", [1, -1], 0)], [y], table="ReshapeOptions", newShape=[1, -1]
        )
    elif kind == "SOFTMAX":
        y = m.tensor((1, 6, 6, 4))
        m.tensors[y].quantization.scale, m.tensors[y].quantization.zeroPoint = [1 / 256], [-128]
        m.op(kind, [x], [y], table="SoftmaxOptions", beta=1.0)
    elif kind == "LOGISTIC":
        y = m.tensor((1, 6, 6, 4))
        m.tensors[y].quantization.scale, m.tensors[y].quantization.zeroPoint = [1 / 256], [-128]
        m.op(kind, [x], [y])
    elif kind == "PAD":
        y = m.tensor((1, 7, 7, 4))
        m.op(
            kind, [x, m.tensor((4, 2), "int32", [[0, 0], [0, 1], [1, 0], [0, 0]], 0)], [y], table="PadOptions"
        )
    elif kind == "QUANTIZE":
        inputs = [m.tensor((1, 6, 6, 4), "float32", scales=0)]
        y = m.tensor((1, 6, 6, 4))
        m.op(kind, inputs, [y], table="QuantizeOptions")
    elif kind == "DEQUANTIZE":
        y = m.tensor((1, 6, 6, 4), "float32", scales=0)
        m.op(kind, [x], [y], table="DequantizeOptions")
    elif kind == "TRANSPOSE":
        y = m.tensor((1, 4, 6, 6))
        m.op(kind, [x, m.tensor((4,), "int32", [0, 3, 1, 2], 0)], [y], table="TransposeOptions")
    else:
        y = m.tensor((1, 6, 6, 4))
        m.op(kind, [x], [y])
    return inputs, y


def small_network() -> bytes:
    """CONV 3×3 → DEPTHWISE 5×5 → HARD_SWISH → MEAN → FULLY_CONNECTED on 8×8×1."""
    m = ModelBuilder()
    x, a, b, c = (m.tensor(shape) for shape in ((1, 8, 8, 1), (1, 8, 8, 6), (1, 8, 8, 6), (1, 8, 8, 6)))
    d, e = m.tensor((1, 6)), m.tensor((1, 5))
    m.conv(x, m.weights((6, 3, 3, 1), 6), m.weights((6,), 6, 0, "int32"), a)
    m.op(
        "DEPTHWISE_CONV_2D", [a, m.weights((1, 5, 5, 6), 6, 3), m.weights((6,), 6, 0, "int32")], [b],
        table="DepthwiseConv2DOptions", strideH=1, strideW=1, padding=0, depthMultiplier=1,
        dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    m.op("HARD_SWISH", [b], [c])
    m.op("MEAN", [c, m.tensor((2,), "int32", [1, 2], 0)], [d], table="ReducerOptions", keepDims=False)
    m.op("FULLY_CONNECTED", [d, m.weights((5, 6), 5), -1], [e], table="FullyConnectedOptions")
    return m.build([x], [e])

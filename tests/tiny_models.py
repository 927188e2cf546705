"""Tiny .tflite files built through the schema's object API, one op or a few at a time."""

from __future__ import annotations

from collections.abc import Callable
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
    called: int = 0
    """Number of empty subgraphs that ops call."""

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
        model.subgraphs = [subgraph] * subgraphs + [_empty() for _ in range(self.called)]
        model.buffers, model.operatorCodes, model.metadata = self.buffers, self.codes, self.metadata
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _empty() -> Any:
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    return subgraph


def one_op(kind: str) -> bytes:
    """A model of one op of a supported kind."""
    return ops_side_by_side([kind])


def ops_side_by_side(kinds: list[str]) -> bytes:
    """A model of ops that share no tensor: each has its own inputs and output."""
    m = ModelBuilder()
    ends = [MORE_OPS[kind](m) if kind in MORE_OPS else _add_op(m, kind) for kind in kinds]
    outputs = [[y] if isinstance(y, int) else y for _, y in ends]
    return m.build([x for inputs, _ in ends for x in inputs], [y for made in outputs for y in made])


def _add_op(m: ModelBuilder, kind: str) -> tuple[list[int], int]:
    """Add an op on 6×6×4 int8 inputs; return its inputs and its output."""
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


Added = tuple[list[int], int | list[int]]


def _shape(m: ModelBuilder, values: list[Any]) -> int:
    return m.tensor(np.shape(values), "int32", values, 0)


def simple(
    kind: str,
    *shapes: tuple[int, ...],
    output: tuple[int, ...] = (1, 6, 6, 4),
    constants: tuple[Any, ...] = (),
    outputs: int = 1,
    dtype: str = "int8",
    output_type: str | None = None,
    table: str | None = None,
    **options: Any,
) -> Callable[[ModelBuilder], Added]:
    """An op of inputs, then constant int32, that makes so many tensors."""

    def add(m: ModelBuilder) -> Added:
        scales = {"scales": int(dtype == "int8")}
        inputs = [m.tensor(shape, dtype, **scales) for shape in shapes or ((1, 6, 6, 4),)]
        made_type = output_type or dtype
        made = [m.tensor(output, made_type, scales=int(made_type == "int8")) for _ in range(outputs)]
        named = {"table": table, **options} if table else {}
        m.op(kind, [*inputs, *(_shape(m, values) for values in constants)], made, **named)
        return inputs, made

    return add


def _split(m: ModelBuilder) -> Added:
    x, made = m.tensor((1, 6, 6, 4)), [m.tensor((1, 6, 6, 2)) for _ in range(2)]
    m.op("SPLIT", [_shape(m, [3]), x], made, table="SplitOptions", numSplits=2)
    return [x], made


def _prelu(m: ModelBuilder) -> Added:
    x, y = m.tensor((1, 6, 6, 4)), m.tensor((1, 6, 6, 4))
    m.op("PRELU", [x, m.weights((1, 1, 4))], [y])
    return [x], y


def _log_softmax(m: ModelBuilder) -> Added:
    x, y = m.tensor((1, 10)), m.tensor((1, 10))
    m.tensors[y].quantization.scale, m.tensors[y].quantization.zeroPoint = [16 / 256], [127]
    m.op("LOG_SOFTMAX", [x], [y])
    return [x], y


def _pad_v2(m: ModelBuilder) -> Added:
    x, y = m.tensor((1, 6, 6, 4)), m.tensor((1, 7, 7, 4))
    value = m.tensor((1,), "int8", [3])
    m.op("PADV2", [x, _shape(m, [[0, 0], [0, 1], [1, 0], [0, 0]]), value], [y])
    return [x], y


def transpose_conv(m: ModelBuilder, bias: bool = True, depth: int = 4, stride: int = 2) -> Added:
    x, y = m.tensor((1, 3, 3, depth)), m.tensor((1, 3 * stride, 3 * stride, 5))
    inputs = [_shape(m, [1, 3 * stride, 3 * stride, 5]), m.weights((5, 3, 3, depth), 5), x]
    inputs += [m.weights((5,), 5, 0, "int32")] * bias
    m.op("TRANSPOSE_CONV", inputs, [y], table="TransposeConvOptions", strideH=stride, strideW=stride)
    return [x], y


def matmul(m: ModelBuilder, adj_x: bool = False, adj_y: bool = False, constant: bool = False) -> Added:
    x = m.tensor((2, 5, 3) if adj_x else (2, 3, 5))
    shape = (2, 4, 5) if adj_y else (2, 5, 4)
    z, y = m.weights(shape) if constant else m.tensor(shape), m.tensor((2, 3, 4))
    m.op("BATCH_MATMUL", [x, z], [y], table="BatchMatMulOptions", adjX=adj_x, adjY=adj_y)
    return [x] if constant else [x, z], y


def _select(m: ModelBuilder) -> Added:
    choice, x, z, y = m.tensor((1, 9), "bool", scales=0), *(m.tensor((1, 9)) for _ in range(3))
    m.op("SELECT_V2", [choice, x, z], [y])
    return [choice, x, z], y


def _fill(m: ModelBuilder) -> Added:
    value, y = m.tensor((), "int8"), m.tensor((2, 3))
    m.op("FILL", [_shape(m, [2, 3]), value], [y])
    return [value], y


def lstm(
    m: ModelBuilder, batch: int = 1, steps: int = 3, units: int = 5, dtype: str = "int8", scales: int = 1
) -> Added:
    """A plain LSTM on six features."""
    bias, cell = {"int8": ("int32", "int16"), "int16": ("int64", "int16")}.get(dtype, (dtype, dtype))
    weights, scaled = "float32" if dtype == "float32" else "int8", int(dtype != "float32")
    inputs = [-1] * 24
    inputs[0] = m.tensor((batch, steps, 6), dtype, scales=scaled)
    for position in range(1, 9):
        shape = (units, 6 if position < 5 else units)
        inputs[position] = m.weights(shape, scales * scaled, 0, weights)
    for position in range(12, 16):
        inputs[position] = m.weights((units,), scaled, 0, bias)
    inputs[18] = m.tensor((batch, units), dtype, scales=scaled, variable=True)
    inputs[19] = m.tensor((batch, units), cell, scales=scaled, variable=True)
    y = m.tensor((batch, steps, units), dtype, scales=scaled)
    m.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y],
        table="UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4,
    )  # fmt: skip
    return [inputs[0]], y


def svdf(m: ModelBuilder, batch: int = 1, rank: int = 2, dtype: str = "int8", state: str = "int8") -> Added:
    """An SVDF of 6 features, 4 units and a memory of 7 steps."""
    quantized, filters = dtype == "int8", 4 * rank
    state = state if quantized else dtype
    x = m.tensor((batch, 6), dtype, scales=int(quantized))
    weights = m.weights((filters, 6), int(quantized), 0, dtype)
    times = m.weights((filters, 7), int(quantized), 0, state)
    bias = m.weights((4,), int(quantized), 0, "int32" if quantized else dtype)
    if quantized:
        m.tensors[bias].quantization.scale = [0.25]
    kept = m.tensor((batch, 7 * filters), state, scales=int(quantized), variable=True)
    y = m.tensor((batch, 4), dtype, scales=int(quantized))
    m.op("SVDF", [x, weights, times, bias, kept], [y], table="SVDFOptions", rank=rank)
    return [x], y


_PAIR = ((1, 6, 6, 4), (1, 6, 6, 4))
_FLOAT_FUNCTIONS = ("NEG", "SQUARE", "SQRT", "EXP", "LOG", "SIN", "COS", "FLOOR", "CEIL", "ROUND")
_COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")


def variable(m: ModelBuilder, name: str) -> int:
    """Add a VAR_HANDLE; return the tensor that stands for the variable."""
    handle = m.tensor((), "resource", scales=0)
    m.op("VAR_HANDLE", [], [handle], table="VarHandleOptions", container="", sharedName=name)
    return handle


def _read(m: ModelBuilder) -> Added:
    y = m.tensor((1, 9))
    m.op("READ_VARIABLE", [variable(m, f"read {y}")], [y])
    return [], y


def _assign(m: ModelBuilder) -> Added:
    x = m.tensor((1, 9))
    m.op("ASSIGN_VARIABLE", [variable(m, f"assigned {x}"), x], [])
    return [x], []


def _call_once(m: ModelBuilder) -> Added:
    m.called += 1
    m.op("CALL_ONCE", [], [], table="CallOnceOptions", initSubgraphIndex=m.called)
    return [], []


MORE_OPS: dict[str, Callable[[ModelBuilder], Added]] = {
    "VAR_HANDLE": lambda m: ([], variable(m, f"variable {len(m.tensors)}")),
    "READ_VARIABLE": _read,
    "ASSIGN_VARIABLE": _assign,
    "CALL_ONCE": _call_once,
    "PRELU": _prelu,
    "LOG_SOFTMAX": _log_softmax,
    "L2_NORMALIZATION": simple("L2_NORMALIZATION", table="L2NormOptions"),
    "CONCATENATION": simple(
        "CONCATENATION", *_PAIR, (1, 6, 6, 1), output=(1, 6, 6, 9), table="ConcatenationOptions", axis=3
    ),
    "PACK": simple("PACK", *_PAIR, output=(2, 1, 6, 6, 4), table="PackOptions", valuesCount=2),
    "UNPACK": simple("UNPACK", (3, 7), output=(7,), outputs=3, table="UnpackOptions", num=3),
    "SPLIT": _split,
    "SPLIT_V": simple(
        "SPLIT_V", output=(1, 6, 6, 2), constants=([2, 2], 3), outputs=2, table="SplitVOptions", numSplits=2
    ),
    "SHAPE": simple("SHAPE", output=(4,), output_type="int32", table="ShapeOptions", outType=2),
    "STRIDED_SLICE": simple(
        "STRIDED_SLICE",
        output=(1, 3, 6, 4),
        constants=([0, 0, 0, 0], [1, 6, 6, 4], [1, 2, 1, 1]),
        table="StridedSliceOptions",
    ),
    "SLICE": simple("SLICE", output=(1, 2, 6, 4), constants=([0, 3, 0, 0], [1, 2, 6, 4])),
    "GATHER": simple("GATHER", output=(1, 2, 6, 4), constants=([4, 1],), table="GatherOptions", axis=1),
    "GATHER_ND": simple("GATHER_ND", (6, 5), output=(2, 5), constants=([[4], [1]],)),
    "SQUEEZE": simple("SQUEEZE", output=(6, 6, 4), table="SqueezeOptions", squeezeDims=[0]),
    "EXPAND_DIMS": simple("EXPAND_DIMS", (6, 4), output=(6, 1, 4), constants=([1],)),
    "SPACE_TO_BATCH_ND": simple(
        "SPACE_TO_BATCH_ND", output=(4, 3, 3, 4), constants=([2, 2], [[0, 0], [0, 0]])
    ),
    "BATCH_TO_SPACE_ND": simple("BATCH_TO_SPACE_ND", (4, 3, 3, 4), constants=([2, 2], [[0, 0], [0, 0]])),
    "SPACE_TO_DEPTH": simple(
        "SPACE_TO_DEPTH", output=(1, 3, 3, 16), table="SpaceToDepthOptions", blockSize=2
    ),
    "DEPTH_TO_SPACE": simple(
        "DEPTH_TO_SPACE", output=(1, 12, 12, 1), table="DepthToSpaceOptions", blockSize=2
    ),
    "REVERSE_V2": simple("REVERSE_V2", constants=([1],)),
    "MIRROR_PAD": simple(
        "MIRROR_PAD",
        output=(1, 8, 6, 4),
        constants=([[0, 0], [1, 1], [0, 0], [0, 0]],),
        table="MirrorPadOptions",
    ),
    "PADV2": _pad_v2,
    "FILL": _fill,
    "ZEROS_LIKE": simple("ZEROS_LIKE"),
    "BROADCAST_TO": simple("BROADCAST_TO", (1, 4), output=(3, 4), constants=([3, 4],)),
    "BROADCAST_ARGS": simple("BROADCAST_ARGS", (3,), (3,), output=(3,), dtype="int32"),
    "CAST": simple("CAST", output_type="int32", table="CastOptions"),
    "MAXIMUM": simple("MAXIMUM", *_PAIR),
    "MINIMUM": simple("MINIMUM", *_PAIR),
    "DIV": simple("DIV", *_PAIR, table="DivOptions"),
    "FLOOR_DIV": simple("FLOOR_DIV", *_PAIR, dtype="float32"),
    "FLOOR_MOD": simple("FLOOR_MOD", *_PAIR, dtype="float32"),
    "SQUARED_DIFFERENCE": simple("SQUARED_DIFFERENCE", *_PAIR),
    "ADD_N": simple("ADD_N", *_PAIR, (1, 6, 6, 4)),
    "CUMSUM": simple("CUMSUM", constants=(1,), table="CumsumOptions"),
    "ARG_MAX": simple(
        "ARG_MAX", (2, 9), output=(2,), constants=(1,), output_type="int32", table="ArgMaxOptions"
    ),
    "ARG_MIN": simple(
        "ARG_MIN", (2, 9), output=(2,), constants=(1,), output_type="int32", table="ArgMinOptions"
    ),
    **{kind: simple(kind, *_PAIR, output_type="bool") for kind in _COMPARISONS},
    **{kind: simple(kind, *_PAIR, dtype="bool") for kind in ("LOGICAL_AND", "LOGICAL_OR")},
    "LOGICAL_NOT": simple("LOGICAL_NOT", dtype="bool"),
    "SELECT_V2": _select,
    **{kind: simple(kind, dtype="float32") for kind in _FLOAT_FUNCTIONS},
    "RESIZE_BILINEAR": simple(
        "RESIZE_BILINEAR", output=(1, 9, 9, 4), constants=([9, 9],), table="ResizeBilinearOptions"
    ),
    "RESIZE_NEAREST_NEIGHBOR": simple(
        "RESIZE_NEAREST_NEIGHBOR",
        output=(1, 9, 9, 4),
        constants=([9, 9],),
        table="ResizeNearestNeighborOptions",
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "SVDF": svdf,
    "TRANSPOSE_CONV": transpose_conv,
    "BATCH_MATMUL": matmul,
}


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

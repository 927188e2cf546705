"""The operator graph of a network on the device: tensors, and ops in execution order.

This is the one definition of a network's memory: the search predicts from it,
the exporter must produce it, and the arena check compares it with what the
runtime measured. Nothing here depends on weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class OpKind(StrEnum):
    """TFLite builtin operators, by their schema names."""

    CONV_2D = "CONV_2D"
    DEPTHWISE_CONV_2D = "DEPTHWISE_CONV_2D"
    FULLY_CONNECTED = "FULLY_CONNECTED"
    ADD = "ADD"
    SUB = "SUB"
    MUL = "MUL"
    MEAN = "MEAN"
    SUM = "SUM"
    REDUCE_MAX = "REDUCE_MAX"
    AVERAGE_POOL_2D = "AVERAGE_POOL_2D"
    MAX_POOL_2D = "MAX_POOL_2D"
    RESHAPE = "RESHAPE"
    SOFTMAX = "SOFTMAX"
    HARD_SWISH = "HARD_SWISH"
    LOGISTIC = "LOGISTIC"
    RELU = "RELU"
    RELU6 = "RELU6"
    LEAKY_RELU = "LEAKY_RELU"
    PRELU = "PRELU"
    ELU = "ELU"
    TANH = "TANH"
    LOG_SOFTMAX = "LOG_SOFTMAX"
    L2_NORMALIZATION = "L2_NORMALIZATION"
    CONCATENATION = "CONCATENATION"
    SPLIT = "SPLIT"
    SPLIT_V = "SPLIT_V"
    PACK = "PACK"
    UNPACK = "UNPACK"
    SHAPE = "SHAPE"
    STRIDED_SLICE = "STRIDED_SLICE"
    SLICE = "SLICE"
    GATHER = "GATHER"
    GATHER_ND = "GATHER_ND"
    SQUEEZE = "SQUEEZE"
    EXPAND_DIMS = "EXPAND_DIMS"
    SPACE_TO_BATCH_ND = "SPACE_TO_BATCH_ND"
    BATCH_TO_SPACE_ND = "BATCH_TO_SPACE_ND"
    SPACE_TO_DEPTH = "SPACE_TO_DEPTH"
    DEPTH_TO_SPACE = "DEPTH_TO_SPACE"
    REVERSE_V2 = "REVERSE_V2"
    MIRROR_PAD = "MIRROR_PAD"
    PADV2 = "PADV2"
    FILL = "FILL"
    ZEROS_LIKE = "ZEROS_LIKE"
    BROADCAST_TO = "BROADCAST_TO"
    BROADCAST_ARGS = "BROADCAST_ARGS"
    CAST = "CAST"
    MAXIMUM = "MAXIMUM"
    MINIMUM = "MINIMUM"
    DIV = "DIV"
    FLOOR_DIV = "FLOOR_DIV"
    FLOOR_MOD = "FLOOR_MOD"
    SQUARED_DIFFERENCE = "SQUARED_DIFFERENCE"
    ADD_N = "ADD_N"
    CUMSUM = "CUMSUM"
    ARG_MAX = "ARG_MAX"
    ARG_MIN = "ARG_MIN"
    EQUAL = "EQUAL"
    NOT_EQUAL = "NOT_EQUAL"
    GREATER = "GREATER"
    GREATER_EQUAL = "GREATER_EQUAL"
    LESS = "LESS"
    LESS_EQUAL = "LESS_EQUAL"
    LOGICAL_AND = "LOGICAL_AND"
    LOGICAL_OR = "LOGICAL_OR"
    LOGICAL_NOT = "LOGICAL_NOT"
    SELECT_V2 = "SELECT_V2"
    ABS = "ABS"
    NEG = "NEG"
    SQUARE = "SQUARE"
    SQRT = "SQRT"
    RSQRT = "RSQRT"
    EXP = "EXP"
    LOG = "LOG"
    SIN = "SIN"
    COS = "COS"
    FLOOR = "FLOOR"
    CEIL = "CEIL"
    ROUND = "ROUND"
    RESIZE_BILINEAR = "RESIZE_BILINEAR"
    RESIZE_NEAREST_NEIGHBOR = "RESIZE_NEAREST_NEIGHBOR"
    TRANSPOSE_CONV = "TRANSPOSE_CONV"
    BATCH_MATMUL = "BATCH_MATMUL"
    PAD = "PAD"
    QUANTIZE = "QUANTIZE"
    DEQUANTIZE = "DEQUANTIZE"
    TRANSPOSE = "TRANSPOSE"
    UNIDIRECTIONAL_SEQUENCE_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    SVDF = "SVDF"
    CALL_ONCE = "CALL_ONCE"
    VAR_HANDLE = "VAR_HANDLE"
    READ_VARIABLE = "READ_VARIABLE"
    ASSIGN_VARIABLE = "ASSIGN_VARIABLE"


class DType(StrEnum):
    """Element types a graph may hold."""

    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    BOOL = "bool"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    RESOURCE = "resource"

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return _ITEM_BYTES[self]


_ITEM_BYTES = {
    **dict.fromkeys((DType.INT8, DType.UINT8, DType.BOOL), 1),
    **dict.fromkeys((DType.INT16, DType.UINT16, DType.FLOAT16), 2),
    **dict.fromkeys((DType.INT32, DType.UINT32, DType.FLOAT32, DType.RESOURCE), 4),
    **dict.fromkeys((DType.INT64, DType.UINT64, DType.FLOAT64), 8),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the graph: NHWC shape, element type, and how it is quantized.

    ``scales`` is the number of quantization scales: 0 when not quantized, 1 per
    tensor, the channel count when quantized per channel. ``values`` are those of a constant that
    says what an op does, such as the axes of a MEAN; they are left out elsewhere.
    """

    shape: tuple[int, ...]
    dtype: DType = DType.INT8
    constant: bool = False
    variable: bool = False
    scales: int = 1
    values: tuple[int, ...] = ()

    @property
    def items(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the data in bytes."""
        return self.items * self.dtype.item_bytes


MEAN_AXES = Tensor((2,), DType.INT32, constant=True, scales=0, values=(1, 2))
"""The constant [1, 2] that a global MEAN reads: it averages over rows and columns."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator: tensor indices in, tensor indices out (−1: absent optional input).

    ``stride``, ``dilation`` and ``window`` are (height, width); ``window`` is used by
    pools only, a convolution's window is its filter's shape. ``transposed`` says which operands of a
    matrix product are. ``output_wildcard`` says that
    a RESHAPE's output shape holds −1 in the file, which TFLM resolves in a copy; the tensor
    here has the resolved shape. ``subgraph`` is the one that the op belongs to, ``calls`` the one that it
    runs, ``variable`` the name of the resource variable that it stands for.
    """

    kind: OpKind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    dilation: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)
    activation: str = "NONE"
    transposed: tuple[bool, bool] = (False, False)
    output_wildcard: bool = False
    subgraph: int = 0
    calls: int | None = None
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Tensors and ops in execution order; ``inputs`` and ``outputs`` are tensor indices.

    ``offline_offsets`` is the offline memory plan that the model file carries, None without
    one: for every tensor its offset in the arena's head in bytes, −1 where the runtime plans.
    The ops of a subgraph that an op calls follow that op; ``subgraphs`` is the number of all. Tensors are
    those of all subgraphs, in their order.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    offline_offsets: tuple[int, ...] | None = None
    subgraphs: int = 1

    @property
    def prepared_order(self) -> list[int]:
        """The ops in the order in which TFLM prepares them: subgraph by subgraph."""
        if self.subgraphs == 1:
            return list(range(len(self.ops)))
        return sorted(range(len(self.ops)), key=lambda position: self.ops[position].subgraph)

    @property
    def resource_variables(self) -> int:
        """Number of resource variables."""
        return len({op.variable for op in self.ops if op.variable})

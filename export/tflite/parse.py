"""Reading a .tflite file into the graph that the memory accounting works on.

Only the structure is read (shapes, types, options); weights are looked at just far
enough to know that they are there. A file is never trusted: every count is capped by
the file's size before it is looped over, and whatever the flatbuffer library raises on
garbage becomes one ``FileFormatError``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from export.tflite.npu import check_not_compiled
from export.tflite.subgraphs import joined
from mcofa.engines.tflm import ONLINE, raise_unsupported
from mcofa.errors import FileFormatError
from mcofa.files.tflite_layout import IDENTIFIER
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.ops import OPERATORS
from mcofa.ops.options import is_required, op_attributes

_NEXT_STEP = "check that the file is whole and is a .tflite; mcofa export writes such files"
_SMALLEST_FILE_BYTES = 16
_SMALLEST_TABLE_BYTES = 4
_INT32_BYTES = 4
_MOST_VALUES = 16
_HIGHEST_RANK = 6
_LARGEST_DIMENSION = 1 << 24
_LARGEST_TENSOR_BYTES = 1 << 30
_LARGEST_OFFSET_BYTES = 1 << 30
_COMPRESSION = b"COMPRESSION_METADATA"
OFFLINE_PLAN = b"OfflineMemoryAllocation"
"""Name of the metadata whose buffer holds int32 [1, 0, tensors, offset or −1 of each tensor].

Of the three words before the offsets, TFLM reads the third only.
Source: tensorflow/lite/micro/docs/memory_management.md and micro_allocation_info.cc, TFLM 90b983c2b3f1.
"""
OFFLINE_PLAN_HEADER_WORDS = 3
GARBAGE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the flatbuffer library raises on garbage."""


class _MalformedError(Exception):
    """What is wrong with the file, without its name."""


def parse_tflite(data: bytes, name: str) -> Graph:
    """Return the graph of the .tflite file ``data``; ``name`` is used in messages only.

    Source: the TensorFlow Lite schema, version 3, as generated in ai-edge-litert.

    Raises:
        FileFormatError: not a .tflite, truncated or corrupt, a subgraph that no op calls, an
            element type other than those of ``DType``, tensors that do not fit their op, or a
            malformed offline memory plan.
        UnsupportedOpError: names all the ops that the accounting has no rule for.
    """
    try:
        model = _root(data)
        metadata = _metadata(model, len(data))
        if _COMPRESSION in metadata:
            raise _MalformedError("holds compressed tensors, which the accounting does not follow")
        graph = _graph(model, len(data))
        if OFFLINE_PLAN in metadata:
            offsets = _offline_offsets(model, metadata[OFFLINE_PLAN], graph.tensors)
            graph = replace(graph, offline_offsets=offsets)
    except _MalformedError as error:
        raise FileFormatError(name, str(error), _NEXT_STEP) from None
    except GARBAGE_ERRORS as error:
        detail = "corrupt or truncated .tflite: its internal offsets lead nowhere"
        raise FileFormatError(name, detail, _NEXT_STEP) from error
    return graph


def _root(data: bytes) -> Any:
    if len(data) < _SMALLEST_FILE_BYTES or data[4:8] != IDENTIFIER:
        raise _MalformedError(f"not a .tflite file: {len(data)} bytes without the identifier TFL3")
    return schema.Model.GetRootAs(data, 0)


def _count(length: int, file_bytes: int, what: str) -> int:
    """Check that ``length`` tables can lie in the file, so that looping over them ends."""
    if length < 0 or length * _SMALLEST_TABLE_BYTES > file_bytes:
        raise _MalformedError(f"corrupt or truncated .tflite: {length} {what} in {file_bytes} bytes")
    return length


def _present(table: Any, what: str) -> Any:
    if table is None:
        raise _MalformedError(f"corrupt .tflite: {what} is missing")
    return table


def _metadata(model: Any, file_bytes: int) -> dict[bytes, int]:
    """Return the buffer index of every metadata entry by name; of equal names, TFLM takes the last."""
    count = _count(model.MetadataLength(), file_bytes, "metadata entries")
    entries = [_present(model.Metadata(position), "metadata") for position in range(count)]
    return {entry.Name() or b"": entry.Buffer() for entry in entries}


def _offline_offsets(model: Any, buffer: int, tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Return the offline offset of every tensor; ``ONLINE`` (−1) where TFLM plans."""
    if not 0 <= buffer < model.BuffersLength():
        raise _MalformedError(f"offline memory plan: in buffer {buffer} of {model.BuffersLength()}")
    table = model.Buffers(buffer)
    held = _held_bytes(table, "the offline memory plan")
    if held < _INT32_BYTES * OFFLINE_PLAN_HEADER_WORDS:
        raise _MalformedError(f"offline memory plan: {held} bytes are too few for its header")
    words = table.DataAsNumpy()[: held // _INT32_BYTES * _INT32_BYTES].view("<i4").tolist()
    offsets = words[OFFLINE_PLAN_HEADER_WORDS : OFFLINE_PLAN_HEADER_WORDS + len(tensors)]
    if words[OFFLINE_PLAN_HEADER_WORDS - 1] != len(tensors) or len(offsets) != len(tensors):
        raise _MalformedError(
            f"offline memory plan: for {words[OFFLINE_PLAN_HEADER_WORDS - 1]} tensors, with {len(offsets)} "
            f"offsets; the model has {len(tensors)} tensors"
        )
    for index, offset in enumerate(offsets):
        if not ONLINE <= offset <= _LARGEST_OFFSET_BYTES:
            raise _MalformedError(f"offline memory plan: tensor {index} is at offset {offset}")
    return tuple(offsets)


def _graph(model: Any, file_bytes: int) -> Graph:
    count = _count(model.SubgraphsLength(), file_bytes, "subgraphs")
    if not count:
        raise _MalformedError("has no subgraph")
    subgraphs = [_present(model.Subgraphs(position), "a subgraph") for position in range(count)]
    kinds = _op_kinds(model, subgraphs, file_bytes)
    parts = [_part(model, *one, file_bytes) for one in zip(subgraphs, kinds, strict=True)]
    try:
        return joined(parts)
    except ValueError as error:
        raise _MalformedError(str(error)) from None


def _part(model: Any, subgraph: Any, kinds: list[OpKind], file_bytes: int) -> Graph:
    """Return one subgraph, with its own tensors."""
    tensors, ops = _ops(model, subgraph, kinds, _tensors(model, subgraph, file_bytes))
    inputs = _indices(subgraph.Inputs, subgraph.InputsLength(), len(tensors), "graph inputs")
    outputs = _indices(subgraph.Outputs, subgraph.OutputsLength(), len(tensors), "graph outputs")
    return Graph(tensors, ops, inputs, outputs)


def _op_kinds(model: Any, subgraphs: Sequence[Any], file_bytes: int) -> list[list[OpKind]]:
    """Return the kind of every op in order, by subgraph.

    Raises:
        UnsupportedOpError: names every op without a memory rule.
    """
    codes = _count(model.OperatorCodesLength(), file_bytes, "operator codes")
    cache: dict[int, str] = {}

    def name(subgraph: Any, position: int) -> str:
        code = _present(subgraph.Operators(position), f"op {position}").OpcodeIndex()
        if not 0 <= code < codes:
            raise _MalformedError(f"corrupt .tflite: op {position} has operator code {code} of {codes}")
        if code not in cache:
            cache[code] = _op_name(_present(model.OperatorCodes(code), f"operator code {code}"))
        return cache[code]

    named = [
        [name(one, at) for at in range(_count(one.OperatorsLength(), file_bytes, "ops"))] for one in subgraphs
    ]
    unsupported = [found for names in named for found in names if found not in OpKind.__members__]
    check_not_compiled(unsupported)
    raise_unsupported(unsupported)
    return [[OpKind(found) for found in names] for names in named]


def _op_name(code: Any) -> str:
    """Return the schema's name of an operator code, ``CUSTOM NAME`` for a custom op."""
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if builtin == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM {(code.CustomCode() or b'?')[:40].decode('ascii', 'replace')}"
    return _enum_name(schema.BuiltinOperator, builtin) or f"operator {builtin}"


def _enum_name(enum: type, value: int) -> str:
    names = (key for key, number in vars(enum).items() if number == value and not key.startswith("_"))
    return next(names, "")


def _tensors(model: Any, subgraph: Any, file_bytes: int) -> tuple[Tensor, ...]:
    count = _count(subgraph.TensorsLength(), file_bytes, "tensors")
    buffers = _count(model.BuffersLength(), file_bytes, "buffers")
    return tuple(
        _tensor(model, _present(subgraph.Tensors(i), f"tensor {i}"), buffers, f"tensor {i}")
        for i in range(count)
    )


def _tensor(model: Any, table: Any, buffers: int, what: str) -> Tensor:
    if table.Sparsity() is not None:
        raise _MalformedError(f"{what} is sparse, which is not supported")
    tensor = Tensor(
        shape=_shape(table, what),
        dtype=_dtype(table.Type(), what),
        constant=False,
        variable=bool(table.IsVariable()),
        scales=_scales(table.Quantization(), what),
    )
    if abs(tensor.bytes) > _LARGEST_TENSOR_BYTES:
        raise _MalformedError(f"{what} has {tensor.bytes} bytes, more than {_LARGEST_TENSOR_BYTES}")
    if not 0 <= table.Buffer() < max(buffers, 1):
        raise _MalformedError(f"corrupt .tflite: {what} is in buffer {table.Buffer()} of {buffers}")
    held = _held_bytes(model.Buffers(table.Buffer()) if buffers else None, what)
    if held and held < tensor.bytes:
        raise _MalformedError(f"corrupt .tflite: {what} needs {tensor.bytes} bytes, its buffer holds {held}")
    return tensor if not held else _as_constant(tensor)


def _as_constant(tensor: Tensor) -> Tensor:
    return Tensor(tensor.shape, tensor.dtype, True, tensor.variable, tensor.scales)


def _held_bytes(buffer: Any, what: str) -> int:
    """Return the bytes of constant data in a buffer (TFLM knows constants by that)."""
    if buffer is None:
        return 0
    if buffer.Offset() > 1:
        raise _MalformedError(f"{what} has its data outside the flatbuffer, which TFLM does not read")
    return 0 if buffer.DataLength() == 0 else len(buffer.DataAsNumpy())


def _shape(table: Any, what: str) -> tuple[int, ...]:
    """Return the shape; −1 is kept for ``_ops`` to resolve."""
    rank = table.ShapeLength()
    if not 0 <= rank <= _HIGHEST_RANK:
        raise _MalformedError(f"{what} has rank {rank}, more than {_HIGHEST_RANK}")
    shape = tuple(int(table.Shape(axis)) for axis in range(rank))
    if any(size < -1 or size > _LARGEST_DIMENSION for size in shape):
        raise _MalformedError(f"corrupt .tflite: {what} has shape {shape}")
    return shape


def _dtype(code: int, what: str) -> DType:
    name = _enum_name(schema.TensorType, code)
    if name not in DType.__members__:
        raise _MalformedError(
            f"{what} has element type {name or code}; known: {', '.join(DType.__members__)}"
        )
    return DType[name]


def _scales(quantization: Any, what: str) -> int:
    """Return the number of scales; TFLM ignores a quantization without scales or zero points."""
    if quantization is None or not quantization.ScaleLength() or not quantization.ZeroPointLength():
        return 0
    for scale in quantization.ScaleAsNumpy().tolist():
        if not 0 <= scale < math.inf:
            raise _MalformedError(f"corrupt .tflite: {what} has a scale of {scale}")
    scales, zero_points = len(quantization.ScaleAsNumpy()), len(quantization.ZeroPointAsNumpy())
    if zero_points not in (1, scales):
        raise _MalformedError(f"corrupt .tflite: {what} has {scales} scales and {zero_points} zero points")
    return scales


def _indices(item: Callable[[int], int], length: int, tensors: int, what: str) -> tuple[int, ...]:
    if not 0 <= length <= tensors:
        raise _MalformedError(f"corrupt .tflite: {length} {what} among {tensors} tensors")
    found = tuple(int(item(position)) for position in range(length))
    if any(not 0 <= index < tensors for index in found):
        raise _MalformedError(f"corrupt .tflite: {what} {found} among {tensors} tensors")
    return found


def _ops(
    model: Any, subgraph: Any, kinds: list[OpKind], tensors: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], tuple[Op, ...]]:
    """Return the tensors with every −1 resolved, and the ops."""
    resolved = list(tensors)
    ops = []
    for position, kind in enumerate(kinds):
        op = _op(subgraph.Operators(position), kind, position, len(tensors))
        if kind is OpKind.RESHAPE and -1 in resolved[op.outputs[0]].shape:
            op = Op(kind, op.inputs, op.outputs, output_wildcard=True)
            resolved[op.outputs[0]] = _resolve(resolved[op.inputs[0]], resolved[op.outputs[0]], position)
        _check_ranks(op, resolved, position)
        for index in (op.inputs[at] for at in OPERATORS[kind].valued):
            resolved[index] = _with_values(model, subgraph, index, resolved[index])
        ops.append(op)
    for index, tensor in enumerate(resolved):
        if -1 in tensor.shape:
            raise _MalformedError(
                f"tensor {index} has the dynamic shape {tensor.shape}; TFLM needs static shapes"
            )
    return tuple(resolved), tuple(ops)


def _with_values(model: Any, subgraph: Any, index: int, tensor: Tensor) -> Tensor:
    """Return ``tensor`` with its values, if it is a short constant list of integers."""
    words = {DType.INT32: "<i4", DType.INT64: "<i8"}.get(tensor.dtype)
    if words is None or not tensor.constant or tensor.items > _MOST_VALUES:
        return tensor
    data = model.Buffers(subgraph.Tensors(index).Buffer()).DataAsNumpy()[: tensor.bytes]
    return replace(tensor, values=tuple(data.view(words).tolist()))


def _op(table: Any, kind: OpKind, position: int, tensors: int) -> Op:
    what = f"op {position} ({kind})"
    (fewest, most), (fewest_outputs, most_outputs) = OPERATORS[kind].inputs, OPERATORS[kind].outputs
    if (
        not fewest <= table.InputsLength() <= most
        or not fewest_outputs <= table.OutputsLength() <= most_outputs
    ):
        raise _MalformedError(
            f"{what} has {table.InputsLength()} inputs and {table.OutputsLength()} outputs, "
            f"not {fewest} to {most} and {fewest_outputs} to {most_outputs}"
        )
    inputs = tuple(int(table.Inputs(i)) for i in range(table.InputsLength()))
    outputs = tuple(int(table.Outputs(i)) for i in range(table.OutputsLength()))
    optional = {*OPERATORS[kind].absent, *range(fewest, most)}
    required = outputs + tuple(one for at, one in enumerate(inputs) if one != -1 or at not in optional)
    if any(not 0 <= index < tensors for index in required):
        raise _MalformedError(f"corrupt .tflite: {what} uses tensors {inputs} and {outputs} of {tensors}")
    return Op(kind, inputs, outputs, **_options(table, kind, what))


def _resolve(source: Tensor, output: Tensor, position: int) -> Tensor:
    """Return ``output`` with the one −1 of its shape worked out from ``source``."""
    known = -output.items
    if output.shape.count(-1) > 1 or known <= 0 or source.items <= 0 or source.items % known:
        raise _MalformedError(f"op {position} (RESHAPE) cannot make {output.shape} of {source.shape}")
    shape = tuple(source.items // known if size == -1 else size for size in output.shape)
    return Tensor(shape, output.dtype, output.constant, output.variable, output.scales)


def _check_ranks(op: Op, tensors: list[Tensor], position: int) -> None:
    """Check the ranks that the accounting relies on."""
    ranks = OPERATORS[op.kind].ranks
    used = [*op.inputs[: len(ranks) - 1], *op.outputs] if ranks else []
    found = [len(tensors[index].shape) for index in used]
    if any(rank < 1 if wanted is None else rank != wanted for rank, wanted in zip(found, ranks, strict=True)):
        wanted = ["1 or more" if rank is None else rank for rank in ranks]
        raise _MalformedError(f"op {position} ({op.kind}) has tensors of ranks {found}, not {wanted}")


def _options(table: Any, kind: OpKind, what: str) -> dict[str, Any]:
    """Return the fields of ``Op`` that the op's builtin options hold."""
    layout = OPERATORS[kind].options
    if layout is None:
        return {}
    union = table.BuiltinOptions()
    if union is None or table.BuiltinOptionsType() != layout.option_code:
        if is_required(layout):
            raise _MalformedError(f"corrupt .tflite: {what} has no {layout.name}")
        return {}
    options = getattr(schema, layout.name)()
    options.Init(union.Bytes, union.Pos)
    try:
        return op_attributes({field.name: _plain(getattr(options, field.name)()) for field in layout.fields})
    except ValueError as error:
        raise _MalformedError(f"corrupt .tflite: {what} has {error}") from None


def _plain(value: Any) -> int | str:
    """Return the value of an option: a number, or a name, "" where there is none."""
    if value is None or isinstance(value, bytes):
        return (value or b"").decode("utf-8", "replace")
    return int(value)

"""A network as C: ``network.c`` and ``network.h``, which call the kernels beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.aot.lowering import Call, lower_op
from export.aot.network import Network, read_network
from export.aot.packing import Value
from export.templates.c_numbers import c_float
from export.templates.render import render_template
from mcofa.engines.aot.arena import Storage, kernel, solved_plan, storages
from mcofa.files.resources import data_folder
from mcofa.graph import DType
from mcofa.memory.plan import Plan
from mcofa.ops import KERNELS, OPERATORS, Extension, Target

_ITEMS_PER_LINE = 16

_C_TYPES = {DType.INT8: "int8_t", DType.FLOAT32: "float"}


@dataclass(frozen=True, slots=True)
class GeneratedNetwork:
    """C sources by name, and what they take.

    ``kernels`` are the names of the kernels called. ``shared_bytes`` is what is saved where ops have
    equal constants, which are stored once.
    """

    files: Mapping[str, bytes]
    kernels: tuple[str, ...]
    arena_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class _Array:
    """A constant: its C type, name and initialiser lines."""

    type: str
    name: str
    items: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """One op as the template writes it; ``dead`` are (offset, bytes) not read again."""

    position: int
    kind: str
    struct: str
    fields: tuple[str, ...]
    statement: str
    output: str
    output_bytes: int
    dead: tuple[tuple[int, int], ...]


class _Constants:
    """The constant arrays of a network; equal ones are stored once."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, bytes], _Array] = {}
        self.shared_bytes = 0

    def name(self, values: npt.NDArray[Any], label: str) -> str:
        """Return the name of a constant with these values, which are int8, int32, int64 or float."""
        c_type = "float" if values.dtype == np.float32 else f"{values.dtype.name}_t"
        key = c_type, values.tobytes()
        if key in self.arrays:
            self.shared_bytes += values.nbytes
        else:
            self.arrays[key] = _Array(c_type, label, values.size, tuple(_lines(values.ravel())))
        return self.arrays[key].name


def generate(data: bytes, name: str, on: Target) -> GeneratedNetwork:
    """Return the C of the .tflite file ``data`` for the target ``on``; messages call it ``name``.

    Raises:
        FileFormatError: not a .tflite that can be read.
        UnsupportedOpError: names the ops that no kernel runs.
    """
    network = read_network(data, name)
    planned = storages(network.graph, on)
    plan = solved_plan(planned)
    memory = _Memory(network, planned, plan)
    constants = _Constants()
    steps, kernels = [], []
    for position, op in enumerate(network.graph.ops):
        if OPERATORS[op.kind].aot.in_place_is_nothing and memory.in_place(position):
            continue
        call = lower_op(network, position, kernel(network.graph, op, on), on)
        kernels.append(call.kernel)
        steps.append(_step(network, memory, constants, call, position))
    values = {
        "arrays": list(constants.arrays.values()),
        "steps": steps,
        "arena_bytes": plan.total_bytes,
        "mve": on.extension is Extension.MVE,
        "inputs": [memory.place(index) for index in network.graph.inputs],
        "outputs": [memory.place(index) for index in network.graph.outputs],
    }
    used = tuple(sorted(set(kernels)))
    files = {f"network.{ending}": render_template(f"aot/network.{ending}.jinja", **values) for ending in "hc"}
    return GeneratedNetwork({**files, **kernel_sources(used)}, used, plan.total_bytes, constants.shared_bytes)


def kernel_sources(kernels: tuple[str, ...]) -> dict[str, bytes]:
    """Return the sources of ``kernels`` and their headers, by file name."""
    names = {"nn.h", "nn_fixed_point.h", "nn_mve.h", "nn_rows.h", *(f"{kernel}.c" for kernel in kernels)}
    if any(KERNELS[kernel].four_channels for kernel in kernels):
        names |= {"nn_four.h", "nn_four.c"}
    folder = data_folder("firmware_templates") / "aot" / "nn"
    return {name: (folder / name).read_bytes() for name in sorted(names)}


class _Memory:
    """Where every tensor and every op's scratch lies."""

    def __init__(self, network: Network, planned: tuple[Storage, ...], plan: Plan) -> None:
        self.network = network
        self.offsets: dict[int, int] = {}
        self.scratch: dict[int, int] = {}
        self.dead: dict[int, list[tuple[int, int]]] = {}
        for storage, offset in zip(planned, plan.offsets, strict=True):
            self.offsets.update(dict.fromkeys(storage.tensors, offset))
            if not storage.tensors:
                self.scratch[storage.buffer.first_step] = offset
            self.dead.setdefault(storage.buffer.last_step, []).append((offset, storage.buffer.bytes))

    def place(self, index: int) -> dict[str, object]:
        """Offset and size of a tensor, for the template."""
        tensor = self.network.graph.tensors[index]
        return {
            "offset": self.offsets[index],
            "bytes": tensor.bytes,
            "items": tensor.items,
            "type": _C_TYPES.get(tensor.dtype, "int8_t"),
        }

    def in_place(self, position: int) -> bool:
        """Whether the op's output lies where its input does."""
        op = self.network.graph.ops[position]
        return self.offsets.get(op.inputs[0]) == self.offsets[op.outputs[0]]

    def pointer(self, index: int) -> str:
        """The C expression of a tensor's address in the arena."""
        place = f"memory + {self.offsets[index]}"
        c_type = self.network.graph.tensors[index].dtype
        return place if c_type is DType.INT8 else f"({_C_TYPES.get(c_type, 'void')}*)(void*)({place})"


def _step(network: Network, memory: _Memory, constants: _Constants, call: Call, position: int) -> _Step:
    graph = network.graph
    op = graph.ops[position]
    operands = [
        constants.name(network.constants[index], f"tensor_{index}")
        if graph.tensors[index].constant
        else memory.pointer(index)
        for index in op.inputs[: OPERATORS[op.kind].aot.operands]
    ]
    operands.append(memory.pointer(op.outputs[0]))
    if KERNELS[call.kernel].takes_scratch:
        scratch = memory.scratch.get(position + 1)
        operands.append("NULL" if scratch is None else f"memory + {scratch}")
    if call.table is not None:
        leading = [constants.name(call.table, f"table_{position}"), str(call.fields["items"])]
    else:
        leading = [f"&op_{position}"]
    return _Step(
        position=position,
        kind=str(op.kind),
        struct=call.struct,
        fields=tuple(_fields(call, constants, position)) if call.struct else (),
        statement=f"{call.kernel}({', '.join(leading + operands)});",
        output=memory.pointer(op.outputs[0]),
        output_bytes=graph.tensors[op.outputs[0]].bytes,
        dead=tuple(memory.dead.get(position + 1, ())),
    )


def _fields(call: Call, constants: _Constants, position: int) -> Iterator[str]:
    for field, value in call.fields.items():
        yield f".{field} = {_initialiser(value, constants, f'{field}_{position}')},"


def _initialiser(value: Value, constants: _Constants, label: str) -> str:
    if isinstance(value, np.ndarray):
        return constants.name(value, label)
    if isinstance(value, float):
        return c_float(value)
    if isinstance(value, int):
        return str(value)
    return "{" + ", ".join(map(str, value)) + "}"


def _lines(values: npt.NDArray[Any]) -> Iterator[str]:
    for start in range(0, values.size, _ITEMS_PER_LINE):
        yield " ".join(f"{_literal(value)}," for value in values[start : start + _ITEMS_PER_LINE])


def _literal(value: Any) -> str:
    if isinstance(value, np.floating):
        return c_float(float(value))
    number = int(value)
    if number == -(1 << 31):
        return "INT32_MIN"
    return f"INT64_C({number})" if isinstance(value, np.int64) else str(number)

"""A network as C: ``network.c`` and ``network.h``, which call the kernels beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.aot.constants import Array, Constants
from export.aot.lowering import Call, lower_op
from export.aot.makers import Maker, Makers
from export.aot.memory import Memory
from export.aot.network import Network, read_network
from export.aot.rows import lower_row, lower_sums
from export.templates.render import render_template
from mcofa.engines.aot.flow import flow_of
from mcofa.engines.aot.kernels import kernel
from mcofa.engines.aot.plan import AotPlan, plan_aot
from mcofa.files.resources import data_folder
from mcofa.ops import KERNELS, OPERATORS, Extension, Target


@dataclass(frozen=True, slots=True)
class GeneratedNetwork:
    """C sources by name, and what they take.

    ``kernels`` are the names of the kernels called. ``shared_bytes`` is what is saved where ops have
    equal constants, which are stored once.
    """

    plan: AotPlan
    files: Mapping[str, bytes]
    kernels: tuple[str, ...]
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class _Struct:
    """The parameters of one op as the template writes them."""

    position: int
    kind: str
    type: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """One span as the template writes it: makers, or without any the ``statement`` of its one op.

    ``asked`` are the makers that are asked for all their rows, in turn. ``dead`` are (offset, bytes) not
    read again.
    """

    number: int
    makers: tuple[Maker, ...]
    asked: tuple[tuple[int, int], ...]
    statement: str
    op: int
    output: str
    output_bytes: int
    dead: tuple[tuple[int, int], ...]


def generate(data: bytes, name: str, on: Target, streams_input: bool = False) -> GeneratedNetwork:
    """Return the C of the .tflite file ``data`` for the target ``on``; messages call it ``name``.

    With ``streams_input`` the program is given the image row by row.

    Raises:
        FileFormatError: not a .tflite that can be read.
        UnsupportedOpError: names the ops that no kernel runs.
        McofaError: the input has no rows to be given one by one.
    """
    network = read_network(data, name)
    plan = plan_aot(network.graph, on, streams_input)
    writer = _Writer(network, plan, on)
    spans = [writer.span(number, ops) for number, ops in enumerate(plan.spans, start=1)]
    graph = network.graph
    image = graph.tensors[graph.inputs[0]]
    values = {
        "arrays": writer.arrays,
        "structs": writer.structs,
        "spans": spans,
        "arena_bytes": plan.arena_bytes,
        "mve": on.extension is Extension.MVE,
        "streams_input": streams_input,
        "image": {"rows": image.shape[1], "row_bytes": image.bytes // image.shape[1]}
        if streams_input
        else None,
        "inputs": [] if streams_input else [writer.memory.place(index) for index in graph.inputs],
        "outputs": [writer.memory.place(index) for index in graph.outputs],
    }
    used = tuple(sorted(writer.kernels))
    files = {f"network.{ending}": render_template(f"aot/network.{ending}.jinja", **values) for ending in "hc"}
    shared_bytes = writer.constants.shared_bytes
    return GeneratedNetwork(plan, {**files, **kernel_sources(used)}, used, shared_bytes)


def kernel_sources(kernels: tuple[str, ...]) -> dict[str, bytes]:
    """Return the sources of ``kernels`` and their headers, by file name."""
    names = {"nn.h", "nn_fixed_point.h", "nn_mve.h", "nn_rows.h", *(f"{kernel}.c" for kernel in kernels)}
    if any(KERNELS[kernel].four_channels for kernel in kernels):
        names |= {"nn_four.h", "nn_four.c"}
    folder = data_folder("firmware_templates") / "aot" / "nn"
    return {name: (folder / name).read_bytes() for name in sorted(names)}


class _Writer:
    """Collects what a network's C consists of, span by span."""

    def __init__(self, network: Network, plan: AotPlan, on: Target) -> None:
        self.constants = Constants()
        self.structs: list[_Struct] = []
        self.kernels: set[str] = set()
        self.memory = Memory(network.graph, plan)
        self._network = network
        self._plan = plan
        self._on = on
        self._flow = flow_of(network.graph)
        self._makers = Makers(network.graph, self._flow, self.memory)

    @property
    def arrays(self) -> list[Array]:
        """All constant arrays."""
        return list(self.constants.arrays.values())

    def span(self, number: int, ops: range) -> _Span:
        inputs = self._flow.inputs
        first = 0 if number == 1 and self._plan.streams_input else ops.start + inputs
        steps = range(first, ops.stop + inputs)
        dead = tuple(self.memory.dead_after(number))
        if len(steps) == 1:
            statement, op = self._whole(ops.start, number), self._network.graph.ops[ops.start]
            output = op.outputs[0]
            size = self._network.graph.tensors[output].bytes if statement else 0
            return _Span(number, (), (), statement, ops.start, self.memory.pointer(output), size, dead)
        makers = tuple(self._maker(step, steps, number) for step in steps)
        left = [step for step in steps[:-1] if self._flow.last_reader(step) >= steps.stop]
        asked = [(self._flow.steps[step].tensor, self._flow.steps[step].rows) for step in (steps[-1], *left)]
        return _Span(number, makers, tuple(asked), "", 0, "", 0, dead)

    def _whole(self, position: int, number: int) -> str:
        """The call that runs an op on whole tensors, nothing if there is nothing to do."""
        op = self._network.graph.ops[position]
        if OPERATORS[op.kind].aot.in_place_is_nothing and self._plan.is_over_input(op):
            return ""
        call = lower_op(self._network, position, self._kernel(position, alone=True), self._on)
        constants = self._operands(position)
        operands = [
            constants.get(index) or self.memory.pointer(index)
            for index in op.inputs[: OPERATORS[op.kind].aot.operands]
        ]
        operands.append(self.memory.pointer(op.outputs[0]))
        if KERNELS[call.kernel].takes_scratch:
            operands.append(self.memory.scratch(number))
        return f"{call.kernel}({', '.join([self._leading(call, position), *operands])});"

    def _maker(self, step: int, span: range, number: int) -> Maker:
        position = self._flow.steps[step].op
        if position < 0:
            return self._makers.input(step)
        if position in self.memory.sums:
            lower = lower_sums
        else:
            lower = lower_op if self._flow.steps[step].at_once else lower_row
        call = lower(self._network, position, self._kernel(position), self._on)
        leading = self._leading(call, position)
        return self._makers.op(step, span, number, call.kernel, leading, self._operands(position))

    def _kernel(self, position: int, alone: bool = False) -> str:
        op = self._network.graph.ops[position]
        over_input = OPERATORS[op.kind].aot.over_input
        if over_input and alone and self._plan.is_over_input(op):
            chosen = over_input.kernel.name
        else:
            chosen = kernel(self._network.graph, op, self._on)
        self.kernels.add(chosen)
        return chosen

    def _operands(self, position: int) -> Mapping[int, str]:
        """The names of the operands of an op that are constant."""
        op = self._network.graph.ops[position]
        return {
            index: self.constants.name(self._network.constants[index], f"tensor_{index}")
            for index in op.inputs[: OPERATORS[op.kind].aot.operands]
            if self._network.graph.tensors[index].constant
        }

    def _leading(self, call: Call, position: int) -> str:
        """The first arguments of a call, whose struct or table is added."""
        if call.table is not None:
            return f"{self.constants.name(call.table, f'table_{position}')}, {call.fields['items']}"
        fields = tuple(
            f".{field} = {self.constants.initialiser(value, f'{field}_{position}')},"
            for field, value in call.fields.items()
        )
        kind = str(self._network.graph.ops[position].kind)
        self.structs.append(_Struct(position, kind, call.struct, fields))
        return f"&op_{position}"

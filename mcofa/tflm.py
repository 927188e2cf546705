"""What TFLM puts in its arena for a graph: head, tail and minimum, byte for byte.

The arena holds the *head* (activations and scratch, planned) at its start and the
*tail* (everything persistent) at its end, allocated downward. The rules are those of
TFLM 90b983c2b3f1 and CMSIS-NN 99f736a6 built with GCC; struct sizes and the table of
ops are read from ``tflm_constants/``, which names the builds they were measured on.
Only int8 networks are accounted for; ``check_supported`` says what is not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mcofa.errors import UnknownNameError, UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.memory import Buffer, Plan, aligned, peak, plan_around

ARENA_ALIGNMENT_BYTES = 16
ONLINE = -1
"""The offline offset of a tensor that TFLM places itself."""
_CONSTANTS_FILE = Path(__file__).parent / "tflm_constants" / "tflm-90b983c2b3f1.json"
_INT32_BYTES = 4
_MVE_DEPTHWISE_CHANNEL_BLOCK = 124

_CONVOLUTIONS = frozenset({OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D})
_REDUCTIONS = frozenset({OpKind.MEAN, OpKind.SUM})
_ANY_TYPE = frozenset({OpKind.RESHAPE, OpKind.TRANSPOSE, OpKind.QUANTIZE, OpKind.DEQUANTIZE})


class KernelSet(StrEnum):
    """Which kernels TFLM was built with; ``CMSIS_NN`` means built for size."""

    REFERENCE = "reference"
    CMSIS_NN = "cmsis-nn"
    CMSIS_NN_SPEED = "cmsis-nn-speed"


class Extension(StrEnum):
    """Instruction-set extension of the core, which chooses CMSIS-NN's code paths."""

    NONE = "none"
    DSP = "dsp"
    MVE = "mve"


class MinimumCause(StrEnum):
    """What decides the smallest arena in which the model starts."""

    RESIDENT = "head and tail"
    PLANNING = "tables of the memory planner"
    PREPARING = "temporary tensors while an op is prepared"


@dataclass(frozen=True, slots=True)
class Target:
    """A core (or ``x86-64``, the wheel) and the kernel set that runs on it."""

    name: str
    abi: str
    extension: Extension
    kernels: KernelSet


@dataclass(frozen=True, slots=True)
class Structs:
    """Sizes in bytes of TFLM's structs under one ABI; all are aligned to a word."""

    pointer: int
    single_arena_allocator: int
    recording_single_arena_allocator: int
    planner: int
    micro_allocator: int
    recording_micro_allocator: int
    builtin_data_allocator: int
    subgraph_allocations: int
    eval_tensor: int
    node_and_registration: int
    scratch_handle: int
    tensor: int
    affine_quantization: int
    scratch_request: int
    allocation_info: int
    subgraph_offset: int
    planner_buffer: int


@dataclass(frozen=True, slots=True)
class OpRule:
    """What one kind of op costs on a target, whatever its shapes.

    ``builtin_data_bytes`` is 0 for ops without; ``op_data_bytes`` is not yet rounded
    up to 16. ``temporaries`` name the tensors that Prepare borrows: ``input0``, ….
    """

    builtin_data_bytes: int
    builtin_data_align: int
    op_data_bytes: int
    temporaries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpMemory:
    """What one op of a graph adds to the arena of a target (bytes).

    ``kernel_arrays_bytes`` and ``op_data_bytes`` are persistent and aligned to 16 each;
    ``scratch_bytes`` are planned in the head; ``temporaries_bytes`` live while the op
    is prepared.
    """

    builtin_data_bytes: int
    builtin_data_align: int
    op_data_bytes: int
    kernel_arrays_bytes: tuple[int, ...]
    scratch_bytes: tuple[int, ...]
    temporaries_bytes: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The persistent part of the arena.

    ``planning_bytes`` is the tail while the head is planned; ``prepared_bytes`` holds
    the tail after each op's Prepare. ``breakdown`` sums up to ``total_bytes``.
    """

    total_bytes: int
    planning_bytes: int
    prepared_bytes: tuple[int, ...]
    breakdown: dict[str, int]


@dataclass(frozen=True, slots=True)
class HeadPeak:
    """Where the head is fullest: the op running then (−1: before the first), what is live."""

    op_index: int
    live_bytes: int
    tensors: tuple[int, ...]
    scratch_bytes: int


@dataclass(frozen=True, slots=True)
class Arena:
    """Predicted arena of one graph on one target, in bytes.

    ``tail_bytes`` and ``arena_used_bytes`` are those of a plain interpreter,
    ``recording_tail_bytes`` of a recording one. ``minimum_bytes`` is what the firmware
    must reserve: the largest of ``resident_bytes``, ``planning_bytes`` and
    ``preparing_bytes``, rounded up to 16; ``minimum_cause`` says which. What the wheel
    (``x86-64``) does not give is None there. ``breakdown`` adds up to the tail (the
    recording one on x86-64) plus the head.
    """

    target: Target
    head_bytes: int
    recording_tail_bytes: int
    tail_bytes: int | None
    arena_used_bytes: int | None
    minimum_bytes: int | None
    minimum_cause: MinimumCause | None
    resident_bytes: int | None
    planning_bytes: int | None
    preparing_bytes: int | None
    breakdown: dict[str, int]
    head_peak: HeadPeak


@functools.cache
def constants() -> dict[str, Any]:
    """Return the constants of the TFLM version that this module follows (read only)."""
    loaded: dict[str, Any] = json.loads(_CONSTANTS_FILE.read_text(encoding="utf-8"))
    return loaded


def target_names() -> tuple[str, ...]:
    """Return the names that ``target`` knows."""
    return tuple(constants()["targets"])


def kernel_sets(target_name: str) -> tuple[str, ...]:
    """Return the kernel sets there are for a target: the x86-64 wheel has only one."""
    if constants()["targets"][target_name]["abi"] == "x86-64":
        return (KernelSet.REFERENCE.value,)
    return tuple(kernels.value for kernels in KernelSet)


@functools.cache
def target(name: str, kernels: str) -> Target:
    """Return the target ``name`` with the kernel set ``kernels``.

    Raises:
        UnknownNameError: no such target, or no such kernel set on it.
    """
    if name not in target_names():
        raise UnknownNameError("target", name, target_names(), "mcofa arena --help")
    if kernels not in kernel_sets(name):
        raise UnknownNameError(f"kernel set on {name}", kernels, kernel_sets(name), "mcofa arena --help")
    entry = constants()["targets"][name]
    return Target(name, entry["abi"], Extension(entry["extension"]), KernelSet(kernels))


@functools.cache
def structs(abi: str) -> Structs:
    """Return the struct sizes under ``abi`` (``arm32`` or ``x86-64``)."""
    return Structs(**constants()["struct_bytes"][abi])


@functools.cache
def op_rules(on: Target) -> dict[OpKind, OpRule]:
    """Return the rule of every op in the table, for the target ``on``."""
    family = "reference" if on.kernels is KernelSet.REFERENCE else "cmsis-nn"
    return {OpKind(name): _op_rule(entry, on.abi, family) for name, entry in constants()["ops"].items()}


def _op_rule(entry: dict[str, Any], abi: str, family: str) -> OpRule:
    builtin_bytes, builtin_align = entry["builtin_data"][abi] or (0, 1)
    return OpRule(
        builtin_data_bytes=builtin_bytes,
        builtin_data_align=builtin_align,
        op_data_bytes=entry["op_data_bytes"][f"{abi} {family}"],
        temporaries=tuple(entry["prepare_temporaries"][family]),
    )


def check_supported(graph: Graph, on: Target) -> None:
    """Check that there is a rule for every op of ``graph``.

    An op is supported when its kind is in the table and its first input and first
    output are int8; RESHAPE, TRANSPOSE, QUANTIZE and DEQUANTIZE take any type.

    Raises:
        UnsupportedOpError: names all the ops without a rule.
    """
    names = [_unsupported_name(graph, op, on) for op in graph.ops]
    raise_unsupported(name for name in names if name)


def raise_unsupported(names: Iterable[str]) -> None:
    """Raise one error that names every distinct op in ``names``; do nothing if there is none.

    Raises:
        UnsupportedOpError: ``names`` is not empty.
    """
    distinct = sorted(set(names))
    if distinct:
        raise UnsupportedOpError(
            f"no memory rule for: {', '.join(distinct)} (known: {', '.join(constants()['ops'])}; int8)",
            "convert the model to int8 with these ops only",
        )


def _unsupported_name(graph: Graph, op: Op, on: Target) -> str:
    if op.kind not in op_rules(on):
        return str(op.kind)
    if op.kind not in _ANY_TYPE:
        for index in (op.inputs[0], op.outputs[0]):
            if graph.tensors[index].dtype is not DType.INT8:
                return f"{op.kind} ({graph.tensors[index].dtype})"
    if _reads_unset_stride(graph, op, on):
        return f"{op.kind} (one input channel, height 1, on {on.name} with CMSIS-NN)"
    return ""


def _reads_unset_stride(graph: Graph, op: Op, on: Target) -> bool:
    """Whether TFLM sizes this op's scratch with a stride that its Prepare never sets.

    MVE turns a depthwise convolution of one input channel into a convolution, whose
    1×N case asks for the stride (cmsis_nn/depthwise_conv.cc leaves it unset).
    """
    if op.kind is not OpKind.DEPTHWISE_CONV_2D or on.extension is not Extension.MVE:
        return False
    _, height, _, channels = graph.tensors[op.inputs[0]].shape
    _, kernel_height, _, _ = graph.tensors[op.inputs[1]].shape
    return on.kernels is not KernelSet.REFERENCE and channels == height == kernel_height == 1


def op_memory(graph: Graph, op: Op, on: Target) -> OpMemory:
    """Return what ``op`` adds to the arena of ``on``; the op must be supported."""
    rule = op_rules(on)[op.kind]
    return OpMemory(
        builtin_data_bytes=rule.builtin_data_bytes,
        builtin_data_align=rule.builtin_data_align,
        op_data_bytes=rule.op_data_bytes,
        kernel_arrays_bytes=kernel_arrays(graph, op, on),
        scratch_bytes=scratch_buffers(graph, op, on),
        temporaries_bytes=_temporaries_bytes(graph, op, on, rule),
    )


def kernel_arrays(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Return the persistent arrays (bytes, each aligned to 16) that the op's Prepare allocates.

    Convolutions keep a multiplier and a shift per output channel; FULLY_CONNECTED does
    so when its filter has more than one scale; RESHAPE copies an output shape with −1.
    """
    if op.kind in _CONVOLUTIONS:
        channels = graph.tensors[op.inputs[1]].shape[0 if op.kind is OpKind.CONV_2D else 3]
        return (_INT32_BYTES * channels,) * 2
    if op.kind is OpKind.FULLY_CONNECTED:
        scales = graph.tensors[op.inputs[1]].scales
        per_channel = (_INT32_BYTES * scales,) * 2 if scales > 1 else ()
        return per_channel + _kernel_sums(graph, op, on)
    if op.kind is OpKind.RESHAPE and op.output_wildcard:
        return (_int_array_bytes(len(graph.tensors[op.outputs[0]].shape)),)
    return ()


def _kernel_sums(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Persistent sums of a FULLY_CONNECTED filter: MVE, built for speed, constant weights."""
    if on.kernels is not KernelSet.CMSIS_NN_SPEED or not _constant_weights(graph, op):
        return ()
    return _fully_connected_sums(graph, op, on)


def _constant_weights(graph: Graph, op: Op) -> bool:
    return all(graph.tensors[index].constant for index in op.inputs[1:3] if index >= 0)


def _fully_connected_sums(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """4·C_out on MVE, unless FULLY_CONNECTED is run as a 1×1 convolution."""
    if on.extension is not Extension.MVE or _runs_as_convolution(graph, op):
        return ()
    return (_INT32_BYTES * graph.tensors[op.outputs[0]].shape[-1],)


def _runs_as_convolution(graph: Graph, op: Op) -> bool:
    """CMSIS-NN runs FULLY_CONNECTED as a 1×1 convolution if output rank > 2 and depth % 4 = 0."""
    depth = graph.tensors[op.inputs[1]].shape[-1]
    return len(graph.tensors[op.outputs[0]].shape) > 2 and depth % 4 == 0


def _int_array_bytes(items: int) -> int:
    """Size of a TfLiteIntArray: its length, then its items."""
    return _INT32_BYTES * (1 + items)


def scratch_buffers(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """Return the scratch buffers (bytes) that the op requests, in order.

    MEAN and SUM request three with every kernel set, the other ops only with CMSIS-NN.
    """
    if op.kind in _REDUCTIONS:
        return _reduction_scratch(graph, op)
    if on.kernels is KernelSet.REFERENCE or op.kind not in _CMSIS_NN_SCRATCH:
        return ()
    return tuple(size for size in _CMSIS_NN_SCRATCH[op.kind](graph, op, on) if size > 0)


def _reduction_scratch(graph: Graph, op: Op) -> tuple[int, ...]:
    """4·output elements, 4·input rank, 4·number of axes."""
    source, axes = (graph.tensors[index] for index in op.inputs[:2])
    items = (graph.tensors[op.outputs[0]].items, len(source.shape), axes.items)
    return tuple(_INT32_BYTES * count for count in items)


def _fully_connected_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """8·C_out if run as a 1×1 convolution with one scale; sums on MVE unless kept persistent."""
    if _runs_as_convolution(graph, op):
        channels = graph.tensors[op.outputs[0]].shape[-1]
        return (2 * _INT32_BYTES * channels,) if graph.tensors[op.inputs[1]].scales <= 1 else ()
    return () if _kernel_sums(graph, op, on) else _fully_connected_sums(graph, op, on)


def _average_pool_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """4·C on cores with DSP, none on the others."""
    channels = graph.tensors[op.inputs[0]].shape[3]
    return (_INT32_BYTES * channels,) if on.extension is Extension.DSP else ()


def _convolution_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """None for 1×1 without padding, dilation or groups; im2col columns otherwise."""
    source, kernel, output = _window_tensors(graph, op)
    padding = window_padding(source.shape, kernel.shape, op)
    undilated = op.dilation == (1, 1)
    ungrouped = source.shape[3] == kernel.shape[3]
    if kernel.shape[1:3] == (1, 1) and padding == (0, 0) and undilated and ungrouped:
        return ()
    is_1_x_n = source.shape[1] == kernel.shape[1] == 1 and undilated and ungrouped
    if on.extension is Extension.MVE and is_1_x_n and op.stride[1] * source.shape[3] % 4 == 0:
        return (_mve_1_x_n_bytes(source, kernel, output, op.stride[1], padding[1]),)
    return (_im2col_bytes(source.shape[3], kernel, on),)


def _im2col_bytes(channels: int, kernel: Tensor, on: Target) -> int:
    """Four int8 columns rounded up to 16 on MVE, two int16 columns rounded up to 4 elsewhere."""
    column = kernel.shape[1] * kernel.shape[2] * channels
    return 4 * aligned(column, 16 if on.extension is Extension.MVE else 4)


def _mve_1_x_n_bytes(source: Tensor, kernel: Tensor, output: Tensor, stride: int, pad: int) -> int:
    """Scratch of a 1×N convolution on MVE: its padded first and last windows.

    Source: arm_convolve_1_x_n_s8_get_buffer_size_mve, CMSIS-NN 99f736a6. ``pad + odd != 0``
    is read as C does: the sum is compared.
    """
    channels, width = source.shape[3], kernel.shape[2]
    total_pad = (output.shape[2] - 1) * stride + width - source.shape[2]
    odd = total_pad - 2 * int(total_pad / 2)
    right = max(1, _truncated(pad + odd + stride - 1, stride)) if pad + odd != 0 else 0
    left = max(1, (pad + stride - 1) // stride) if pad else 0
    middle = max(output.shape[2] - (right + left), 0)
    if right + middle + left != output.shape[2]:
        return 4 * aligned(kernel.shape[1] * width * channels, 16)
    right_pad = right * channels if odd else pad * channels
    return max((width + pad) * channels, (width - 1) * channels + right_pad)


def _truncated(numerator: int, denominator: int) -> int:
    """Division that rounds towards zero, as C does."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def _depthwise_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """None without DSP; 2·C·kh·kw with DSP unless 3×3 with padding ≤ 1; 496·kh·kw on MVE.

    That holds for C_in = C_out, batch 1, no dilation (otherwise none). MVE first turns a
    single input channel with several output channels into a convolution and adds a copy of
    the filter.
    """
    source, kernel, output = _window_tensors(graph, op)
    taps = kernel.shape[1] * kernel.shape[2]
    channels = output.shape[3]
    if on.extension is Extension.MVE and source.shape[3] == 1 and channels > 1:
        return (_converted_depthwise_bytes(graph, op, on) + channels * taps,)
    if source.shape[3] != channels or source.shape[0] != 1 or op.dilation != (1, 1):
        return ()
    if on.extension is Extension.MVE:
        return (4 * _MVE_DEPTHWISE_CHANNEL_BLOCK * taps,)
    if on.extension is Extension.NONE:
        return ()
    small = kernel.shape[1:3] == (3, 3) and max(window_padding(source.shape, kernel.shape, op)) <= 1
    return () if small else (2 * source.shape[3] * taps,)


def _converted_depthwise_bytes(graph: Graph, op: Op, on: Target) -> int:
    """Scratch of the convolution that a one-channel depthwise convolution becomes on MVE."""
    source, kernel, _ = _window_tensors(graph, op)
    padding = window_padding(source.shape, kernel.shape, op)
    if kernel.shape[1:3] == (1, 1) and padding == (0, 0) and op.dilation == (1, 1):
        return 0
    return _im2col_bytes(1, kernel, on)


_CMSIS_NN_SCRATCH: dict[OpKind, Callable[[Graph, Op, Target], tuple[int, ...]]] = {
    OpKind.CONV_2D: _convolution_scratch,
    OpKind.DEPTHWISE_CONV_2D: _depthwise_scratch,
    OpKind.FULLY_CONNECTED: _fully_connected_scratch,
    OpKind.AVERAGE_POOL_2D: _average_pool_scratch,
}


def _window_tensors(graph: Graph, op: Op) -> tuple[Tensor, Tensor, Tensor]:
    return graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]


def window_padding(source: Sequence[int], kernel: Sequence[int], op: Op) -> tuple[int, int]:
    """Return the padding (rows above, columns left) that TFLM computes for a convolution.

    ``source`` is NHWC, ``kernel`` has its height and width at positions 1 and 2. The
    smaller half of an odd total is above and left.
    """
    above, left = (
        _padding_before(source[axis], kernel[axis], op.stride[axis - 1], op.dilation[axis - 1], op.padding)
        for axis in (1, 2)
    )
    return above, left


def _padding_before(size: int, kernel: int, stride: int, dilation: int, scheme: str) -> int:
    if scheme == "VALID":
        return 0
    window = (kernel - 1) * dilation + 1
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + window - size, 0) // 2


def _temporaries_bytes(graph: Graph, op: Op, on: Target, rule: OpRule) -> int:
    """Bytes of the temporary tensors that Prepare borrows; absent optional inputs cost nothing."""
    sizes = structs(on.abi)
    sides = {"input": op.inputs, "output": op.outputs}
    total = 0
    for name in rule.temporaries:
        indices, position = sides[name[:-1]], int(name[-1])
        if position < len(indices) and indices[position] >= 0:
            tensor = graph.tensors[indices[position]]
            total += sizes.tensor + (
                sizes.affine_quantization + _int_array_bytes(tensor.scales) if tensor.scales else 0
            )
    return total


def head_plan(graph: Graph, buffers: Sequence[Buffer]) -> Plan:
    """Return where TFLM puts the ``buffers``, which are those of ``planned_buffers``.

    Tensors with an offline offset lie there; everything else, scratch always, is placed
    greedily around them.
    """
    offsets = _offline_offsets(graph)
    fixed = {at: offsets[i] for at, i in enumerate(planned_tensors(graph)) if offsets[i] != ONLINE}
    return plan_around(buffers, fixed)


def planned_buffers(graph: Graph, ops: Sequence[OpMemory]) -> tuple[Buffer, ...]:
    """Return what TFLM hands to its planner: tensors by index, then the scratch of each op.

    Inputs exist from step 0, op *i* is step *i* + 1, a tensor lives from its producer to
    its last use and a graph output to the end. A tensor that nothing produces is planned
    from step −1, as TFLM does.
    """
    lifetimes = _lifetimes(graph)
    tensors = [Buffer(graph.tensors[i].bytes, *lifetimes[i]) for i in planned_tensors(graph)]
    scratch = [Buffer(size, step, step) for step, op in enumerate(ops, start=1) for size in op.scratch_bytes]
    return (*tensors, *scratch)


def planned_tensors(graph: Graph) -> tuple[int, ...]:
    """Return the tensors that lie in the head: not constants, not empty ones.

    Variables lie in the tail, unless they have an offline offset.
    """
    return tuple(
        index
        for index, (tensor, offset) in enumerate(zip(graph.tensors, _offline_offsets(graph), strict=True))
        if (offset != ONLINE if tensor.variable else not tensor.constant and tensor.bytes)
    )


def _offline_offsets(graph: Graph) -> tuple[int, ...]:
    return (ONLINE,) * len(graph.tensors) if graph.offline_offsets is None else graph.offline_offsets


def _lifetimes(graph: Graph) -> list[tuple[int, int]]:
    """First and last step of every tensor, marked in the order in which TFLM does.

    Source: tensorflow/lite/micro/micro_allocation_info.cc, TFLM 90b983c2b3f1.
    """
    first = [-1] * len(graph.tensors)
    last = [-1] * len(graph.tensors)

    def create(indices: Iterable[int], step: int) -> None:
        for index in indices:
            first[index] = step if first[index] == -1 else first[index]
            last[index] = step

    create(graph.inputs, 0)
    for step, op in enumerate(graph.ops, start=1):
        create(op.outputs, step)
        for index in op.inputs:
            if index >= 0:
                last[index] = step
    create(graph.outputs, len(graph.ops))
    return list(zip(first, last, strict=True))


class _TailCursor:
    """A tail that grows downward: each allocation is added, then aligned."""

    def __init__(self) -> None:
        self.offset_bytes = 0
        self.breakdown: dict[str, int] = {}

    def allocate(self, category: str, size_bytes: int, alignment: int) -> None:
        end = aligned(self.offset_bytes + size_bytes, alignment)
        self.breakdown[category] = self.breakdown.get(category, 0) + end - self.offset_bytes
        self.offset_bytes = end


def tail(graph: Graph, ops: Sequence[OpMemory], on: Target, *, recording: bool) -> Tail:
    """Return the tail of a plain or a recording interpreter, allocation by allocation.

    Order: allocators and planner, eval tensors, nodes, builtin data per op, OpData per
    op, arrays of each Prepare, scratch handles, variable tensors, inputs and outputs.
    """
    cursor = _TailCursor()
    _allocate_fixed(cursor, structs(on.abi), recording=recording)
    _allocate_model(cursor, graph, ops, structs(on.abi))
    prepared = _allocate_kernel_arrays(cursor, ops)
    handles = sum(len(op.scratch_bytes) for op in ops)
    if handles:
        sizes = structs(on.abi)
        cursor.allocate("scratch handles", handles * sizes.scratch_handle, sizes.pointer)
    for tensor, offset in zip(graph.tensors, _offline_offsets(graph), strict=True):
        if tensor.variable and offset == ONLINE:
            cursor.allocate("variables", tensor.bytes, ARENA_ALIGNMENT_BYTES)
    planning_bytes = cursor.offset_bytes
    for indices in (graph.inputs, graph.outputs):
        _allocate_ends(cursor, [graph.tensors[i] for i in indices], structs(on.abi))
    return Tail(cursor.offset_bytes, planning_bytes, prepared, cursor.breakdown)


def _allocate_fixed(cursor: _TailCursor, sizes: Structs, *, recording: bool) -> None:
    """What every model costs: the allocators, the planner and one subgraph."""
    arena_allocator, micro_allocator = (
        (sizes.recording_single_arena_allocator, sizes.recording_micro_allocator)
        if recording
        else (sizes.single_arena_allocator, sizes.micro_allocator)
    )
    for size in (
        arena_allocator,
        sizes.planner,
        micro_allocator,
        sizes.builtin_data_allocator,
        sizes.subgraph_allocations,
    ):
        cursor.allocate("fixed", size, sizes.pointer)


def _allocate_model(cursor: _TailCursor, graph: Graph, ops: Sequence[OpMemory], sizes: Structs) -> None:
    """One eval tensor per tensor, one node per op, then every op's builtin data and OpData."""
    cursor.allocate("eval tensors", len(graph.tensors) * sizes.eval_tensor, sizes.pointer)
    cursor.allocate("nodes", len(ops) * sizes.node_and_registration, sizes.pointer)
    for op in ops:
        if op.builtin_data_bytes:
            cursor.allocate("builtin data", op.builtin_data_bytes, op.builtin_data_align)
    for op in ops:
        if op.op_data_bytes:
            cursor.allocate("op data", op.op_data_bytes, ARENA_ALIGNMENT_BYTES)


def _allocate_kernel_arrays(cursor: _TailCursor, ops: Sequence[OpMemory]) -> tuple[int, ...]:
    """The arrays of each op's Prepare; returns the tail after each op."""
    prepared = []
    for op in ops:
        for size in op.kernel_arrays_bytes:
            cursor.allocate("kernel arrays", size, ARENA_ALIGNMENT_BYTES)
        prepared.append(cursor.offset_bytes)
    return tuple(prepared)


def _allocate_ends(cursor: _TailCursor, tensors: Sequence[Tensor], sizes: Structs) -> None:
    """Pointers to the inputs (or outputs), then a tensor and its quantization for each."""
    cursor.allocate("input and output tensors", len(tensors) * sizes.pointer, ARENA_ALIGNMENT_BYTES)
    for tensor in tensors:
        cursor.allocate("input and output tensors", sizes.tensor, sizes.pointer)
        if tensor.scales:
            cursor.allocate("input and output tensors", sizes.affine_quantization, sizes.pointer)
            cursor.allocate("input and output tensors", _int_array_bytes(tensor.scales), _INT32_BYTES)


def planning_bytes(graph: Graph, ops: Sequence[OpMemory], plain: Tail, on: Target) -> int:
    """Return the arena needed while the head is planned.

    The scratch requests and the planner's tables lie below the tail: 12·(nS + 12) + 4 +
    24·(T + nS), then 40 per planned buffer (32-bit Arm).
    """
    sizes = structs(on.abi)
    scratch = sum(len(op.scratch_bytes) for op in ops)
    planned = len(planned_tensors(graph)) + scratch
    requests = sizes.scratch_request * (scratch + requests_per_op())
    infos = sizes.subgraph_offset + sizes.allocation_info * (len(graph.tensors) + scratch)
    return aligned(plain.planning_bytes) + aligned(requests + infos) + sizes.planner_buffer * planned


def preparing_bytes(ops: Sequence[OpMemory], plain: Tail, on: Target) -> int:
    """Return the arena needed while ops are prepared: the largest over all ops.

    At each op: the tail after its arrays, 12·(scratch so far + 12), its temporary tensors.
    """
    request = structs(on.abi).scratch_request
    needed, scratch = 0, 0
    for op, tail_bytes in zip(ops, plain.prepared_bytes, strict=True):
        requests = request * (scratch + requests_per_op())
        needed = max(needed, tail_bytes + requests + op.temporaries_bytes)
        scratch += len(op.scratch_bytes)
    return needed


def requests_per_op() -> int:
    """Return how many scratch requests TFLM keeps room for while it prepares one op."""
    reserved: int = constants()["scratch_requests_per_op"]
    return reserved


def account(graph: Graph, on: Target) -> Arena:
    """Return the arena that TFLM needs for ``graph`` on the target ``on``.

    Raises:
        UnsupportedOpError: names all the ops of the graph that have no rule.
    """
    check_supported(graph, on)
    ops = [op_memory(graph, op, on) for op in graph.ops]
    buffers = planned_buffers(graph, ops)
    head_bytes = head_plan(graph, buffers).total_bytes
    recording = tail(graph, ops, on, recording=True)
    head_peak = _head_peak(graph, buffers)
    if on.abi == "x86-64":
        return Arena(
            target=on,
            head_bytes=head_bytes,
            recording_tail_bytes=recording.total_bytes,
            tail_bytes=None,
            arena_used_bytes=None,
            minimum_bytes=None,
            minimum_cause=None,
            resident_bytes=None,
            planning_bytes=None,
            preparing_bytes=None,
            breakdown={"head": head_bytes, **recording.breakdown},
            head_peak=head_peak,
        )
    plain = tail(graph, ops, on, recording=False)
    causes = {
        MinimumCause.RESIDENT: head_bytes + plain.total_bytes,
        MinimumCause.PLANNING: planning_bytes(graph, ops, plain, on),
        MinimumCause.PREPARING: preparing_bytes(ops, plain, on),
    }
    minimum_cause = max(causes, key=lambda cause: causes[cause])
    return Arena(
        target=on,
        head_bytes=head_bytes,
        recording_tail_bytes=recording.total_bytes,
        tail_bytes=plain.total_bytes,
        arena_used_bytes=head_bytes + plain.total_bytes,
        minimum_bytes=aligned(causes[minimum_cause], ARENA_ALIGNMENT_BYTES),
        minimum_cause=minimum_cause,
        resident_bytes=causes[MinimumCause.RESIDENT],
        planning_bytes=causes[MinimumCause.PLANNING],
        preparing_bytes=causes[MinimumCause.PREPARING],
        breakdown={"head": head_bytes, **plain.breakdown},
        head_peak=head_peak,
    )


def _head_peak(graph: Graph, buffers: Sequence[Buffer]) -> HeadPeak:
    """The step with the most live bytes, as an op and its live tensors."""
    fullest = peak(buffers)
    tensors = planned_tensors(graph)
    return HeadPeak(
        op_index=max(fullest.step - 1, -1),
        live_bytes=fullest.bytes,
        tensors=tuple(tensors[i] for i in fullest.members if i < len(tensors)),
        scratch_bytes=sum(aligned(buffers[i].bytes) for i in fullest.members if i >= len(tensors)),
    )

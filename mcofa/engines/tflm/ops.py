"""What each op of a graph adds to the arena: its persistent data, arrays and scratch buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mcofa.engines.tflm.targets import (
    INT32_BYTES,
    Extension,
    KernelSet,
    OpRule,
    Target,
    constants,
    int_array_bytes,
    op_rules,
    structs,
)
from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.memory.plan import aligned

_MVE_DEPTHWISE_CHANNEL_BLOCK = 124

_CONVOLUTIONS = frozenset({OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D})
_REDUCTIONS = frozenset({OpKind.MEAN, OpKind.SUM})
_ANY_TYPE = frozenset({OpKind.RESHAPE, OpKind.TRANSPOSE, OpKind.QUANTIZE, OpKind.DEQUANTIZE})


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
        return (INT32_BYTES * channels,) * 2
    if op.kind is OpKind.FULLY_CONNECTED:
        scales = graph.tensors[op.inputs[1]].scales
        per_channel = (INT32_BYTES * scales,) * 2 if scales > 1 else ()
        return per_channel + _kernel_sums(graph, op, on)
    if op.kind is OpKind.RESHAPE and op.output_wildcard:
        return (int_array_bytes(len(graph.tensors[op.outputs[0]].shape)),)
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
    return (INT32_BYTES * graph.tensors[op.outputs[0]].shape[-1],)


def _runs_as_convolution(graph: Graph, op: Op) -> bool:
    """CMSIS-NN runs FULLY_CONNECTED as a 1×1 convolution if output rank > 2 and depth % 4 = 0."""
    depth = graph.tensors[op.inputs[1]].shape[-1]
    return len(graph.tensors[op.outputs[0]].shape) > 2 and depth % 4 == 0


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
    return tuple(INT32_BYTES * count for count in items)


def _fully_connected_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """8·C_out if run as a 1×1 convolution with one scale; sums on MVE unless kept persistent."""
    if _runs_as_convolution(graph, op):
        channels = graph.tensors[op.outputs[0]].shape[-1]
        return (2 * INT32_BYTES * channels,) if graph.tensors[op.inputs[1]].scales <= 1 else ()
    return () if _kernel_sums(graph, op, on) else _fully_connected_sums(graph, op, on)


def _average_pool_scratch(graph: Graph, op: Op, on: Target) -> tuple[int, ...]:
    """4·C on cores with DSP, none on the others."""
    channels = graph.tensors[op.inputs[0]].shape[3]
    return (INT32_BYTES * channels,) if on.extension is Extension.DSP else ()


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
                sizes.affine_quantization + int_array_bytes(tensor.scales) if tensor.scales else 0
            )
    return total

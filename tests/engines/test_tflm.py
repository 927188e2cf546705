from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import evidence
import pytest

from export.tflite.parse import parse_tflite
from mcofa.boards import core_names
from mcofa.engines.tflm import (
    MinimumCause,
    account,
    head_plan,
    kernel_sets,
    op_memory,
    planned_buffers,
    target,
    target_names,
)
from mcofa.errors import UnknownNameError, UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.memory.plan import Buffer, Plan, lower_bound


def chain(*layers: tuple[OpKind, tuple[int, ...]], source: tuple[int, ...], scales: int = 0) -> Graph:
    """A chain of ops with weights where they belong, given each op's output shape."""
    tensors = [Tensor(source)]
    ops = []
    for kind, shape in layers:
        at = len(tensors) - 1
        channels = shape[-1]
        inputs = [at]
        if kind is OpKind.CONV_2D:
            tensors.append(Tensor((channels, 1, 1, tensors[at].shape[-1]), constant=True, scales=channels))
            tensors.append(Tensor((channels,), DType.INT32, constant=True, scales=channels))
            inputs += [at + 1, at + 2]
        tensors.append(Tensor(shape))
        ops.append(Op(kind, tuple(inputs), (len(tensors) - 1,)))
    return Graph(tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


def windowed(
    kind: OpKind, source: tuple[int, ...], kernel: tuple[int, ...], output: tuple[int, ...], **fields: object
) -> tuple[Graph, Op]:
    """A graph of one convolution without bias."""
    op = Op(kind, (0, 1), (2,), **fields)  # type: ignore[arg-type]
    tensors = (Tensor(source), Tensor(kernel, constant=True, scales=output[3]), Tensor(output))
    return Graph(tensors, (op,), (0,), (2,)), op


ROWS = evidence.measured_arenas()


@pytest.mark.parametrize("model", sorted({row.model for row in ROWS}))
def test_every_measured_row_is_predicted_to_the_byte(
    model: str, measured_model: Callable[[str], bytes]
) -> None:
    graph = parse_tflite(measured_model(model), model)
    rows = [row for row in ROWS if row.model == model]
    assert len(rows) == (12 if model.startswith("mb_") else 11)
    for row in rows:
        arena = account(graph, target(row.core, row.kernels))
        found = {
            "head_bytes": arena.head_bytes,
            "recording_tail_bytes": arena.recording_tail_bytes,
            "arena_used_bytes": arena.arena_used_bytes,
            "minimum_arena_bytes": arena.minimum_bytes,
        }
        assert {name: found[name] for name in row.figures} == row.figures, (model, row.core, row.kernels)


def test_three_measured_models_are_part_of_the_repository() -> None:
    ours = {path.stem for path in (evidence.own_data() / "tflm_arena").glob("*.tflite")}
    assert len(ours) == 3
    assert len({row.core for row in ROWS if row.model in ours}) == 8
    assert evidence.measured_models().keys() >= ours


def test_the_minimum_can_be_twice_what_tflm_reports() -> None:
    """Golden numbers of a wide 1×1 convolution: 19,252 B used, 42,032 B needed, measured in QEMU."""
    graph = chain(
        (OpKind.CONV_2D, (1, 1, 1, 2048)),
        (OpKind.CONV_2D, (1, 1, 1, 10)),
        (OpKind.SOFTMAX, (1, 1, 1, 10)),
        source=(1, 1, 1, 8),
    )
    arena = account(graph, target("cortex-m7", "reference"))
    assert (arena.arena_used_bytes, arena.minimum_bytes) == (19252, 42032)
    assert arena.minimum_cause is MinimumCause.PREPARING


def test_golden_arena_of_one_hard_swish() -> None:
    """By hand: 132 fixed + 2·12 eval tensors + 32 node + 20 op data = 208, a multiple of 16."""
    graph = chain((OpKind.HARD_SWISH, (1, 4, 4, 4)), source=(1, 4, 4, 4))
    arena = account(graph, target("cortex-m4", "cmsis-nn"))
    after_inputs = 224 + 32 + 12 + 8  # the pointer array ends at roundup16(208 + 4)
    after_outputs = 288 + 32 + 12 + 8  # roundup16(276 + 4)
    assert (after_inputs, arena.tail_bytes) == (276, after_outputs)
    assert arena.resident_bytes == 128 + 340
    assert arena.planning_bytes == 208 + 208 + 2 * 40  # roundup16(12·12 + 4 + 24·2) = 208
    assert arena.preparing_bytes == 208 + 144 + 2 * 52
    assert (arena.minimum_bytes, arena.minimum_cause) == (496, MinimumCause.PLANNING)


@pytest.mark.parametrize(
    ("core", "kernels", "fixed"),
    [("x86-64", "reference", 488), ("cortex-m0plus", "reference", 132), ("cortex-m55", "cmsis-nn", 132)],
)
def test_the_breakdown_adds_up(core: str, kernels: str, fixed: int) -> None:
    graph = chain((OpKind.CONV_2D, (1, 4, 4, 8)), (OpKind.RELU, (1, 4, 4, 8)), source=(1, 4, 4, 3))
    arena = account(graph, target(core, kernels))
    tail_bytes = arena.recording_tail_bytes if arena.tail_bytes is None else arena.tail_bytes
    assert sum(arena.breakdown.values()) == arena.head_bytes + tail_bytes
    assert arena.breakdown["head"] == arena.head_bytes
    assert arena.breakdown["fixed"] == fixed


def test_the_wheel_gives_neither_usage_nor_minimum() -> None:
    arena = account(chain((OpKind.RELU, (1, 8)), source=(1, 8)), target("x86-64", "reference"))
    assert arena.tail_bytes is arena.arena_used_bytes is arena.minimum_bytes is arena.minimum_cause is None


def test_the_head_peak_names_the_op_and_its_tensors() -> None:
    graph = chain(
        (OpKind.RELU, (1, 4, 4, 4)),
        (OpKind.CONV_2D, (1, 4, 4, 32)),
        (OpKind.RELU, (1, 4, 4, 32)),
        source=(1, 4, 4, 4),
    )
    on = target("cortex-m7", "reference")
    arena = account(graph, on)
    assert (arena.head_peak.op_index, arena.head_peak.tensors) == (2, (4, 5))
    buffers = planned_buffers(graph, [op_memory(graph, op, on) for op in graph.ops])
    assert arena.head_peak.live_bytes == lower_bound(buffers) == arena.head_bytes == 1024


C, D = OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D
# kind, input, kernel, output, fields, then scratch bytes without DSP, with DSP, with MVE.
SCRATCH = [
    (C, (1, 8, 8, 4), (8, 1, 1, 4), (1, 8, 8, 8), {}, (0, 0, 0)),
    (C, (1, 8, 8, 4), (8, 1, 1, 4), (1, 4, 4, 8), {"stride": (2, 2)}, (0, 0, 0)),
    (C, (1, 8, 8, 3), (8, 3, 3, 3), (1, 8, 8, 8), {}, (112, 112, 128)),
    (C, (1, 8, 8, 3), (8, 3, 3, 3), (1, 4, 4, 8), {"padding": "VALID", "stride": (2, 2)}, (112, 112, 128)),
    (C, (1, 8, 8, 8), (8, 1, 1, 4), (1, 8, 8, 8), {}, (32, 32, 64)),
    (D, (1, 8, 8, 16), (1, 3, 3, 16), (1, 8, 8, 16), {}, (0, 0, 4464)),
    (D, (1, 8, 8, 16), (1, 5, 5, 16), (1, 8, 8, 16), {}, (0, 800, 12400)),
    (D, (1, 8, 8, 16), (1, 5, 5, 16), (1, 4, 4, 16), {"padding": "VALID"}, (0, 800, 12400)),
    (D, (1, 8, 8, 4), (1, 3, 3, 8), (1, 8, 8, 8), {}, (0, 0, 0)),
    (D, (1, 8, 8, 16), (1, 3, 3, 16), (1, 8, 8, 16), {"dilation": (2, 2)}, (0, 0, 0)),
    (D, (1, 8, 8, 1), (1, 3, 3, 8), (1, 8, 8, 8), {}, (0, 0, 64 + 72)),
]


@pytest.mark.parametrize(("kind", "source", "kernel", "output", "fields", "expected"), SCRATCH)
def test_scratch_of_cmsis_nn_convolutions(
    kind: OpKind,
    source: tuple[int, ...],
    kernel: tuple[int, ...],
    output: tuple[int, ...],
    fields: dict[str, object],
    expected: tuple[int, int, int],
) -> None:
    graph, op = windowed(kind, source, kernel, output, **fields)
    for core, size in zip(("cortex-m3", "cortex-m33", "cortex-m55"), expected, strict=True):
        assert op_memory(graph, op, target(core, "cmsis-nn")).scratch_bytes == ((size,) if size else ())
        assert op_memory(graph, op, target(core, "reference")).scratch_bytes == ()


def test_scratch_of_1_x_n_convolutions_on_mve() -> None:
    """By hand from CMSIS-NN: 4 channels, width 5, padding 2 on both sides."""
    graph, op = windowed(C, (1, 1, 16, 4), (8, 1, 5, 4), (1, 1, 16, 8))
    assert op_memory(graph, op, target("cortex-m55", "cmsis-nn")).scratch_bytes == ((5 + 2) * 4,)
    assert op_memory(graph, op, target("cortex-m4", "cmsis-nn")).scratch_bytes == (80,)


@pytest.mark.parametrize(
    ("output", "depth", "scales", "core", "kernels", "scratch", "arrays"),
    [
        ((1, 10), 64, 1, "cortex-m4", "cmsis-nn", (), ()),
        ((1, 10), 64, 10, "cortex-m4", "cmsis-nn", (), (40, 40)),
        ((1, 10), 64, 1, "cortex-m55", "cmsis-nn", (40,), ()),
        ((1, 10), 64, 1, "cortex-m55", "cmsis-nn-speed", (), (40,)),
        ((1, 10), 64, 10, "cortex-m55", "cmsis-nn-speed", (), (40, 40, 40)),
        ((1, 1, 10), 64, 1, "cortex-m55", "cmsis-nn", (80,), ()),
        ((1, 1, 10), 64, 10, "cortex-m0plus", "cmsis-nn", (), (40, 40)),
        ((1, 1, 10), 63, 1, "cortex-m55", "cmsis-nn-speed", (), (40,)),
        ((1, 10), 64, 1, "cortex-m55", "reference", (), ()),
    ],
)
def test_fully_connected(
    output: tuple[int, ...],
    depth: int,
    scales: int,
    core: str,
    kernels: str,
    scratch: tuple[int, ...],
    arrays: tuple[int, ...],
) -> None:
    tensors = (Tensor((1, depth)), Tensor((10, depth), constant=True, scales=scales), Tensor(output))
    op = Op(OpKind.FULLY_CONNECTED, (0, 1, -1), (2,))
    memory = op_memory(Graph(tensors, (op,), (0,), (2,)), op, target(core, kernels))
    assert (memory.scratch_bytes, memory.kernel_arrays_bytes) == (scratch, arrays)


def test_untouched_tensors_are_planned_and_variables_are_not() -> None:
    tensors = (
        Tensor((1, 8)),
        Tensor((1, 8)),
        Tensor((1, 5000)),
        Tensor((1, 100), variable=True),
        Tensor((0,)),
    )
    graph = Graph(tensors, (Op(OpKind.RELU, (0,), (1,)),), (0,), (1,))
    arena = account(graph, target("cortex-m4", "reference"))
    assert arena.head_bytes == 5008
    assert arena.breakdown["variables"] == 112


@pytest.mark.parametrize(
    ("offsets", "head", "tail_less"),
    [
        (None, 224, 0),
        ((-1, -1, -1), 224, 0),
        ((0, 112, -1), 224, 0),
        ((112, 0, -1), 224, 0),
        ((512, -1, -1), 512 + 112, 0),
        ((3, 5, -1), 5 + 112, 0),  # neither overlaps nor alignment are looked at
        ((-1, -1, 64), 128 + 224, 64),  # a planned variable lies in the head, from step −1
        ((0, 112, 208), 208 + 64, 64),
    ],
)
def test_offline_offsets_by_hand(offsets: tuple[int, ...] | None, head: int, tail_less: int) -> None:
    tensors = (Tensor((1, 100)), Tensor((1, 100)), Tensor((1, 64), variable=True))
    op = Op(OpKind.RELU, (0, 2), (1,))
    plain = Graph(tensors, (op,), (0,), (1,))
    on = target("cortex-m7", "reference")
    before, after = account(plain, on), account(replace(plain, offline_offsets=offsets), on)
    assert after.head_bytes == head
    assert before.tail_bytes is not None
    assert after.tail_bytes == before.tail_bytes - tail_less


def test_scratch_goes_around_an_offline_plan() -> None:
    """MEAN on 6×6×4 → 4: scratch of 16, 16 and 16 bytes; 144 bytes in, 16 out."""
    tensors = (Tensor((1, 6, 6, 4)), Tensor((2,), DType.INT32, constant=True), Tensor((1, 4)))
    graph = Graph(tensors, (Op(OpKind.MEAN, (0, 1), (2,)),), (0,), (2,), (0, -1, 160))
    on = target("cortex-m7", "reference")
    buffers = planned_buffers(graph, [op_memory(graph, op, on) for op in graph.ops])
    plan = head_plan(graph, buffers)
    assert plan == Plan((0, 160, 192, 176, 144), 208)
    assert account(graph, on).head_bytes == 208


def test_a_tensor_that_is_written_again_lives_from_its_first_producer() -> None:
    tensors = tuple(Tensor((1, size)) for size in (96, 160, 16))
    ops = (Op(OpKind.RELU, (0,), (1,)), Op(OpKind.RELU, (1,), (2,)), Op(OpKind.RELU, (2,), (0,)))
    assert planned_buffers(Graph(tensors, ops, (0,), (1,)), []) == (
        Buffer(96, 0, 3),
        Buffer(160, 1, 3),
        Buffer(16, 2, 3),
    )
    assert planned_buffers(Graph((*tensors, tensors[0]), ops, (0,), (3,)), [])[3] == Buffer(96, 3, 3)


def test_all_unsupported_ops_are_named_at_once() -> None:
    unsigned = Tensor((1, 8), DType.UINT8)
    graph = Graph(
        (unsigned, unsigned, Tensor((1, 8), DType.BOOL)),
        (Op(OpKind.RELU, (0,), (1,)), Op(OpKind.SOFTMAX, (2,), (2,))),
        (0,),
        (1,),
    )
    with pytest.raises(UnsupportedOpError, match=r"RELU \(uint8\), SOFTMAX \(bool\)"):
        account(graph, target("cortex-m4", "reference"))


def test_a_stride_that_tflm_leaves_unset_is_refused() -> None:
    graph, _ = windowed(D, (1, 1, 16, 1), (1, 1, 5, 8), (1, 1, 16, 8))
    with pytest.raises(UnsupportedOpError, match="DEPTHWISE_CONV_2D"):
        account(graph, target("cortex-m55", "cmsis-nn"))
    account(graph, target("cortex-m55", "reference"))


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean cortex-m4"):
        target("cortex-m44", "reference")
    with pytest.raises(UnknownNameError, match="kernel set on x86-64"):
        target("x86-64", "cmsis-nn")
    assert kernel_sets("x86-64") == ("reference",)
    assert target_names() == ("x86-64", *core_names())

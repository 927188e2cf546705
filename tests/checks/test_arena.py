from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from functools import partial

import evidence
import numpy as np
import pytest
from tiny_models import (
    Added,
    ModelBuilder,
    lstm,
    matmul,
    one_op,
    ops_side_by_side,
    schema,
    simple,
    small_network,
    svdf,
    transpose_conv,
)

from export.runtimes.tflm import MeasuredArena, invoke, measure, measure_many
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.errors import FileFormatError
from mcofa.graph import OpKind
from mcofa.ops import OPERATORS


def predicted(data: bytes) -> MeasuredArena:
    arena = account(parse_tflite(data, "tiny"), target("x86-64", "reference"))
    tail_bytes = arena.recording_tail_bytes
    return MeasuredArena(arena.head_bytes, tail_bytes, arena.head_bytes + tail_bytes)


def test_a_network_is_measured_as_predicted() -> None:
    assert measure(small_network()) == predicted(small_network()) == MeasuredArena(768, 1952, 2720)


def test_many_models_are_measured_as_each_alone() -> None:
    models = [small_network(), one_op("MEAN"), small_network()]
    assert measure_many(models) == [measure(model) for model in models]
    with pytest.raises(FileFormatError, match="the models: TFLM"):
        measure_many([*models, small_network()[:200], small_network()])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*map(str, OpKind), "RESHAPE_WILDCARD"])
def test_every_op_is_measured_as_predicted(kind: str) -> None:
    assert measure(one_op(kind)) == predicted(one_op(kind))


def test_every_op_after_every_other_is_measured_as_predicted() -> None:
    """What an op keeps starts at its own alignment, wherever the ops before it end.

    Of ops whose structs have the same sizes, one comes first.
    """
    rng = random.Random(0)
    sizes = {(record.tflm.builtin_data, record.tflm.op_data): str(kind) for kind, record in OPERATORS.items()}
    rows = [list(pair) for pair in itertools.product(sizes.values(), map(str, OPERATORS))]
    rows += [rng.choices([*map(str, OPERATORS), "RESHAPE_WILDCARD"], k=rng.randint(3, 6)) for _ in range(200)]
    models = [ops_side_by_side(row) for row in rows]
    found = zip(rows, measure_many(models), map(predicted, models), strict=True)
    assert [row for row, measured, expected in found if measured != expected] == []


def test_odd_tensors_are_measured_as_predicted() -> None:
    m = ModelBuilder()
    x, y, z = (m.tensor((1, 3, 3, 5)) for _ in range(3))
    m.tensor((1, 1000))
    m.tensor((1, 100), variable=True)
    m.tensor((1, 7), variable=True)
    m.op("ADD", [x, y], [z], table="AddOptions")
    data = m.build([x, y, x], [z, x])
    assert measure(data) == predicted(data)


@pytest.mark.parametrize(
    ("x", "y", "z", "variable"),
    [
        (-1, -1, -1, -1),
        (0, 160, 0, -1),
        (0, 16, 200, -1),
        (3, 5, 7, -1),
        (-1, 400, -1, -1),
        (0, 112, 224, 512),
        (-1, -1, -1, 0),
        (1000, -1, -1, 0),
    ],
)
def test_offline_plans_are_measured_as_predicted(x: int, y: int, z: int, variable: int) -> None:
    """Good plans, overlapping ones, unaligned ones, partial ones, and planned variables."""
    m = ModelBuilder()
    a, b, c = (m.tensor((1, 100)) for _ in range(3))
    state, unplanned = m.tensor((1, 50), variable=True), m.tensor((1, 40), variable=True)
    m.op("ADD", [a, state], [b], table="AddOptions")
    m.op("RELU", [b], [c])
    data = _with_offsets(m, [x, y, z, variable, -1]).build([a, unplanned], [c])
    assert measure(data) == predicted(data)


@pytest.mark.parametrize("source", [0, 16])
def test_scratch_around_an_offline_plan_is_measured_as_predicted(source: int) -> None:
    m = ModelBuilder()
    x, axes, y = m.tensor((1, 6, 6, 4)), m.tensor((2,), "int32", [1, 2], 0), m.tensor((1, 4))
    m.op("MEAN", [x, axes], [y], table="ReducerOptions", keepDims=False)
    data = _with_offsets(m, [source, -1, source + 160]).build([x], [y])
    assert measure(data) == predicted(data)


def _with_offsets(m: ModelBuilder, offsets: list[int]) -> ModelBuilder:
    buffer = schema.BufferT()
    buffer.data = np.array([1, 0, len(offsets), *offsets], "<i4").view(np.uint8)
    m.note("OfflineMemoryAllocation")
    m.metadata[-1].buffer = len(m.buffers)
    m.buffers.append(buffer)
    return m


def test_tensors_written_again_are_measured_as_predicted() -> None:
    m = ModelBuilder()
    x, y, z, w = (m.tensor((1, size)) for size in (96, 160, 96, 160))
    never_written = m.tensor((1, 480))
    for source, result in ((x, z), (y, w), (z, x), (x, z)):
        m.op("RELU", [source], [result])
    data = m.build([x], [z, w, never_written])
    assert measure(data) == predicted(data)


def random_network(seed: int) -> bytes:
    """A random chain of convolutions, activations, pools and residual sums."""
    rng = random.Random(seed)
    m = ModelBuilder()
    shape = (1, rng.choice((5, 8, 12)), rng.choice((5, 8)), rng.choice((1, 3, 8)))
    x = first = m.tensor(shape)
    for _ in range(rng.randint(2, 9)):
        kind = rng.choice(("conv", "conv", "depthwise", "HARD_SWISH", "RELU", "ADD", "AVERAGE_POOL_2D"))
        if kind == "conv":
            channels, kernel = rng.choice((4, 9, 24)), rng.choice((1, 3))
            shape = (*shape[:3], channels)
            weights = m.weights((channels, kernel, kernel, m.tensors[x].shape[3]), channels)
            y = m.tensor(shape)
            m.conv(x, weights, rng.choice((-1, m.weights((channels,), channels, 0, "int32"))), y)
        elif kind == "depthwise":
            y = m.tensor(shape)
            m.op(
                "DEPTHWISE_CONV_2D", [x, m.weights((1, 5, 5, shape[3]), shape[3], 3)], [y],
                table="DepthwiseConv2DOptions", strideH=1, strideW=1, padding=0, depthMultiplier=1,
                dilationHFactor=1, dilationWFactor=1,
            )  # fmt: skip
        elif kind == "ADD":
            other = rng.choice([i for i in range(len(m.tensors)) if tuple(m.tensors[i].shape) == shape])
            y = m.tensor(shape)
            m.op("ADD", [x, other], [y], table="AddOptions")
        elif kind == "AVERAGE_POOL_2D" and min(shape[1:3]) > 2:
            shape = (1, -(-shape[1] // 2), -(-shape[2] // 2), shape[3])
            y = m.tensor(shape)
            m.op(kind, [x], [y], table="Pool2DOptions", strideH=2, strideW=2, filterHeight=2, filterWidth=2)
        else:
            y = m.tensor(shape)
            m.op("HARD_SWISH" if kind == "AVERAGE_POOL_2D" else kind, [x], [y])
        x = y
    y = m.tensor((1, shape[3]))
    m.op(
        "MEAN", [x, m.tensor((2,), "int32", [1, 2], 0)], [y], table="ReducerOptions", keepDims=False
    )  # fmt: skip
    return m.build([first], [y])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_measured_as_predicted(seed: int) -> None:
    data = random_network(seed)
    assert measure(data) == predicted(data)


ON_HOST = [row for row in evidence.measured_arenas() if row.core == "x86-64"]


@pytest.mark.parametrize("row", ON_HOST, ids=lambda row: row.model)
def test_models_measure_as_recorded(
    row: evidence.MeasuredArena, measured_model: Callable[[str], bytes]
) -> None:
    arena = measure(measured_model(row.model), row.model)
    assert row.figures == {
        "head_bytes": arena.head_bytes,
        "recording_tail_bytes": arena.recording_tail_bytes,
    }


def test_tflm_computes_as_by_hand() -> None:
    """RELU with equal scales is max(x, zero point); the zero point is 0."""
    images = np.random.default_rng(0).integers(-128, 128, (3, 6, 6, 4), dtype=np.int8)
    outputs = invoke(one_op("RELU"), images)
    assert outputs.dtype == np.int8
    np.testing.assert_array_equal(outputs, np.maximum(images, 0).reshape(3, 144))


@pytest.mark.parametrize("data", [b"", b"not a model at all, but long enough", small_network()[:200]])
def test_a_file_that_tflm_cannot_read_is_an_error(data: bytes) -> None:
    with pytest.raises(FileFormatError, match=r"broken\.tflite: TFLM"):
        measure(data, "broken.tflite")


def test_a_model_that_crashes_tflm_is_an_error() -> None:
    m = ModelBuilder()
    x, y = m.tensor((1, 4)), m.tensor((1, 4))
    m.op("RELU", [x], [1 << 30])
    with pytest.raises(FileFormatError, match="SIGSEGV"):
        measure(m.build([x], [y]))


def test_images_of_the_wrong_shape_or_type() -> None:
    with pytest.raises(FileFormatError, match="Dimension mismatch"):
        invoke(one_op("RELU"), np.zeros((2, 6, 6, 5), np.int8))
    with pytest.raises(ValueError, match="float32"):
        invoke(one_op("RELU"), np.zeros((2, 6, 6, 4), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 images"):
        invoke(one_op("RELU"), np.zeros((0, 6, 6, 4), np.int8))


def test_an_inference_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(FileFormatError, match=r"within 0\.01 s"):
        invoke(one_op("RELU"), np.zeros((2, 6, 6, 4), np.int8), timeout_seconds=0.01)


def test_the_log_of_tflm_stays_out_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    measure(small_network())
    assert capfd.readouterr() == ("", "")


CASTS = [("int8", "float32"), ("float32", "int32"), ("bool", "int16")]


@pytest.mark.parametrize(
    "add",
    [
        simple("LOG_SOFTMAX", (1, 9), output=(1, 9), dtype="float32"),
        simple("ADD_N", *[(2, 9)] * 3, output=(2, 9), dtype="float32"),
        simple("CUMSUM", output=(1, 6, 6, 4), constants=(1,), dtype="float32", table="CumsumOptions"),
        simple("BATCH_MATMUL", (3, 5), (5, 4), output=(3, 4), dtype="float32", table="BatchMatMulOptions"),
        *(partial(transpose_conv, bias=bias, stride=stride) for bias in (False, True) for stride in (1, 3)),
        partial(transpose_conv, depth=20),
        *(partial(matmul, adj_x=x, adj_y=y) for x in (False, True) for y in (False, True)),
        partial(matmul, constant=True),
        *(partial(lstm, batch=b, dtype=of) for b in (1, 3) for of in ("int8", "int16", "float32")),
        partial(lstm, scales=5),
        partial(lstm, steps=1, units=33),
        *(partial(svdf, batch=b, state=of) for b in (1, 3) for of in ("int8", "int16")),
        partial(svdf, rank=3, dtype="float32"),
        simple("CONCATENATION", *[(1, 3)] * 10, output=(1, 30), table="ConcatenationOptions", axis=1),
        simple("UNPACK", (4, 2, 3), output=(4, 3), outputs=2, table="UnpackOptions", num=2, axis=1),
        simple("GATHER", (7, 2), output=(3, 2), constants=([6, 1, 2],), table="GatherOptions"),
        *(simple("CAST", dtype=of, output_type=to, table="CastOptions") for of, to in CASTS),
    ],
)
def test_variants_of_ops_are_measured_as_predicted(add: Callable[[ModelBuilder], Added]) -> None:
    m = ModelBuilder()
    inputs, made = add(m)
    data = m.build(inputs, [made] if isinstance(made, int) else made)
    assert measure(data) == predicted(data)

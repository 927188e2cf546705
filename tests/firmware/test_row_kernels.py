"""Kernels row by row, from rings that hold no more than a window needs, against whole tensors and LiteRT."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from emulated_c import run_emulated
from native_kernels import NativeKernels
from random_ops import Rng, _Model

from export.aot.lowering import Call, lower_op
from export.aot.network import read_network
from export.aot.render import generate
from export.aot.shapes import reduced
from mcofa.engines.aot import flow
from mcofa.engines.aot.kernels import kernel
from mcofa.engines.tflm import target
from mcofa.graph import OpKind
from mcofa.ops import OPERATORS

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
ON = target("cortex-m3", "reference")
WINDOWED = (
    *("nn_conv_2d", "nn_conv_2d_any", "nn_depthwise", "nn_depthwise_any"),
    *("nn_average_pool", "nn_max_pool"),
)
GLOBAL = ("nn_reduce", "nn_reduce_max")
SURROUNDING_BYTES = 64
COLUMNS = 8
Bytes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Window:
    """A window along the height: its own, that of the image, and how it moves."""

    taps: int
    height: int
    stride: int
    dilation: int
    valid: bool

    @property
    def reach(self) -> int:
        return (self.taps - 1) * self.dilation + 1

    def rows(self, length: int, reach: int) -> int:
        return -(-(length - reach + 1) // self.stride) if self.valid else -(-length // self.stride)


def windows(*, dilated: bool) -> Iterator[Window]:
    """Every height from 1 to 7 with every stride, on images that are higher and lower than the window."""
    for taps in range(1, 8):
        for stride in (1, 2, 3):
            for dilation in (1, 2, 3) if dilated and stride == 1 else (1,):
                reach = (taps - 1) * dilation + 1
                for height in {reach, reach + 1, 2 * reach + 3}:
                    yield Window(taps, height, stride, dilation, valid=True)
                for height in {1, max(1, reach // 2), max(1, reach - 1), 2 * reach + 3}:
                    yield Window(taps, height, stride, dilation, valid=False)


def model(rng: Rng, name: str, window: Window, channels: int = 0) -> bytes:
    """A model of one op whose outputs are spread over all of int8, so that each input value matters."""
    m = _Model()
    taps, columns = window.taps, 3
    dilation = window.dilation if name.endswith("any") else 1
    width_reach = (columns - 1) * dilation + 1
    sizes = window.rows(window.height, window.reach), window.rows(COLUMNS, width_reach)
    channels = channels or int(rng.integers(1, 4)) * 2 + (
        0 if name == "nn_conv_2d_any" else int(rng.integers(2))
    )
    strides = {"strideH": window.stride, "strideW": window.stride, "padding": int(window.valid)}
    x = m.scale(m.tensor((1, window.height, COLUMNS, channels)), 0.05, int(rng.integers(-20, 20)))
    if name.endswith("pool"):
        kind = "AVERAGE_POOL_2D" if name == "nn_average_pool" else "MAX_POOL_2D"
        y = m.tensor((1, *sizes, channels))
        m.tensors[y].quantization = m.tensors[x].quantization
        m.op(kind, [x], [y], table="Pool2DOptions", filterHeight=taps, filterWidth=columns, **strides)
        return m.build([x], [y])
    depthwise = name.startswith("nn_depthwise")
    outputs = (
        channels * (2 if name == "nn_depthwise_any" else 1) if depthwise else int(rng.integers(2, 5)) * 2
    )
    groups = 2 if name == "nn_conv_2d_any" else 1
    shape = (1, taps, columns, outputs) if depthwise else (outputs, taps, columns, channels // groups)
    depth = taps * columns * (1 if depthwise else channels // groups)
    y = m.scale(m.tensor((1, *sizes, outputs)), 0.05 * 0.01 * 100 * depth**0.5, int(rng.integers(-20, 20)))
    values = rng.integers(-127, 128, shape, np.int8)
    axis = 3 if depthwise else 0
    weights = m.scale(m.tensor(shape, "int8", values, outputs, axis), rng.uniform(0.008, 0.012, outputs))
    more = {"depthMultiplier": outputs // channels} if depthwise else {}
    m.op(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, weights, m.bias(rng, outputs)], [y],
        table="DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        dilationHFactor=dilation, dilationWFactor=dilation, **strides, **more,
    )  # fmt: skip
    return m.build([x], [y])


def lowered(data: bytes) -> Call:
    network = read_network(data, "model")
    return lower_op(network, 0, kernel(network.graph, network.graph.ops[0], ON), ON)


def in_litert(data: bytes, image: Bytes) -> Bytes:
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found: Bytes = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


def noise(rng: Rng, *shape: int) -> Bytes:
    return rng.integers(-128, 128, shape, np.int8)


def seen_rows(fields: Any, window: Window, row: int) -> list[int]:
    """The input rows that a window reads, worked out tap by tap."""
    first = row * window.stride - fields["pad_above"]
    taps = range(first, first + window.reach, window.dilation)
    return [tap for tap in taps if 0 <= tap < window.height]


def scratch_of(call: Call, rng: Rng) -> list[Bytes]:
    """What a kernel takes besides input and output: room for one window."""
    return [noise(rng, 7 * 3 * 8)] if call.kernel == "nn_conv_2d" else []


class Rows:
    """An op run row by row, where every row of its ring that is not needed any more holds noise."""

    def __init__(self, kernels: NativeKernels, call: Call, window: Window, rng: Rng) -> None:
        self.kernels, self.call, self.rng = kernels, call, rng
        seen = [seen_rows(call.fields, window, row) for row in range(call.fields["output_height"])]
        self.oldest = [min((r for later in seen[row:] for r in later), default=0) for row in range(len(seen))]
        self.made = [
            max((r + 1 for sooner in seen[: row + 1] for r in sooner), default=0) for row in range(len(seen))
        ]
        self.needed = max(1, *(made - oldest for made, oldest in zip(self.made, self.oldest, strict=True)))

    def run(self, image: Bytes, ring_rows: int, shape: tuple[int, ...]) -> Bytes:
        """Return the output from a ring of ``ring_rows`` rows."""
        source = image[0].reshape(image.shape[1], -1)
        row_bytes = source.shape[1]
        memory = noise(self.rng, ring_rows * row_bytes + 2 * SURROUNDING_BYTES)
        ring = memory[SURROUNDING_BYTES:-SURROUNDING_BYTES].reshape(ring_rows, row_bytes)
        output, written = noise(self.rng, *shape), 0
        for row, (oldest, made) in enumerate(zip(self.oldest, self.made, strict=True)):
            for r in range(written, made):
                ring[r % ring_rows] = source[r]
            written = made
            for place in set(range(ring_rows)) - {r % ring_rows for r in range(oldest, made)}:
                ring[place] = noise(self.rng, row_bytes)
            arguments = [row, ring, ring_rows, output[0, row], *scratch_of(self.call, self.rng)]
            self.kernels.call(f"{self.call.kernel}_row", self.call.struct, self.call.fields, *arguments)
        return output


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> NativeKernels:
    return NativeKernels((*WINDOWED, *GLOBAL, "nn_depthwise_over_input"), tmp_path_factory.mktemp("kernels"))


@needs_gcc
@pytest.mark.parametrize("name", WINDOWED)
def test_rows_from_a_ring_equal_the_whole_tensor_and_litert(name: str, kernels: NativeKernels) -> None:
    rng, run, differed = np.random.default_rng(21), 0, 0
    for window in windows(dilated=name.endswith("any")):
        data = model(rng, name, window)
        call = lowered(data)
        if call.kernel != name:  # a window of one row may have a kernel of its own
            continue
        channels = call.fields.get("input_channels") or call.fields["channels"]
        images = [noise(rng, 1, window.height, COLUMNS, channels) for _ in range(8)]
        expected = [in_litert(data, image) for image in images]
        whole = noise(rng, *expected[0].shape)
        kernels.call(name, call.struct, call.fields, images[0], whole, *scratch_of(call, rng))
        np.testing.assert_array_equal(whole, expected[0], f"{window}: the whole tensor")
        rows = Rows(kernels, call, window, rng)
        for ring_rows in range(rows.needed, max(rows.needed, window.height) + 1):
            found = rows.run(images[0], ring_rows, whole.shape)
            np.testing.assert_array_equal(found, expected[0], f"{window}: a ring of {ring_rows} rows")
        assert rows.needed <= min(window.reach, window.height), f"{window}: what a plan reserves"
        if rows.needed > 1:
            fewer = [rows.run(image, rows.needed - 1, whole.shape) for image in images]
            assert np.not_equal(fewer, expected).any(), f"{window}: one row less"
            differed += 1
        run += 1
    assert run > 80
    assert differed > 60


@needs_gcc
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 11])
def test_a_depthwise_convolution_over_its_input_equals_litert(channels: int, kernels: NativeKernels) -> None:
    """It leaves what lies around its input and its scratch alone, and uses the scratch to its last byte."""
    rng, run = np.random.default_rng(channels), 0
    for window in windows(dilated=False):
        if window.stride > 1 or window.valid or window.taps == 1:
            continue
        data = model(rng, "nn_depthwise", window, channels)
        network, call = read_network(data, "model"), lowered(data)
        graph = network.graph
        over_input = OPERATORS[graph.ops[0].kind].aot.over_input
        scratch_bytes = over_input.scratch_bytes(graph, graph.ops[0])
        image = noise(rng, 1, window.height, COLUMNS, channels)
        left = []
        for filling in (0x55, -0x56):
            memory = np.full(image.size + scratch_bytes + 3 * SURROUNDING_BYTES, filling, np.int8)
            placed = memory[SURROUNDING_BYTES:][: image.size]
            scratch = memory[2 * SURROUNDING_BYTES + image.size :][:scratch_bytes]
            placed[:] = image.reshape(-1)
            kernels.call(over_input.kernel.name, call.struct, call.fields, placed, placed, scratch)
            np.testing.assert_array_equal(placed.reshape(image.shape), in_litert(data, image), str(window))
            left.append(scratch.copy())
            placed[:] = scratch[:] = filling
            assert (memory == filling).all(), window
        if channels % 4 == 0:
            assert left[0][-1] == left[1][-1], f"{window}: its last byte is not written"
        run += 1
    assert run > 15


def reduction(rng: Rng, kind: str, shape: tuple[int, ...], axes: list[int]) -> bytes:
    m = _Model()
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    x, y = m.activation(rng, shape), m.activation(rng, tuple(kept))
    if kind != "MEAN":
        m.tensors[y].quantization = m.tensors[x].quantization
    m.op(kind, [x, m.indices(axes)], [y], table="ReducerOptions", keepDims=True)
    return m.build([x], [y])


@needs_gcc
@pytest.mark.parametrize("axes", [[1, 2], [1], [1, 2, 3], [1, 3]], ids=str)
@pytest.mark.parametrize("kind", ["MEAN", "REDUCE_MAX"])
def test_a_reduction_takes_rows_in_any_order(kind: str, axes: list[int], kernels: NativeKernels) -> None:
    rng = np.random.default_rng(22)
    for height, width, channels in [(1, 1, 1), (5, 1, 3), (1, 6, 4), (7, 7, 9), (48, 48, 3)]:
        data = reduction(rng, kind, (1, height, width, channels), axes)
        call, image = lowered(data), noise(rng, 1, height, width, channels)
        expected = in_litert(data, image)
        of_a_row = dict(
            zip(
                ("kept", "kept_stride", "reduced", "reduced_stride"),
                reduced((1, 1, width, channels), axes),
                strict=True,
            )
        )
        fields, output = {**call.fields, **of_a_row}, np.full(expected.shape, -128, np.int8)
        sums = np.zeros(expected.size, np.int32)
        for row in rng.permutation(height):
            target_of_row = output if kind == "REDUCE_MAX" else sums
            kernels.call(f"{call.kernel}_add", call.struct, fields, image[0, row], target_of_row)
        if kind == "MEAN":
            kernels.call(f"{call.kernel}_finish", call.struct, fields, sums, output)
        np.testing.assert_array_equal(output, expected, f"{height} x {width} x {channels}")


@needs_gcc
def test_an_average_over_all_rows_takes_them_in_any_order(kernels: NativeKernels) -> None:
    rng = np.random.default_rng(23)
    for height, width, columns, valid in [
        (1, 1, 1, True),
        (7, 7, 7, True),
        (6, 9, 3, True),
        (5, 8, 3, False),
    ]:
        m = _Model()
        sizes = (1, 1, -(-(width - columns + 1) // 2) if valid else -(-width // 2), 5)
        x, y = m.activation(rng, (1, height, width, 5)), m.tensor(sizes)
        m.tensors[y].quantization = m.tensors[x].quantization
        taps = height if valid else 2 * height - 1
        m.op(
            "AVERAGE_POOL_2D", [x], [y], table="Pool2DOptions", filterHeight=taps, filterWidth=columns,
            strideH=height, strideW=2, padding=int(valid),
        )  # fmt: skip
        data = m.build([x], [y])
        call, image = lowered(data), noise(rng, 1, height, width, 5)
        expected = in_litert(data, image)
        output, sums = noise(rng, *expected.shape), np.zeros(expected.size, np.int32)
        for row in rng.permutation(height):
            kernels.call("nn_average_pool_add", call.struct, call.fields, image[0, row], sums)
        kernels.call("nn_average_pool_finish", call.struct, call.fields, sums, output)
        np.testing.assert_array_equal(output, expected, f"{height} x {width}")


# As in Rows, on the device, from a ring of as many rows as the window has, less those MISSING.
RUNNER = """
#include <string.h>
static int8_t ring[2048], window_scratch[256];
void run_on(uint8_t* arena);
void run_on(uint8_t* arena) {
  const int8_t* image = (const int8_t*)arena + NETWORK_INPUT_OFFSET;
  int8_t* output = (int8_t*)arena + NETWORK_OUTPUT_OFFSET;
  const int32_t row_bytes = NETWORK_INPUT_BYTES / op_0.input_height;
  const int32_t taps = op_0.filter_height, height = op_0.input_height;
  const int32_t rows = (taps < height ? taps : height) - (MISSING);
  int32_t made = 0;
  for (int32_t row = 0; row < op_0.output_height; ++row) {
    const int32_t first = row * op_0.stride_height - op_0.pad_above;
    for (; made < height && made < first + taps; ++made) {
      memcpy(ring + made % rows * row_bytes, image + made * row_bytes, (size_t)row_bytes);
    }
    for (int32_t place = 0; place < rows; ++place) {
      int alive = 0;
      for (int32_t r = first < 0 ? 0 : first; r < made; ++r) alive |= r % rows == place;
      if (!alive) memset(ring + place * row_bytes, 0x5A, (size_t)row_bytes);
    }
    int8_t* to = output + NETWORK_OUTPUT_BYTES / op_0.output_height * row;
    CALL;
  }
  (void)window_scratch;
}
"""
CALLS = {
    "nn_conv_2d": "nn_conv_2d_row(&op_0, row, ring, rows, to, window_scratch)",
    "nn_depthwise": "nn_depthwise_row(&op_0, row, ring, rows, to)",
}


@pytest.mark.emulator
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an500", "mps3-an547"])
def test_rows_on_a_core_need_as_many_as_the_window_has(
    board: str, name: str, missing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "over_input_bytes", lambda graph, op: None)
    rng, every = np.random.default_rng(24), {}
    channels = itertools.cycle((1, 6, 16, 19, 33) if name == "nn_depthwise" else (3, 8))
    for taps, stride, valid, _ in itertools.product((2, 3, 5, 7), (1, 2, 3), (False, True), range(2)):
        window, depth = Window(taps, 2 * taps + 5, stride, 1, valid), next(channels)
        every[f"{window} {depth}"] = model(rng, name, window, depth)
    runner = RUNNER.replace("MISSING", str(missing)).replace("CALL", CALLS[name])
    found = run_emulated(every, tmp_path, board_name=board, runner=runner)
    expected = "differs" if missing else "same"
    assert {name: found.get(name, "not run") for name in every} == dict.fromkeys(every, expected)


@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an500", "mps3-an547"])
def test_a_core_writes_over_the_input(board: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(25)
    every = {
        f"{window} {channels}": model(rng, "nn_depthwise", window, channels)
        for window in windows(dilated=False)
        for channels in (16, 19)
        if window.stride == 1 and not window.valid and window.height > window.taps > 1
    }
    over_input = OPERATORS[OpKind.DEPTHWISE_CONV_2D].aot.over_input.kernel.name
    assert all(over_input in generate(data, "model", ON).kernels for data in every.values())
    found = run_emulated(every, tmp_path, board_name=board)
    assert {name: found.get(name, "not run") for name in every} == dict.fromkeys(every, "same")

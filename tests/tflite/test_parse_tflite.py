from __future__ import annotations

import random
import time

import evidence
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ModelBuilder, one_op, schema, small_network

from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.errors import FileFormatError, McofaError, UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor


def test_a_network_is_read_whole() -> None:
    graph = parse_tflite(small_network(), "net.tflite")
    assert [op.kind for op in graph.ops] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "HARD_SWISH",
        "MEAN",
        "FULLY_CONNECTED",
    ]
    assert graph.inputs == (0,)
    assert graph.tensors[graph.outputs[0]] == Tensor((1, 5))
    assert graph.ops[0].inputs == (0, 6, 7)
    assert graph.tensors[6] == Tensor((6, 3, 3, 1), constant=True, scales=6)
    assert graph.tensors[7] == Tensor((6,), DType.INT32, constant=True, scales=6)
    assert graph.ops[4].inputs[2] == -1


def test_options_are_read() -> None:
    m = ModelBuilder()
    x, y, z = m.tensor((1, 9, 8, 2)), m.tensor((1, 4, 6, 2)), m.tensor((1, 2, 2, 2))
    m.op(
        "DEPTHWISE_CONV_2D", [x, m.weights((1, 3, 3, 2), 2, 3)], [y], table="DepthwiseConv2DOptions",
        strideH=2, strideW=1, padding=1, dilationHFactor=1, dilationWFactor=2, fusedActivationFunction=3,
    )  # fmt: skip
    m.op("MAX_POOL_2D", [y], [z], table="Pool2DOptions", strideH=2, strideW=3, filterHeight=4, filterWidth=5)
    ops = parse_tflite(m.build([x], [z]), "net").ops
    assert ops[0] == Op(
        OpKind.DEPTHWISE_CONV_2D, (0, 3), (1,), (2, 1), "VALID", dilation=(1, 2), activation="RELU6"
    )
    assert (ops[1].stride, ops[1].window, ops[1].padding) == ((2, 3), (4, 5), "SAME")


@pytest.mark.parametrize("kind", [str(kind) for kind in OpKind])
def test_every_supported_op_is_read(kind: str) -> None:
    graph = parse_tflite(one_op(kind), kind)
    assert str(graph.ops[-1].kind) == kind


@pytest.mark.parametrize(("called", "message"), [(0, "calls subgraph 0 of 2"), (2, "calls subgraph 2 of 2")])
def test_a_subgraph_that_cannot_be_called_is_refused(called: int, message: str) -> None:
    m = ModelBuilder(called=1)
    m.op("CALL_ONCE", [], [], table="CallOnceOptions", initSubgraphIndex=called)
    with pytest.raises(FileFormatError, match=message):
        parse_tflite(m.build([], []), "called.tflite")


def test_a_wildcard_is_resolved_and_kept() -> None:
    graph = parse_tflite(one_op("RESHAPE_WILDCARD"), "net")
    assert graph.ops[0].output_wildcard
    assert graph.tensors[graph.outputs[0]].shape == (1, 144)


def broken_models() -> dict[str, tuple[bytes, str]]:
    """Well-formed flatbuffers that are not models we can account for, and what must be said."""
    cases = {}
    m = ModelBuilder()
    x, y = m.tensor((1, 4)), m.tensor((1, 4))
    m.op("RELU", [x], [y])
    cases["two subgraphs"] = m.build([x], [y], subgraphs=2), "subgraph 1 of 2 is never called"
    cases["no subgraph"] = m.build([x], [y], subgraphs=0), "has no subgraph"
    cases["input index"] = m.build([17], [y]), "graph inputs"
    cases["dynamic"] = _relu((1, -1), "int8"), "dynamic shape"
    cases["type"] = _relu((1, 4), "string"), "STRING"
    cases["huge"] = _relu((1 << 12, 1 << 12, 1 << 12), "int8"), "more than"
    m.note("OfflineMemoryAllocation")
    cases["offline plan without data"] = m.build([x], [y]), "0 bytes are too few"
    m.metadata[-1].buffer = 99
    cases["offline plan nowhere"] = m.build([x], [y]), "buffer 99 of 1"
    m.note("COMPRESSION_METADATA")
    cases["compressed"] = m.build([x], [y]), "compressed tensors"
    for name, words, message in (
        ("header", [1, 0], "8 bytes are too few"),
        ("fewer tensors", [1, 0, 1, 0], "for 1 tensors, with 1 offsets; the model has 2"),
        ("more tensors", [1, 0, 3, 0, 0, 0], "for 3 tensors"),
        ("fewer offsets", [1, 0, 2, 0], "with 1 offsets"),
        ("negative", [1, 0, 2, 0, -16], "tensor 1 is at offset -16"),
        ("far", [1, 0, 2, 2**31 - 16, 0], "tensor 0 is at offset 2147483632"),
    ):
        cases[f"offline plan, {name}"] = relu_with_plan(words), message
    for name, inputs in {"op index": [9], "op inputs": [0, 0, 0], "negative": [-1]}.items():
        m = ModelBuilder()
        x, y = m.tensor((1, 4)), m.tensor((1, 4))
        m.op("RELU", inputs, [y])
        cases[name] = m.build([x], [y]), "op 0"
    m = ModelBuilder()
    x, y = m.tensor((1, 4)), m.tensor((1, 4))
    m.conv(x, m.weights((4, 1, 1, 4)), -1, y)
    cases["rank"] = m.build([x], [y]), "ranks"
    m = ModelBuilder()
    x, y = m.tensor((1, 4, 4, 4)), m.tensor((1, 4, 4, 4))
    m.conv(x, m.weights((4, 1, 1, 4)), -1, y, stride=0)
    cases["stride"] = m.build([x], [y]), "stride"
    m = ModelBuilder()
    x, y = m.tensor((1, 4, 4, 4)), m.tensor((1, 4, 4, 4))
    m.op("CONV_2D", [x, m.weights((4, 1, 1, 4))], [y])
    cases["no options"] = m.build([x], [y]), "Conv2DOptions"
    m = ModelBuilder()
    x, y = m.tensor((1, 4, 4, 4)), m.tensor((1, 4, 4, 4))
    m.conv(x, m.tensor((4, 1, 1, 4), data=[1, 2, 3]), -1, y)
    cases["short weights"] = m.build([x], [y]), "holds 3"
    return cases


def relu_with_plan(*plans: list[int]) -> bytes:
    """One RELU on 100 bytes, with offline plans given as all the words of their buffers."""
    m = ModelBuilder()
    x, y = m.tensor((1, 100)), m.tensor((1, 100))
    m.op("RELU", [x], [y])
    for words in plans:
        buffer = schema.BufferT()
        buffer.data = np.array(words, "<i4").view(np.uint8)
        m.note("OfflineMemoryAllocation")
        m.metadata[-1].buffer = len(m.buffers)
        m.buffers.append(buffer)
    return m.build([x], [y])


@pytest.mark.parametrize(
    ("plans", "offsets"),
    [
        ([], None),
        ([[1, 0, 2, 112, 0]], (112, 0)),
        ([[1, 0, 2, -1, 0]], (-1, 0)),
        ([[0, 7, 2, 3, 5]], (3, 5)),  # TFLM looks neither at the version nor at the subgraph
        ([[1, 0, 2, 112, 0, 9, 9]], (112, 0)),
        ([[1, 0, 2, 112, 0], [1, 0, 2, 0, 112]], (0, 112)),
    ],
)
def test_offline_plans_are_read(plans: list[list[int]], offsets: tuple[int, ...] | None) -> None:
    assert parse_tflite(relu_with_plan(*plans), "net").offline_offsets == offsets


def _relu(shape: tuple[int, ...], dtype: str) -> bytes:
    m = ModelBuilder()
    x, y = m.tensor(shape, dtype), m.tensor(shape, dtype)
    m.op("RELU", [x], [y])
    return m.build([x], [y])


BROKEN = broken_models()


@pytest.mark.parametrize("name", BROKEN)
def test_models_that_do_not_fit_are_refused(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(FileFormatError, match=message) as caught:
        parse_tflite(data, "odd.tflite")
    assert str(caught.value).startswith("odd.tflite: ")


def test_all_unsupported_ops_are_named() -> None:
    m = ModelBuilder()
    x, y = m.tensor((1, 4)), m.tensor((1, 4))
    m.op("WHILE", [x], [y])
    m.op("RELU", [x], [y])
    m.op("BUCKETIZE", [x, x, x, x], [y])
    m.op("CUSTOM", [x], [y])
    m.codes[-1].customCode = "Mystery"
    absent = r"\(TFLM does not have it either\)"
    with pytest.raises(UnsupportedOpError, match=f"BUCKETIZE {absent}, CUSTOM Mystery {absent}, WHILE"):
        parse_tflite(m.build([x], [y]), "net")


@pytest.mark.parametrize(
    ("custom_code", "compiler"),
    [("ethos-u", "Vela"), ("edgetpu-custom-op", "Edge TPU Compiler"), ("NeutronGraph", "Neutron converter")],
)
def test_of_a_model_compiled_for_an_accelerator_the_file_from_before_is_wanted(
    custom_code: str, compiler: str
) -> None:
    m = ModelBuilder()
    x, y = m.tensor((1, 4)), m.tensor((1, 4))
    m.op("CUSTOM", [x], [y])
    m.codes[-1].customCode = custom_code
    with pytest.raises(UnsupportedOpError, match=compiler) as caught:
        parse_tflite(m.build([x], [y]), "net")
    assert "from before" in caught.value.next_step


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\x00" * 64, b"\x1c\x00\x00\x00TFL3", b"\xff\xff\xff\xffTFL3" + b"\xff" * 99]
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(FileFormatError):
        parse_tflite(data, "garbage")


def survives(data: bytes) -> Graph | None:
    """Parse ``data``: a graph that can be accounted for, or an error of ours, within a second of CPU."""
    start = time.process_time()
    try:
        graph = parse_tflite(data, "fuzzed")
        for core, kernels in (("x86-64", "reference"), ("cortex-m55", "cmsis-nn"), ("cortex-m4", "cmsis-nn")):
            account(graph, target(core, kernels))
    except McofaError:
        return None
    finally:
        assert time.process_time() - start < 1
    return graph


def test_every_truncation_is_refused() -> None:
    data = small_network()
    assert survives(data) is not None
    assert [length for length in range(len(data)) if survives(data[:length])] == []


NETWORK = small_network()
SAMPLES = [
    NETWORK,
    relu_with_plan([1, 0, 2, 112, 0]),
    *(one_op(kind) for kind in ("RESHAPE_WILDCARD", "MEAN", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D")),
]
edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 255]))
    ),
    min_size=1,
    max_size=12,
)


@given(st.sampled_from(SAMPLES), edits)
@settings(max_examples=300)
def test_mutated_files_never_crash(sample: bytes, changes: list[tuple[float, int]]) -> None:
    data = bytearray(sample)
    for position, value in changes:
        data[int(position * len(data))] = value
    survives(bytes(data))


@given(st.sampled_from(SAMPLES), st.floats(0, 1, exclude_max=True), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_mutated_words_never_crash(sample: bytes, position: float, word: int) -> None:
    at = int(position * len(sample)) // 4 * 4
    survives(sample[:at] + word.to_bytes(4, "little") + sample[at + 4 :])


@given(st.binary(max_size=400))
@settings(max_examples=100)
def test_random_bytes_never_crash(data: bytes) -> None:
    survives(data[:4] + b"TFL3" + data[4:])


@pytest.mark.slow
def test_mutated_real_models_never_hang() -> None:
    rng = random.Random(0)
    for path in evidence.measured_models().values():
        data = path.read_bytes()
        for _ in range(60):
            changed = bytearray(data)
            for _ in range(rng.randint(1, 20)):
                changed[rng.randrange(len(changed))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            survives(bytes(changed))
        survives(data[: rng.randrange(len(data))])


def with_scale(data: bytes, scale: float) -> bytes:
    """A model whose first tensor has another scale."""
    quantization = schema.Model.GetRootAs(data, 0).Subgraphs(0).Tensors(0).Quantization()
    damaged = np.frombuffer(data, np.uint8).copy()
    at = quantization._tab.Vector(quantization._tab.Offset(8))
    damaged[at : at + 4] = np.frombuffer(np.float32(scale).tobytes(), np.uint8)
    return damaged.tobytes()


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf"), -0.5])
def test_a_scale_that_is_no_size_is_refused(scale: float) -> None:
    with pytest.raises(FileFormatError, match=f"tensor 0 has a scale of {scale}"):
        parse_tflite(with_scale(small_network(), scale), "net.tflite")

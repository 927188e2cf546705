from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arena import random_network
from tiny_models import ModelBuilder, schema, small_network

from export.runtimes import litert
from export.runtimes.tflm import invoke, measure, trace
from export.tflite.model_file import ModelFile
from export.tflite.offline_plan import with_offline_plan, without_offline_plan
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.errors import FileFormatError, McofaError

X86 = target("x86-64", "reference")
M7 = target("cortex-m7", "cmsis-nn")


def builder(channels: tuple[int, ...] = (32, 16, 16, 32)) -> ModelBuilder:
    """1×1 convolutions with random weights on 8×8 pixels; greedy needs 4096 bytes, 3072 are enough."""
    rng = np.random.default_rng(0)
    m = ModelBuilder()
    x = m.tensor((1, 8, 8, channels[0]))
    for source, width in itertools.pairwise(channels):
        weights = m.tensor((width, 1, 1, source), "int8", rng.integers(-4, 5, (width, 1, 1, source)), width)
        m.tensors[weights].quantization.scale = [0.1] * width
        bias = m.tensor((width,), "int32", rng.integers(-100, 101, width), width)
        m.tensors[bias].quantization.scale = [0.05] * width
        y = m.tensor((1, 8, 8, width))
        m.conv(x, weights, bias, y)
        x = y
    return m


def chain_model(m: ModelBuilder | None = None) -> bytes:
    m = m or builder()
    return m.build([0], [len(m.tensors) - 1])


def add_metadata(m: ModelBuilder, name: str, content: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    m.note(name)
    m.metadata[-1].buffer = len(m.buffers)
    m.buffers.append(buffer)


def offline_words(offsets: list[int]) -> bytes:
    return np.array([1, 0, len(offsets), *offsets], "<i4").tobytes()


def images(data: bytes, count: int = 3) -> npt.NDArray[np.int8]:
    graph = parse_tflite(data, "model")
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    return np.random.default_rng(7).integers(-128, 128, (count, *shape), dtype=np.int8)


def assert_same_outputs(old: bytes, new: bytes, count: int = 3) -> None:
    inputs = images(old, count)
    expected = invoke(old, inputs)
    np.testing.assert_array_equal(invoke(new, inputs), expected)
    np.testing.assert_array_equal(litert.invoke(new, inputs), litert.invoke(old, inputs))


def unpacked(data: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(data, 0)


def test_visual_wake_words_needs_a_quarter_less(measured_model: Callable[[str], bytes]) -> None:
    data = measured_model("mlpt_vww96")
    planned = with_offline_plan(ModelFile(data, "mlpt_vww96.tflite"), X86)
    assert (planned.head_bytes_before, planned.head_bytes_after) == (73_728, 55_296)
    assert (planned.saved_bytes, planned.lower_bound_bytes, planned.proven_optimal) == (18_432, 55_296, True)
    assert planned.growth_bytes == len(planned.data) - len(data) < 1024
    before, after = measure(data), measure(planned.data)
    assert (before.head_bytes, after.head_bytes) == (73_728, 55_296)
    assert before.recording_tail_bytes == after.recording_tail_bytes
    assert_same_outputs(data, planned.data, 2)


# model, head on x86-64 before and after, head on Cortex-M7 with CMSIS-NN before and after.
HEADS = [
    ("mb_r160_k3_e6_d2_w035", (384_000, 384_000), (384_000, 384_000)),
    ("mb_r48_k3_e3_d1_w025", (18_432, 18_432), (18_432, 18_432)),
    ("mb_r64_k7_e3_d3_w05", (34_816, 32_768), (37_472, 33_376)),
    ("mlpt_ad01", (768, 768), (768, 768)),
    ("mlpt_kws", (16_000, 16_000), (16_000, 16_000)),
    ("mlpt_resnet8", (49_152, 49_152), (49_728, 49_728)),
    ("mlpt_vww96", (73_728, 55_296), (73_728, 55_296)),
]


@pytest.mark.parametrize(("model", "on_x86", "on_m7"), HEADS)
def test_given_models(
    measured_model: Callable[[str], bytes], model: str, on_x86: tuple[int, int], on_m7: tuple[int, int]
) -> None:
    data = measured_model(model)
    for on, (before, after) in ((X86, on_x86), (M7, on_m7)):
        planned = with_offline_plan(ModelFile(data, model), on)
        assert (planned.head_bytes_before, planned.head_bytes_after) == (before, after)
        assert planned.proven_optimal
        assert (planned.data is data) == (before == after) == (planned.growth_bytes == 0)
        assert account(parse_tflite(planned.data, model), on).head_bytes == after


@pytest.mark.slow
@pytest.mark.parametrize("core", ["x86-64", "cortex-m7", "cortex-m55"])
def test_the_wheel_follows_the_plan_of_any_target(measured_model: Callable[[str], bytes], core: str) -> None:
    """The plan for one core, scratch and all, is measured as predicted where scratch differs."""
    data = measured_model("mb_r64_k7_e3_d3_w05")
    on = target(core, "reference" if core == "x86-64" else "cmsis-nn")
    planned = with_offline_plan(ModelFile(data, "model"), on)
    assert planned.saved_bytes > 0
    assert measure(planned.data).head_bytes == account(parse_tflite(planned.data, "model"), X86).head_bytes
    assert_same_outputs(data, planned.data)


@pytest.mark.parametrize("on", [X86, M7])
def test_a_plan_is_followed_and_changes_no_output(on: Any) -> None:
    data = chain_model()
    planned = with_offline_plan(ModelFile(data, "chain"), on)
    assert (planned.head_bytes_before, planned.head_bytes_after) == (4096, 3072)
    assert (planned.saved_bytes, planned.lower_bound_bytes, planned.proven_optimal) == (1024, 3072, True)
    assert measure(planned.data).head_bytes == 3072
    assert len(np.unique(invoke(data, images(data)))) > 100
    assert_same_outputs(data, planned.data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [106, 120, 126, 206, 269])
def test_random_networks(seed: int) -> None:
    data = random_network(seed)
    planned = with_offline_plan(ModelFile(data, "random"), X86)
    assert planned.saved_bytes > 0
    measured = measure(planned.data)
    assert measured.head_bytes == planned.head_bytes_after
    assert measured.recording_tail_bytes == measure(data).recording_tail_bytes
    np.testing.assert_array_equal(invoke(planned.data, images(data)), invoke(data, images(data)))


def test_the_model_is_kept_byte_for_byte() -> None:
    m = builder()
    add_metadata(m, "min_runtime_version", b"1.5.0" + bytes(11))
    data = chain_model(m)
    planned = with_offline_plan(ModelFile(data, "chain"), X86)
    graph = parse_tflite(planned.data, "chain")
    assert replace(graph, offline_offsets=None) == parse_tflite(data, "chain")
    assert data in planned.data
    assert planned.data.index(data) % 16 == 0
    old, new = unpacked(data), unpacked(planned.data)
    assert new.version == 3
    assert [entry.name for entry in new.metadata] == [b"min_runtime_version", b"OfflineMemoryAllocation"]
    for before, after in zip(old.buffers, new.buffers, strict=False):
        np.testing.assert_array_equal(before.data, after.data)
    words = new.buffers[new.metadata[1].buffer].data.view("<i4").tolist()
    assert words == [1, 0, len(graph.tensors), *(graph.offline_offsets or ())]


def test_descriptions_and_signatures_are_kept(measured_model: Callable[[str], bytes]) -> None:
    model = unpacked(measured_model("mlpt_vww96"))
    model.description, model.metadataBuffer = "as trained", [0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    model.signatureDefs = [signature]
    data = packed(model)
    new = unpacked(with_offline_plan(ModelFile(data, "model"), X86).data)
    assert (new.description, list(new.metadataBuffer)) == (b"as trained", [0])
    assert [entry.signatureKey for entry in new.signatureDefs] == [b"serving_default"]


def packed(model: Any) -> bytes:
    writer = flatbuffers.Builder(1024)
    writer.Finish(model.Pack(writer), b"TFL3")
    return bytes(writer.Output())


def data_starts(data: bytes) -> list[int]:
    """Where the data of every buffer starts in the file, 0 for buffers without data."""
    model = schema.Model.GetRootAs(data, 0)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    return [buffer._tab.Vector(buffer._tab.Offset(4)) if buffer.DataLength() else 0 for buffer in buffers]


@pytest.mark.parametrize("padding", [0, 1, 8, 15])
def test_every_buffer_stays_aligned(measured_model: Callable[[str], bytes], padding: int) -> None:
    """Whatever the file's length: these files have weights at all multiples of 4."""
    old = measured_model("mlpt_vww96") + bytes(padding)
    before, after = data_starts(old), data_starts(with_offline_plan(ModelFile(old, "model"), X86).data)
    assert len(before) > 40
    assert len({new - start for start, new in zip(before, after, strict=False) if start}) == 1
    assert [new % 16 for new in after] == [start % 16 for start in before] + [0]


def test_planning_twice_changes_nothing() -> None:
    once = with_offline_plan(ModelFile(chain_model(), "chain"), X86)
    assert once == with_offline_plan(ModelFile(chain_model(), "chain"), X86)
    again = with_offline_plan(ModelFile(once.data, "chain"), X86)
    assert again.data is once.data
    assert (again.head_bytes_before, again.head_bytes_after, again.growth_bytes) == (3072, 3072, 0)


def test_a_worse_plan_is_replaced() -> None:
    m = builder()
    add_metadata(m, "OfflineMemoryAllocation", offline_words([4096, *[-1] * (len(m.tensors) - 1)]))
    data = chain_model(m)
    planned = with_offline_plan(ModelFile(data, "chain"), X86)
    assert (planned.head_bytes_before, planned.head_bytes_after) == (measure(data).head_bytes, 3072)
    assert measure(planned.data).head_bytes == 3072
    assert len(unpacked(planned.data).metadata) == 1
    assert_same_outputs(data, planned.data)


def test_without_its_plan_a_file_is_planned_by_tflm() -> None:
    plain = chain_model()
    planned = with_offline_plan(ModelFile(plain, "chain"), X86).data
    unplanned = without_offline_plan(planned, "chain")
    assert measure(planned).head_bytes < measure(plain).head_bytes == measure(unplanned).head_bytes
    assert without_offline_plan(plain, "chain") == plain


def test_every_tensor_of_a_planned_file_can_be_traced() -> None:
    plain = chain_model()
    planned = with_offline_plan(ModelFile(plain, "chain"), X86).data
    outputs = [op.outputs[0] for op in parse_tflite(plain, "chain").ops]
    images = np.random.default_rng(1).integers(-128, 128, (3, 8, 8, 32), dtype=np.int8)
    traced = trace(planned, images, outputs)
    assert all(map(np.array_equal, traced, litert.trace(plain, images, outputs)))
    assert np.array_equal(traced[-1].reshape(3, -1), invoke(planned, images))
    assert len(np.unique(traced[-1])) > 10


def test_nothing_to_save_leaves_the_file_alone() -> None:
    data = small_network()
    planned = with_offline_plan(ModelFile(data, "small"), X86)
    assert planned.data is data
    assert (planned.saved_bytes, planned.growth_bytes) == (0, 0)
    assert planned.head_bytes_before == planned.head_bytes_after == planned.lower_bound_bytes == 768


def test_a_file_that_cannot_be_accounted_for_is_refused() -> None:
    with pytest.raises(FileFormatError, match=r"^broken\.tflite: "):
        with_offline_plan(ModelFile(small_network()[:300], "broken.tflite"), X86)


def test_data_outside_the_flatbuffer_is_refused() -> None:
    m = builder()
    m.buffers.append(schema.BufferT())
    m.buffers[-1].offset, m.buffers[-1].size = 512, 16
    with pytest.raises(FileFormatError, match="corrupt"):
        with_offline_plan(ModelFile(chain_model(m), "chain"), X86)


@given(st.integers(0, 10**6), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_mutated_files_never_crash(position: int, word: int) -> None:
    data = chain_model()
    at = position % len(data) // 4 * 4
    changed = data[:at] + word.to_bytes(4, "little") + data[at + 4 :]
    try:
        planned = with_offline_plan(ModelFile(changed, "mutated"), X86)
    except McofaError:
        return
    assert parse_tflite(planned.data, "mutated").ops == parse_tflite(changed, "mutated").ops

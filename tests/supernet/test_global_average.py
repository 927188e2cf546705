"""A network that averages by MEAN against the same one that averages by AVERAGE_POOL_2D."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from example_networks import fashion, images, micro_space, targets

from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import TfliteModel, to_tflite
from export.runtimes import litert
from export.runtimes import tflm as arena
from export.tflite.parse import parse_tflite
from mcofa.files.resources import data_folder
from mcofa.graph import OpKind
from mcofa.lowering import lower
from mcofa.space.search_space import GlobalAverage
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.checkpoint import load_supernet

pytestmark = pytest.mark.torch

ARCH = micro_space().smallest()
MEAN = micro_space().model_copy(update={"global_average": "mean"})


@functools.cache
def trained() -> onnx.ModelProto:
    """The smallest network with the trained weights of mcofa-micro."""
    _, supernet = load_supernet(data_folder("zoo") / "mcofa-micro.safetensors")
    data = fashion(ARCH.resolution)
    return to_onnx(calibrate(supernet.extract(ARCH), data.train, data.preprocessing), ARCH.resolution)


@functools.cache
def converted(global_average: GlobalAverage) -> TfliteModel:
    data = fashion(ARCH.resolution)
    calibration = data.preprocessing.normalise(data.train.spread(64).images).numpy()
    return to_tflite(trained(), np.ascontiguousarray(calibration), global_average)


def top1_percent(model: TfliteModel, count: int) -> float:
    inputs = model.input_quantization.quantize(images(count, ARCH.resolution).transpose(0, 2, 3, 1))
    return 100 * float((litert.invoke(model.data, inputs).argmax(1) == targets(count)).mean())


def test_the_file_holds_the_predicted_graph() -> None:
    model = converted("mean")
    assert parse_tflite(model.data, "mean") == lower(MEAN, ARCH)
    assert OpKind.MEAN in model.op_kinds
    assert OpKind.AVERAGE_POOL_2D not in model.op_kinds


def test_litert_and_tflm_agree_at_every_op() -> None:
    model, graph = converted("mean"), lower(MEAN, ARCH)
    inputs = model.input_quantization.quantize(images(8, ARCH.resolution).transpose(0, 2, 3, 1))
    tensors = [op.outputs[0] for op in graph.ops]
    ours, tflm = litert.trace(model.data, inputs, tensors), arena.trace(model.data, inputs, tensors)
    for op, expected, found in zip(graph.ops, ours, tflm, strict=True):
        np.testing.assert_array_equal(found, expected, str(op))
        assert expected.min() < expected.max(), f"{op} is constant: the comparison proves nothing"


def test_litert_and_tflm_agree_at_the_output() -> None:
    model = converted("mean")
    inputs = model.input_quantization.quantize(images(200, ARCH.resolution).transpose(0, 2, 3, 1))
    logits = litert.invoke(model.data, inputs)
    np.testing.assert_array_equal(arena.invoke(model.data, inputs), logits)
    assert len(np.unique(logits, axis=0)) > 190


def test_as_accurate_as_by_pools() -> None:
    by_mean, by_pool = (top1_percent(converted(kind), 2_000) for kind in ("mean", "average_pool"))
    assert by_pool > 85
    assert abs(by_mean - by_pool) <= 0.5


def test_a_mean_is_that_of_the_integers_it_reads() -> None:
    """To half a step, and half a step of the sum over 2ⁿ⁻¹: the kernel rounds both times."""
    model, graph = converted("mean"), lower(MEAN, ARCH)
    inputs = model.input_quantization.quantize(images(8, ARCH.resolution).transpose(0, 2, 3, 1))
    for op in graph.ops:
        if op.kind is OpKind.MEAN:
            read, made = litert.trace(model.data, inputs, [op.inputs[0], op.outputs[0]])
            count = read.shape[1] * read.shape[2]
            bound = 0.5 + 2.0 ** (1 - count.bit_length())
            assert np.abs(made - read.mean((1, 2), keepdims=True)).max() <= bound + 1e-6
            scales = litert.quantizations(model.data, [op.inputs[0], op.outputs[0]])
            assert scales[op.inputs[0]] == scales[op.outputs[0]]

"""The int8 model: the predicted graph, the same numbers on LiteRT and TFLM, and close to float."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from example_networks import exported, fashion, images, micro_space, random_arch, targets
from onnx import helper
from torch.nn import functional
from usual_tflite import usual_tflite

from export.convert.layers import Layer, read_layers
from export.convert.quantize import Range, activation_quantization, calibrate, product_quantization
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import (
    GATE,
    TfliteModel,
    observed_values,
    quantize_network,
    to_tflite,
    to_tflite_with_ranges,
)
from export.runtimes import litert
from export.runtimes import tflm as arena
from export.tflite.parse import parse_tflite
from export.tflite.quantization import Quantization
from export.tflite.write import QuantizedGraph, write_tflite
from mcofa.errors import McofaError, UnsupportedOpError
from mcofa.files.resources import data_folder
from mcofa.graph import Graph, Op, OpKind, Tensor
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.supernet.measure.evaluate import calibrate as calibrate_batch_norm
from mcofa.supernet.network.checkpoint import load_supernet

pytestmark = pytest.mark.torch

Int8Array = npt.NDArray[np.int8]
FloatArray = npt.NDArray[np.float32]

ARCHS = [micro_space().smallest(), micro_space().largest(), random_arch(0)]
each_arch = pytest.mark.parametrize("arch", ARCHS, ids=str)
LIMITS = {
    # Rounded weights: their errors add up over the inputs, few in a depthwise convolution.
    OpKind.CONV_2D: (5, 0.75),
    OpKind.DEPTHWISE_CONV_2D: (2, 0.1),
    # The average of 2×2 integers is often halfway between two steps.
    OpKind.AVERAGE_POOL_2D: (1, 0.25),
}
"""By how many steps an op may differ from its layer: at most, and on average."""


def calibration_images(arch: Arch, count: int = 64) -> FloatArray:
    data = fashion(arch.resolution)
    return np.ascontiguousarray(data.preprocessing.normalise(data.train.images[:count]).numpy())


@functools.cache
def converted(arch: Arch) -> TfliteModel:
    return to_tflite(exported(arch), calibration_images(arch))


@functools.cache
def quantized(arch: Arch) -> QuantizedGraph:
    model = exported(arch)
    network = read_layers(model)
    return quantize_network(network, calibrate(model, calibration_images(arch), observed_values(network)))


def device_images(arch: Arch, count: int) -> Int8Array:
    return converted(arch).input_quantization.quantize(images(count, arch.resolution).transpose(0, 2, 3, 1))


def op_outputs(network: QuantizedGraph) -> tuple[int, ...]:
    return tuple(op.outputs[0] for op in network.graph.ops)


@each_arch
def test_the_file_holds_the_predicted_graph(arch: Arch) -> None:
    model = converted(arch)
    predicted = lower(micro_space(), arch)
    assert quantized(arch).graph == predicted
    assert parse_tflite(model.data, "test") == predicted
    assert model.op_kinds == tuple(sorted({op.kind for op in predicted.ops}))
    assert predicted.tensors[predicted.outputs[0]].shape == (1, 1, 1, 10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_more_files_hold_the_predicted_graph(seed: int) -> None:
    arch = random_arch(seed)
    assert parse_tflite(converted(arch).data, "test") == lower(micro_space(), arch)


@each_arch
def test_litert_and_tflm_agree_at_every_op(arch: Arch) -> None:
    network, inputs = quantized(arch), device_images(arch, 4)
    tensors = op_outputs(network)
    data = converted(arch).data
    ours, tflm = litert.trace(data, inputs, tensors), arena.trace(data, inputs, tensors)
    for op, expected, found in zip(network.graph.ops, ours, tflm, strict=True):
        assert np.array_equal(expected, found), op
        assert expected.min() < expected.max(), f"{op} is constant: the comparison proves nothing"


@each_arch
def test_litert_and_tflm_agree_at_the_output(arch: Arch) -> None:
    data, inputs = converted(arch).data, device_images(arch, 100)
    logits = litert.invoke(data, inputs)
    assert np.array_equal(logits, arena.invoke(data, inputs))
    assert len(np.unique(logits, axis=0)) == 100


@each_arch
def test_every_op_computes_its_layer(arch: Arch) -> None:
    """On the integers that came in, the float layer gives what came out, but for rounding."""
    network, layers = quantized(arch), read_layers(exported(arch)).layers
    tensors = (0, *op_outputs(network))
    found = litert.trace(converted(arch).data, device_images(arch, 4), tensors)
    values = dict(zip(tensors, found, strict=True))
    for layer, op in zip(layers, network.graph.ops, strict=True):
        inputs = [activation(network, t).dequantize(values[t]) for t in op.inputs if t in values]
        expected = activation(network, op.outputs[0]).quantize(float_layer(layer, inputs))
        steps = np.abs(expected.astype(int) - values[op.outputs[0]])
        limit, mean_limit = LIMITS.get(layer.kind, (1, 0.1))
        assert steps.max() <= limit, f"{layer.kind} {layer.output}"
        assert steps.mean() <= mean_limit, f"{layer.kind} {layer.output}"


@each_arch
def test_int8_logits_of_a_trained_network_follow_the_float_ones(arch: Arch) -> None:
    count, data = 200, fashion(arch.resolution)
    _, supernet = load_supernet(data_folder("zoo") / "mcofa-micro.safetensors")
    subnet = calibrate_batch_norm(supernet.extract(arch), data.train, data.preprocessing)
    file = to_tflite(to_onnx(subnet, arch.resolution), calibration_images(arch))
    inputs = images(count, arch.resolution)
    with torch.inference_mode():
        expected = subnet(torch.from_numpy(inputs)).numpy()
    integers = arena.invoke(file.data, file.input_quantization.quantize(inputs.transpose(0, 2, 3, 1)))
    found = file.output_quantization.dequantize(integers)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.995
    right = [(logits.argmax(1) == targets(count)).mean() for logits in (expected, found)]
    assert right[0] > 0.85
    assert abs(right[0] - right[1]) < 0.02


def test_what_is_left_out_changes_nothing() -> None:
    """A file as converters usually write it is far larger, and equal at every op on both runtimes."""
    arch = ARCHS[0]
    lean, inputs, tensors = converted(arch).data, device_images(arch, 10), op_outputs(quantized(arch))
    usual = usual_tflite(lean)
    assert len(lean) < 0.75 * len(usual)
    for trace in (litert.trace, arena.trace):
        assert all(map(np.array_equal, trace(lean, inputs, tensors), trace(usual, inputs, tensors)))
    assert arena.measure(lean) == arena.measure(usual)


def on_both_runtimes(
    hidden: Quantization, gate: Quantization, product: Quantization
) -> tuple[Int8Array, Int8Array]:
    """Multiply every int8 value by every gate, on LiteRT and on TFLM."""
    shape = (1, 1, 256, 256)
    tensors = (Tensor(shape), Tensor((1, 1, 1, 256), constant=True), Tensor(shape))
    graph = Graph(tensors, (Op(OpKind.MUL, (0, 1), (2,)),), (0,), (2,))
    every = np.arange(-128, 128).astype(np.int8)
    network = QuantizedGraph(graph, (hidden, gate, product), {1: every.reshape(1, 1, 1, 256)})
    data, images = write_tflite(network), np.broadcast_to(every[:, np.newaxis], shape)
    return litert.invoke(data, images), arena.invoke(data, images)


@pytest.mark.parametrize("seed", range(4))
def test_products_are_the_same_on_both_runtimes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hidden = activation_quantization(Range(-rng.uniform(0, 1), rng.uniform(0.1, 16)))
    product = product_quantization(hidden, GATE, Range(-rng.uniform(0, 1), rng.uniform(0.1, 16)))
    assert np.array_equal(*on_both_runtimes(hidden, GATE, product))


def test_arbitrary_scales_give_other_products() -> None:
    """These scales came from ranges of real images; 16 of 1,000 images had other logits for it."""
    gate = Quantization((float(np.float32(1 / 255)),), -128)
    hidden, product = Quantization((0.06063626706600189,), -122), Quantization((0.028880147263407707,), -115)
    ours, other = on_both_runtimes(hidden, gate, product)
    assert np.abs(ours.astype(int) - other).max() == 1


def test_gates_and_averages_have_the_quantization_that_makes_them_work() -> None:
    network = quantized(ARCHS[0])
    gates = [op.inputs[1] for op in network.graph.ops if op.kind is OpKind.MUL]
    assert [network.quantizations[index] for index in gates] == [GATE] * len(gates)
    np.testing.assert_allclose(GATE.dequantize(np.array([-128, 127], np.int8)), [0, 1], atol=2e-5)
    for op in network.graph.ops:
        if op.kind is OpKind.AVERAGE_POOL_2D:
            assert network.quantizations[op.inputs[0]] == network.quantizations[op.outputs[0]]


def test_equal_input_gives_equal_bytes_and_equal_graphs_equal_sizes() -> None:
    arch = ARCHS[0]
    assert to_tflite(exported(arch), calibration_images(arch)) == converted(arch)
    other = to_tflite(exported(arch), calibration_images(arch, 16))
    assert other.data != converted(arch).data
    assert len(other.data) == len(converted(arch).data)


def test_ranges_may_come_from_elsewhere() -> None:
    model = exported(ARCHS[0])
    network = read_layers(model)
    ranges = calibrate(model, calibration_images(ARCHS[0]), observed_values(network))
    assert to_tflite_with_ranges(network, ranges) == converted(ARCHS[0])


def test_a_foreign_node_is_named() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported(ARCHS[0]))
    swish = next(node for node in model.graph.node if node.op_type == "HardSwish")
    swish.CopyFrom(helper.make_node("Sigmoid", swish.input, swish.output, name="mine"))
    with pytest.raises(UnsupportedOpError, match=r"'mine' \(Sigmoid\)"):
        to_tflite(model, calibration_images(ARCHS[0]))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(McofaError, match=r"shape \(3, 1, 32, 32\)"):
        to_tflite(exported(ARCHS[0]), np.zeros((3, 1, 32, 32), np.float32))


def activation(network: QuantizedGraph, tensor: int) -> Quantization:
    quantization = network.quantizations[tensor]
    assert quantization is not None
    return quantization


def float_layer(layer: Layer, inputs: list[FloatArray]) -> FloatArray:
    """Compute a layer on NHWC arrays with torch."""
    first, *rest = (torch.tensor(value.transpose(0, 3, 1, 2)) for value in inputs)
    if layer.convolution is not None:
        result = convolve(layer, first)
    elif layer.kind is OpKind.AVERAGE_POOL_2D:
        result = first.mean((2, 3), keepdim=True)
    else:
        combine: Any = {
            OpKind.ADD: torch.add,
            OpKind.MUL: torch.mul,
            OpKind.HARD_SWISH: functional.hardswish,
        }[layer.kind]
        result = combine(first, *rest)
    return result.numpy().transpose(0, 2, 3, 1)


def convolve(layer: Layer, source: torch.Tensor) -> torch.Tensor:
    convolution = layer.convolution
    assert convolution is not None
    depthwise = layer.kind is OpKind.DEPTHWISE_CONV_2D
    weight = torch.tensor(convolution.filter.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)))
    rows, columns = (
        max((output - 1) * stride + kernel - side, 0)
        for side, output, stride, kernel in zip(
            source.shape[2:], layer.shape[1:3], convolution.stride, weight.shape[2:], strict=True
        )
    )
    padded = functional.pad(source, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    groups = len(weight) if depthwise else 1
    result = functional.conv2d(
        padded, weight, torch.tensor(convolution.bias), convolution.stride, groups=groups
    )
    return result.relu() if convolution.activation == "RELU" else result

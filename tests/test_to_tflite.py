"""The int8 model: the predicted graph, the same numbers on LiteRT and TFLM, and close to float."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from example_networks import exported, fashion, fitted_subnet, images, micro_space, random_arch, targets
from onnx import helper
from tflite_micro import runtime
from torch.nn import functional

from export import arena
from export.flatbuffer import QuantizedGraph, write_tflite
from export.layers import Layer, read_layers
from export.parse_tflite import parse_tflite
from export.quantize import Quantization, calibrate
from export.to_tflite import (
    GATE,
    TfliteModel,
    observed_values,
    quantize_network,
    to_tflite,
    to_tflite_with_ranges,
)
from mcofa.arch import Arch
from mcofa.errors import McofaError, UnsupportedOpError
from mcofa.graph import OpKind, lower

pytestmark = pytest.mark.torch

Int8Array = npt.NDArray[np.int8]
FloatArray = npt.NDArray[np.float32]

ARCHS = [micro_space().smallest(), micro_space().largest(), random_arch(0)]
each_arch = pytest.mark.parametrize("arch", ARCHS, ids=str)


def calibration_images(count: int = 64) -> FloatArray:
    data = fashion()
    return np.ascontiguousarray(data.preprocessing.normalise(data.train.images[:count]).numpy())


@functools.cache
def converted(arch: Arch) -> TfliteModel:
    return to_tflite(exported(arch), calibration_images())


@functools.cache
def quantized(arch: Arch) -> QuantizedGraph:
    model = exported(arch)
    network = read_layers(model)
    return quantize_network(network, calibrate(model, calibration_images(), observed_values(network)))


def device_images(arch: Arch, count: int) -> Int8Array:
    return converted(arch).input_quantization.quantize(images(count).transpose(0, 2, 3, 1))


def run_litert(data: bytes, inputs: Int8Array, tensors: tuple[int, ...]) -> list[Int8Array]:
    """Run LiteRT's reference kernels; return the values of ``tensors``, each (n, ...)."""
    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    found = []
    for image in inputs:
        interpreter.set_tensor(0, image[np.newaxis])
        interpreter.invoke()
        found.append([interpreter.get_tensor(index) for index in tensors])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def run_tflm(data: bytes, inputs: Int8Array, tensors: tuple[int, ...]) -> list[Int8Array]:
    """Run TFLM; return as ``run_litert`` does."""
    interpreter = runtime.Interpreter.from_bytes(
        data, arena_size=1 << 22, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors
    )
    found = []
    for image in inputs:
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        found.append([interpreter.GetTensor(index, 0)["tensor_data"].copy() for index in tensors])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


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
    litert, tflm = run_litert(data, inputs, tensors), run_tflm(data, inputs, tensors)
    for op, expected, found in zip(network.graph.ops, litert, tflm, strict=True):
        assert np.array_equal(expected, found), op
        assert expected.min() < expected.max(), f"{op} is constant: the comparison proves nothing"


@each_arch
def test_litert_and_tflm_agree_at_the_output(arch: Arch) -> None:
    data, inputs = converted(arch).data, device_images(arch, 100)
    (litert,) = run_litert(data, inputs, quantized(arch).graph.outputs)
    logits = litert.reshape(100, -1)
    assert np.array_equal(logits, arena.invoke(data, inputs))
    assert len(np.unique(logits, axis=0)) == 100


@each_arch
def test_every_op_computes_its_layer(arch: Arch) -> None:
    """On the integers that came in, the float layer gives what came out, but for rounding."""
    network, layers = quantized(arch), read_layers(exported(arch)).layers
    tensors = (0, *op_outputs(network))
    values = dict(
        zip(tensors, run_litert(converted(arch).data, device_images(arch, 4), tensors), strict=True)
    )
    for layer, op in zip(layers, network.graph.ops, strict=True):
        inputs = [activation(network, t).dequantize(values[t]) for t in op.inputs if t in values]
        expected = activation(network, op.outputs[0]).quantize(float_layer(layer, inputs))
        steps = np.abs(expected.astype(int) - values[op.outputs[0]])
        # Rounded weights: their errors add up over the inputs of a convolution.
        limit, mean_limit = (5, 0.75) if layer.kind is OpKind.CONV_2D else (1, 0.1)
        assert steps.max() <= limit, f"{layer.kind} {layer.output}"
        assert steps.mean() <= mean_limit, f"{layer.kind} {layer.output}"


@each_arch
def test_int8_logits_follow_the_float_ones(arch: Arch) -> None:
    count = 200
    with torch.inference_mode():
        expected = fitted_subnet(arch)(torch.from_numpy(images(count))).numpy()
    integers = arena.invoke(converted(arch).data, device_images(arch, count))
    found = converted(arch).output_quantization.dequantize(integers)
    # A random network is far more sensitive to rounding than a trained one; guessing is right in 0.1.
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.9
    right = [(logits.argmax(1) == targets(count)).mean() for logits in (expected, found)]
    assert right[0] > 0.25
    assert abs(right[0] - right[1]) < 0.06


def test_biases_need_no_quantization() -> None:
    """With the scales that converters usually write, every output on both runtimes is the same."""
    arch = ARCHS[0]
    network, inputs = quantized(arch), device_images(arch, 10)
    quantizations = list(network.quantizations)
    for op in network.graph.ops:
        if len(op.inputs) == 3:
            source, filter_ = (quantizations[index] for index in op.inputs[:2])
            assert source is not None
            assert filter_ is not None
            scales = np.float32(source.scale) * np.array(filter_.scales, np.float32)
            quantizations[op.inputs[2]] = Quantization(tuple(scales.tolist()), 0, 0)
    usual = write_tflite(dataclasses.replace(network, quantizations=tuple(quantizations)))
    lean = converted(arch).data
    assert len(lean) < len(usual)
    for run in (run_litert, run_tflm):
        assert all(map(np.array_equal, *(run(data, inputs, op_outputs(network)) for data in (lean, usual))))
    assert arena.measure(lean) == arena.measure(usual)


def test_gates_and_averages_have_the_quantization_that_makes_them_work() -> None:
    network = quantized(ARCHS[0])
    gates = [op.inputs[1] for op in network.graph.ops if op.kind is OpKind.MUL]
    assert [network.quantizations[index] for index in gates] == [GATE] * len(gates)
    assert GATE.dequantize(np.array([-128, 127], np.int8)).tolist() == [0, 1]
    for op in network.graph.ops:
        if op.kind is OpKind.AVERAGE_POOL_2D:
            assert network.quantizations[op.inputs[0]] == network.quantizations[op.outputs[0]]


def test_equal_input_gives_equal_bytes_and_equal_graphs_equal_sizes() -> None:
    arch = ARCHS[0]
    assert to_tflite(exported(arch), calibration_images()) == converted(arch)
    other = to_tflite(exported(arch), calibration_images(16))
    assert other.data != converted(arch).data
    assert len(other.data) == len(converted(arch).data)


def test_ranges_may_come_from_elsewhere() -> None:
    model = exported(ARCHS[0])
    network = read_layers(model)
    ranges = calibrate(model, calibration_images(), observed_values(network))
    assert to_tflite_with_ranges(network, ranges) == converted(ARCHS[0])


def test_a_foreign_node_is_named() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported(ARCHS[0]))
    swish = next(node for node in model.graph.node if node.op_type == "HardSwish")
    swish.CopyFrom(helper.make_node("Sigmoid", swish.input, swish.output, name="mine"))
    with pytest.raises(UnsupportedOpError, match=r"'mine' \(Sigmoid\)"):
        to_tflite(model, calibration_images())


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

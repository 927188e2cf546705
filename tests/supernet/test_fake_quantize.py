"""The simulated int8 network against the real one: ranges, constants, every op, and the answers."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from depthwise_separable import depthwise_separable_space
from example_networks import exported, fashion, fitted_subnet, images, micro_space, random_arch
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_training import randomised

from export.convert.layers import read_layers
from export.convert.quantize import Range, activation_quantization, calibrate, quantize_bias, quantize_filter
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import observed_values, quantize_network, to_tflite
from export.runtimes import litert
from export.tflite.write import QuantizedGraph, write_tflite
from mcofa.files.resources import data_folder
from mcofa.space.arch import Arch
from mcofa.space.resolution import size_of
from mcofa.supernet.measure.evaluate import calibrate as calibrate_batch_norm
from mcofa.supernet.network import fake_quantize
from mcofa.supernet.network.checkpoint import load_supernet
from mcofa.supernet.network.fake_quantize import (
    FakeQuantizedSubnet,
    activation_steps,
    fold_batch_norm,
    round_constants,
)

pytestmark = pytest.mark.torch

ARCHS = [micro_space().smallest(), random_arch(0)]
each_arch = pytest.mark.parametrize("arch", ARCHS, ids=str)
WIDENED_BY = 2.0**-14
"""The writer rounds scales up to 15 significant bits."""


def training_batch(side: int, count: int = 64) -> torch.Tensor:
    data = fashion(side)
    return data.preprocessing.normalise(data.train.images[:count])


def simulated(arch: Arch) -> FakeQuantizedSubnet:
    return FakeQuantizedSubnet(copy.deepcopy(fitted_subnet(arch)), training_batch(arch.resolution))


@functools.cache
def trained_for_other_ranges(arch: Arch) -> tuple[FakeQuantizedSubnet, QuantizedGraph]:
    """A network whose ranges are no longer those of calibration, and its int8 graph."""
    network = simulated(arch)
    network.train()
    for batch in training_batch(arch.resolution, 256).split(32):
        network(1.2 * batch)
    layers = read_layers(exported(arch))
    ranges = [Range(low, high) for low, high in network.eval().ranges.values()]
    return network, quantize_network(layers, dict(zip(observed_values(layers), ranges, strict=True)))


@each_arch
def test_the_first_ranges_are_those_that_calibration_finds_in_onnx(arch: Arch) -> None:
    names = observed_values(read_layers(exported(arch)))
    expected = calibrate(exported(arch), training_batch(arch.resolution).numpy().copy(order="C"), names)
    found = simulated(arch).ranges
    assert len(found) == len(names)
    for name, (low, high) in zip(names, found.values(), strict=True):
        assert (low, high) == pytest.approx((expected[name].low, expected[name].high), abs=1e-4), name


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_activations_have_the_writers_steps(low: float, width: float) -> None:
    expected = activation_quantization(Range(low, low + width))
    scale, zero_point = activation_steps(low, low + width)
    assert scale == pytest.approx(expected.scale, rel=WIDENED_BY)
    assert abs(zero_point - expected.zero_point) <= 1


@example(15478213, 1.0, 100.0)  # a weight of 16.5 steps
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1), st.sampled_from([1e-9, 1e-3, 1.0, 100.0]))
def test_constants_are_the_writers(seed: int, input_scale: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    weight = (size * rng.normal(size=(5, 2, 3, 3))).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    integers, scales = quantize_filter(weight, bias, input_scale, 0)
    found_weight, found_bias = round_constants(torch.from_numpy(weight), torch.from_numpy(bias), input_scale)
    steps = np.array(scales.scales)
    assert_equal_but_for_halves(found_weight.numpy(), weight, integers, steps[:, None, None, None])
    bias_steps = quantize_bias(bias, input_scale, scales.scales)
    assert_equal_but_for_halves(found_bias.numpy(), bias, bias_steps, input_scale * steps)


def assert_equal_but_for_halves(found: Any, exact: Any, integers: Any, steps: Any) -> None:
    """Training rounds in single precision: what lies halfway between two steps may take either."""
    found_steps, away = found / steps, np.abs(exact / steps - integers)
    halfway = np.abs(away - 0.5) < 1e-6 * np.abs(integers) + 1e-3
    np.testing.assert_allclose(found_steps[~halfway], integers[~halfway], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found_steps[halfway], integers[halfway], rtol=1e-5, atol=1.001)


def test_folded_batch_norm_computes_the_same() -> None:
    block = fitted_subnet(ARCHS[0]).stem
    weight, bias = fold_batch_norm(block)
    batch = training_batch(ARCHS[0].resolution, 8)
    expected = block.norm(block.conv(batch))
    found = torch.func.functional_call(block.conv, {"weight": weight, "bias": bias}, (batch,))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@each_arch
def test_every_op_is_within_a_step_of_litert(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each op gets the integers that LiteRT's op got, so that nothing adds up on the way."""
    network, graph = trained_for_other_ranges(arch)
    inputs = images(4, arch.resolution)
    expected = iter(litert_tensors(graph, inputs))
    rounded = FakeQuantizedSubnet._rounded
    kinds = iter(["input", *(op.kind for op in graph.graph.ops)])
    differing: list[float] = []

    def compare(
        self: FakeQuantizedSubnet, values: torch.Tensor, scale: float, zero_point: int
    ) -> fake_quantize._Activation:
        kind, (integers, quantization) = next(kinds), next(expected)
        found = rounded(self, values, scale, zero_point)
        assert scale == pytest.approx(quantization.scale, rel=WIDENED_BY)
        assert zero_point == quantization.zero_point
        steps = torch.round(found.values / scale) + zero_point
        difference = (steps - integers).abs()
        assert difference.max() <= 1, kind
        differing.append((difference > 0).float().mean().item())
        assert integers.float().std() > 0, f"{kind} is constant: the comparison proves nothing"
        return found._replace(values=(integers - zero_point) * scale)

    monkeypatch.setattr(FakeQuantizedSubnet, "_rounded", compare)
    with torch.inference_mode():
        network(torch.from_numpy(inputs))
    assert next(expected, None) is next(kinds, None) is None
    assert np.mean(differing) < 0.02


def litert_tensors(
    graph: QuantizedGraph, inputs: npt.NDArray[np.float32]
) -> list[tuple[torch.Tensor, object]]:
    """The int8 input and every op's output, NCHW, with their quantizations."""
    interpreter = Interpreter(
        model_content=write_tflite(graph),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    indices = (0, *(op.outputs[0] for op in graph.graph.ops))
    first = graph.quantizations[0]
    assert first is not None
    found = []
    for image in first.quantize(inputs.transpose(0, 2, 3, 1)):
        interpreter.set_tensor(0, image[np.newaxis])
        interpreter.invoke()
        found.append([interpreter.get_tensor(index) for index in indices])
    values = (np.concatenate(column).transpose(0, 3, 1, 2) for column in zip(*found, strict=True))
    return [
        (torch.from_numpy(value.astype(np.float32)), graph.quantizations[index])
        for value, index in zip(values, indices, strict=True)
    ]


def test_a_trained_network_answers_as_its_exported_file() -> None:
    """Roundings that differ by a step add up on the way through a network; answers stay."""
    arch = ARCHS[0]
    data = fashion(arch.resolution)
    _, supernet = load_supernet(data_folder("zoo") / "mcofa-micro.safetensors")
    subnet = calibrate_batch_norm(supernet.extract(arch), data.train, data.preprocessing)
    batch = training_batch(arch.resolution, 128)
    network = FakeQuantizedSubnet(subnet, batch)
    file = to_tflite(to_onnx(subnet, arch.resolution), batch.numpy().copy(order="C"))
    inputs = images(500, arch.resolution)
    found = litert.invoke(file.data, file.input_quantization.quantize(inputs.transpose(0, 2, 3, 1)))
    with torch.inference_mode():
        logits = network(torch.from_numpy(inputs)).numpy()
    steps = np.rint(logits / file.output_quantization.scale) + file.output_quantization.zero_point
    assert np.median(np.abs(steps - found)) <= 2
    assert (steps.argmax(1) == found.argmax(1)).mean() > 0.97


def test_training_moves_the_ranges_and_evaluation_does_not() -> None:
    network = simulated(ARCHS[0])
    before = dict(network.ranges)
    batch = 3 * training_batch(ARCHS[0].resolution, 16)
    network(batch)
    assert network.ranges == before
    network.train()
    network(batch)
    (low, high), (old_low, old_high) = network.ranges["images"], before["images"]
    assert low == pytest.approx(0.99 * old_low + 0.01 * batch.min().item())
    assert high == pytest.approx(0.99 * old_high + 0.01 * batch.max().item())
    assert list(network.ranges) == list(before)


def test_gradients_pass_through_the_rounding_to_every_parameter() -> None:
    network = simulated(ARCHS[1]).train()
    logits = network(training_batch(ARCHS[1].resolution, 16))
    torch.nn.functional.cross_entropy(logits, fashion().train.targets[:16]).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_gradients_equal_floats_where_nothing_is_rounded_away() -> None:
    """With one layer: the gradient of what the rounded filter computes, nothing but that."""
    weight = torch.randn(4, 3, 1, 1, requires_grad=True)
    bias = torch.randn(4, requires_grad=True)
    rounded_weight, rounded_bias = round_constants(weight, bias, 0.1)
    (2 * rounded_weight.sum() + 3 * rounded_bias.sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert torch.equal(weight.grad, torch.full_like(weight, 2))
    assert torch.equal(bias.grad, torch.full_like(bias, 3))


def test_depthwise_separable_networks_have_the_ranges_of_calibration() -> None:
    space = depthwise_separable_space()
    arch = space.decode(space.sample(1, np.random.default_rng(5))[0])
    height, width = size_of(arch.resolution)
    assert height != width
    batch = torch.randn(16, 1, height, width, generator=torch.Generator().manual_seed(0))
    subnet = randomised(space).extract(arch).train()
    subnet(batch)
    network = FakeQuantizedSubnet(subnet.eval(), batch)
    model = to_onnx(subnet, arch.resolution)
    names = observed_values(read_layers(model))
    expected = calibrate(model, batch.numpy().copy(order="C"), names)
    assert len(network.ranges) == len(names)
    for name, (low, high) in zip(names, network.ranges.values(), strict=True):
        assert (low, high) == pytest.approx((expected[name].low, expected[name].high), abs=1e-3), name
    with torch.no_grad():
        exact, rounded = subnet(batch), network(batch)
    assert 0 < (exact - rounded).abs().max() < 0.2 * exact.abs().max()

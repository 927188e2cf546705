"""Ranges against numpy, and integers against the numbers they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from export.convert.quantize import (
    Range,
    activation_quantization,
    calibrate,
    product_quantization,
    quantize_bias,
    quantize_filter,
)
from export.tflite.quantization import Quantization
from mcofa.errors import McofaError

finite = st.floats(-1e4, 1e4, width=32)


def affine_model(batch: int | str, slope: float = 2.0) -> onnx.ModelProto:
    """Maps x to relu(slope · x - 1)."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "slope"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "one"], ["shifted"]),
            helper.make_node("Relu", ["shifted"], ["y"]),
        ],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            helper.make_tensor("slope", TensorProto.FLOAT, [], [slope]),
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("batch", [1, 4, "n"])
def test_ranges_are_those_over_all_images(batch: int | str) -> None:
    images = np.random.default_rng(0).normal(size=(68, 1, 2, 3)).astype(np.float32)
    ranges = calibrate(affine_model(batch), images, ["x", "shifted", "y"])
    shifted = 2 * images - 1
    assert ranges == {
        "x": Range(images.min(), images.max()),
        "shifted": Range(shifted.min(), shifted.max()),
        "y": Range(0, shifted.max()),
    }


@pytest.mark.parametrize("shape", [(0, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(McofaError, match=r"the network takes images of shape \(1, 2, 3\)"):
        calibrate(affine_model("n"), np.zeros(shape, np.float32), ["y"])


@pytest.mark.parametrize("slope", [np.inf, np.nan])
def test_a_value_that_is_not_finite_is_named(slope: float) -> None:
    with pytest.raises(McofaError, match="scaled ranges from"):
        calibrate(affine_model("n", slope), np.ones((2, 1, 2, 3), np.float32), ["x", "scaled"])


@given(st.lists(finite, min_size=1, max_size=20))
def test_activations_within_their_range_are_off_by_half_a_step_at_most(values: list[float]) -> None:
    numbers = np.array(values, np.float32)
    quantization = activation_quantization(Range(float(numbers.min()), float(numbers.max())))
    assert -128 <= quantization.zero_point <= 127
    assert quantization.dequantize(quantization.quantize(np.zeros(1, np.float32))) == 0
    error = np.abs(quantization.dequantize(quantization.quantize(numbers)) - numbers)
    # The zero point is rounded too: at either end of the range that may cost another half step.
    assert error.max() <= 1.01 * quantization.scale


def test_literal_activation_quantizations() -> None:
    # 1/255 = 32,896.5…/2²³, whose numerator has 16 bits; 15 bits: 16,449/2²².
    scale = 16_449 / 2**22
    assert activation_quantization(Range(0.25, 1.0)) == Quantization((scale,), -128)
    assert activation_quantization(Range(-1.0, -0.25)) == Quantization((scale,), 127)
    assert activation_quantization(Range(-127.5, 127.5)).scale == 1
    assert activation_quantization(Range(0.0, 0.0)) == Quantization((1.0,), -128)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_products_have_one_multiplier_in_float_and_in_double(first: float, output: float) -> None:
    """Repeats the arithmetic of LiteRT (float) and of TFLM (double): the 31-bit fractions are equal."""
    gate = Quantization((257 / 65536,), -128)
    hidden = activation_quantization(Range(0, first))
    plain = activation_quantization(Range(-output / 8, output))
    product = product_quantization(hidden, gate, Range(-output / 8, output))
    scales = [np.float32(quantization.scale) for quantization in (hidden, gate, product)]
    in_float = scales[0] * scales[1] / scales[2]
    in_double = np.float64(scales[0]) * np.float64(scales[1]) / np.float64(scales[2])
    assert in_float.dtype == np.float32
    (fraction, shift), (other, other_shift) = np.frexp(np.float64(in_float)), np.frexp(in_double)
    assert shift == other_shift
    assert int(fraction * 2**31) == fraction * 2**31 == np.rint(other * 2**31)
    assert plain.scale <= product.scale < 1.001 * plain.scale
    assert product.zero_point == plain.zero_point


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_filters_are_off_by_half_a_step_at_most(seed: int, depthwise: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(1, 3, 3, 5) if depthwise else (5, 3, 3, 2)).astype(np.float32)
    axis = 3 if depthwise else 0
    integers, quantization = quantize_filter(weights, np.zeros(5, np.float32), 0.1, axis)
    assert integers.shape == weights.shape
    assert quantization.axis == axis
    assert (np.abs(np.moveaxis(integers, axis, 0).reshape(5, -1).astype(int)).max(1) == 127).all()
    scales = channel_scales(quantization, 4)
    assert (np.abs(integers * scales - weights) <= 0.5001 * scales).all()


def test_a_dead_channel_keeps_its_bias() -> None:
    weights = np.array([0.0, 0.0, 1e-12, 1.0], np.float32).reshape(4, 1, 1, 1)
    bias = np.array([0.0, 3.0, -3.0, 1e-3], np.float32)
    integers, quantization = quantize_filter(weights, bias, 0.05, 0)
    quantized = quantize_bias(bias, 0.05, quantization.scales)
    assert quantized.dtype == np.int32
    assert (np.abs(quantized.astype(np.int64)) <= 2**30 + 100).all()
    restored = quantized * 0.05 * np.array(quantization.scales)
    np.testing.assert_allclose(restored, bias, rtol=1e-6, atol=0.5 * 0.05 / 127)
    assert integers.ravel().tolist() == [0, 0, 0, 127]


def test_several_scales_are_not_one() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Quantization((1.0, 2.0), axis=0).quantize(np.zeros(2, np.float32))


def channel_scales(quantization: Quantization, rank: int) -> npt.NDArray[Any]:
    shape = [-1 if axis == quantization.axis else 1 for axis in range(rank)]
    return np.array(quantization.scales, np.float32).reshape(shape)

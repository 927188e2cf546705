"""From float to int8: ranges from real images, and the integers that stand for weights.

Rules: activations asymmetric int8; filters symmetric int8 with one scale for each output
channel; biases int32 with scale ``input scale · filter scale``. Source: "TensorFlow Lite
8-bit quantization specification".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from export.tflite.quantization import FloatArray, Quantization
from mcofa.errors import McofaError

_BATCH = 16
_LARGEST_BIAS = 2**30
_SCALE_BITS = 15


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest number that a value took."""

    low: float
    high: float


def calibrate(model: onnx.ModelProto, images: FloatArray, values: Sequence[str]) -> dict[str, Range]:
    """Run ``model`` on ``images``, (n, channels, height, width), and return the ranges of ``values``.

    ``values`` are names of the graph's inputs or node outputs. Runs on one thread, so that equal
    images give equal ranges.

    Raises:
        McofaError: no images, images of the wrong shape, or a value that is not finite.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    observer = _with_extremes(model, values)
    session = onnxruntime.InferenceSession(observer, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    batch_size, *sides = source.shape
    if images.ndim != 4 or not len(images) or list(images.shape[1:]) != sides:
        raise McofaError(
            f"calibration images have shape {images.shape}; the network takes images of shape {tuple(sides)}",
            "pass 16 to 256 preprocessed training images",
        )
    step = batch_size if isinstance(batch_size, int) else _BATCH
    extremes = np.array(
        [
            session.run(None, {source.name: np.ascontiguousarray(images[start : start + step], np.float32)})
            for start in range(0, len(images), step)
        ]
    )
    lows, highs = extremes[:, 0::2].min(0).tolist(), extremes[:, 1::2].max(0).tolist()
    ranges = {name: Range(low, high) for name, low, high in zip(values, lows, highs, strict=True)}
    for name, found in ranges.items():
        if not math.isfinite(found.low) or not math.isfinite(found.high):
            raise McofaError(
                f"{name} ranges from {found.low} to {found.high} on the calibration images",
                "look for NaN or infinite weights: `mcofa evaluate CHECKPOINT`; train again if there are any",
            )
    return ranges


def _with_extremes(model: onnx.ModelProto, values: Iterable[str]) -> bytes:
    """Return the model with two outputs for each value, its smallest and its largest number."""
    observer = onnx.ModelProto()
    observer.CopyFrom(model)
    del observer.graph.output[:]
    for index, value in enumerate(values):
        for op_type in ("ReduceMin", "ReduceMax"):
            output = f"{op_type}/{index}"
            observer.graph.node.append(helper.make_node(op_type, [value], [output], keepdims=0))
            observer.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    serialized: bytes = observer.SerializeToString()
    return serialized


def activation_quantization(found: Range) -> Quantization:
    """Return the asymmetric int8 quantization that covers ``found`` and holds 0 exactly.

    The scale is rounded up to 15 significant bits, for the sake of ``product_quantization``.
    """
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    fraction, exponent = math.frexp((high - low) / 255)
    scale = math.ldexp(math.ceil(math.ldexp(fraction, _SCALE_BITS)), exponent - _SCALE_BITS)
    scale = float(np.float32(scale)) or 1.0
    return _asymmetric(scale, low)


def product_quantization(first: Quantization, second: Quantization, found: Range) -> Quantization:
    """Return the quantization of the product of an activation and a gate, whose range is ``found``.

    MUL multiplies by ``first scale · second scale / output scale``, held as a 31-bit fraction and a
    shift. LiteRT computes that number in float and TFLM in double, which makes the fractions differ
    in their last bits, and now and then an output by one step. A gate's scale of 9 bits leaves the
    division as the only rounding; the returned scale is the next one up at which both fractions
    are equal, about 1 in 100 of the steps of a float. Source: Prepare in tflite/kernels/mul.cc
    of LiteRT 34ec5ba; CalculateOpDataMul in micro/kernels/mul_common.cc of TFLM 90b983c.
    """
    factor = first.scale * second.scale
    scale = np.float32(activation_quantization(found).scale)
    while _fixed_point(float(np.float32(factor) / scale)) != _fixed_point(factor / float(scale)):
        scale = np.nextafter(scale, np.float32(np.inf))
    return _asymmetric(float(scale), min(found.low, 0.0))


def _asymmetric(scale: float, low: float) -> Quantization:
    return Quantization((scale,), int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def _fixed_point(multiplier: float) -> tuple[int, int]:
    """Return a multiplier as both runtimes hold it: a 31-bit fraction and a shift."""
    fraction, shift = math.frexp(multiplier)
    return math.floor(fraction * 2**31 + 0.5), shift


def quantize_filter(
    filter_: FloatArray, bias: FloatArray, input_scale: float, axis: int
) -> tuple[npt.NDArray[np.int8], Quantization]:
    """Return the filter as int8 in [-127, 127] and its scales, one for each index of ``axis``.

    A channel whose weights are tiny beside its bias gets a scale at which the bias still fits int32.
    """
    other_axes = tuple(i for i in range(filter_.ndim) if i != axis)
    largest = np.abs(filter_).max(axis=other_axes).astype(np.float64)
    scales = np.maximum(largest / 127, np.abs(bias.astype(np.float64)) / (input_scale * _LARGEST_BIAS))
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(filter_.ndim)]
    integers = np.clip(np.rint(filter_ / scales.reshape(shape)), -127, 127).astype(np.int8)
    return integers, Quantization(tuple(scales.tolist()), 0, axis)


def quantize_bias(
    bias: FloatArray, input_scale: float, filter_scales: Sequence[float]
) -> npt.NDArray[np.int32]:
    """Return the bias as int32, with the scale of the products it is added to."""
    return np.rint(bias / (input_scale * np.array(filter_scales, np.float64))).astype(np.int32)

"""The child process that lets TensorFlow convert a network.

``python -m export.checks.tensorflow_check FOLDER GLOBAL_AVERAGE``: FOLDER holds ``network.onnx`` and
``images.npy``, the calibration images as ``export.convert.to_tflite`` takes them; ``network.tflite`` is
written beside them. GLOBAL_AVERAGE is that of the network's search space. A process of its own,
because TensorFlow and torch's compiler each bring an LLVM, and a process that loads both aborts.

The Keras twin has the layers that our own writer gets. What differs between the two files:

- A gate. No Keras layer says that int8 saturation is the clamp to [0, 1]. The twin's gate is 6
  times as large and clamped to [0, 6] by a fused RELU6, so the product is 6 times as large too,
  and the kernel that reads it a sixth. Over scales that are 6 times as large these are the same
  integers, but for the trace by which our scales are chosen
  (``export.convert.quantize.product_quantization``).
- Scales. TensorFlow's calibrator and rounding are its own, so that integers differ by a few steps.
- Bytes. TensorFlow writes names, minima, the scales of biases, and each quantization in full.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import onnx
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from export.convert.layers import Convolution, Layer, LayerList, read_layers
from export.tflite.quantization import FloatArray
from mcofa.graph import OpKind
from mcofa.space.search_space import GlobalAverage

_GATE_FACTOR = 6


def convert(network: LayerList, calibration_images: FloatArray) -> bytes:
    """Return ``network`` as a full int8 .tflite of TensorFlow's converter.

    Raises:
        ValueError: something other than a convolution reads a gated value.
    """
    twin = keras_twin(network)
    function = tf.function(lambda images: twin(images, training=False))
    signature = tf.TensorSpec(network.input_shape, tf.float32)
    # The converter's calibration cannot read the variables of Keras 3.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(signature))
    inputs = calibration_images.transpose(0, 2, 3, 1)
    if network.rotate_180:
        inputs = inputs[:, ::-1, ::-1]

    def representative_dataset() -> Iterator[list[FloatArray]]:
        return ([image[np.newaxis]] for image in inputs)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    data: bytes = converter.convert()
    return data


def keras_twin(network: LayerList) -> keras.Model:
    """Return the float network, NHWC, of the same layers; gates are 6 times as large.

    Raises:
        ValueError: something other than a convolution reads a gated value.
    """
    images = keras.Input(batch_shape=network.input_shape)
    values = {network.input: images}
    factors = {network.input: 1}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        factor = max(factors[name] for name in layer.inputs)
        if layer.convolution is not None:
            values[layer.output] = _convolve(layer.kind, layer.convolution, factor, inputs[0])
            factors[layer.output] = _GATE_FACTOR if layer.convolution.saturating_gate else 1
        elif factor == 1 or layer.kind is OpKind.MUL:
            source = inputs if len(inputs) > 1 else inputs[0]
            values[layer.output] = _keras_layer(layer, inputs[0].shape)(source)
            factors[layer.output] = factor
        else:
            raise ValueError(f"{layer.output}: {layer.kind} reads a gated value, which only convolutions may")
    return keras.Model(images, values[network.layers[-1].output])


def _convolve(kind: OpKind, convolution: Convolution, input_factor: int, source: Any) -> Any:
    """Add a convolution to the twin; its input is ``input_factor`` times what the network's is."""
    gate = convolution.saturating_gate
    factor = _GATE_FACTOR if gate else 1
    activation = "relu6" if gate else {"NONE": "linear", "RELU": "relu"}[convolution.activation]
    options = {"strides": convolution.stride, "padding": "same", "activation": activation}
    filter_ = convolution.filter * np.float32(factor / input_factor)
    kernel_size = filter_.shape[1:3]
    if kind is OpKind.DEPTHWISE_CONV_2D:
        layer = keras.layers.DepthwiseConv2D(kernel_size, **options)
    else:
        layer = keras.layers.Conv2D(len(filter_), kernel_size, **options)
    result = layer(source)
    layer.set_weights([filter_.transpose(1, 2, 3, 0), convolution.bias * np.float32(factor)])
    return result


def _keras_layer(layer: Layer, source_shape: tuple[int, ...]) -> keras.Layer:
    match layer.kind:
        case OpKind.HARD_SWISH:
            return keras.layers.Activation("hard_silu")
        case OpKind.AVERAGE_POOL_2D:
            return keras.layers.AveragePooling2D(source_shape[1:3], strides=1)
        case OpKind.MEAN:
            return keras.layers.GlobalAveragePooling2D(keepdims=True)
        case OpKind.ADD:
            return keras.layers.Add()
        case OpKind.MUL:
            return keras.layers.Multiply()
        case _:
            raise ValueError(f"{layer.output}: no Keras layer is known for {layer.kind}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    network = read_layers(onnx.load(folder / "network.onnx"), cast(GlobalAverage, sys.argv[2]))
    (folder / "network.tflite").write_bytes(convert(network, np.load(folder / "images.npy")))

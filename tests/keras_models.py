"""Small networks as people build them with Keras, converted to int8 as its guides show.

``converted(name, batch)`` with ``batch`` None is Keras' default: the converter then writes SHAPE,
STRIDED_SLICE and PACK before each reshape. With 1 the shapes are fixed. Tests run this as a program, so that
TensorFlow stays out of their process: ``python keras_models.py FOLDER default|fixed [EVERY]`` writes each
EVERYth network as NAME.tflite.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L  # noqa: N812

IMAGE, GREY, SERIES, VECTOR = (24, 24, 3), (28, 28, 1), (32, 6), (20,)
Body = Callable[..., Any]


def _classes(x: Any, classes: int = 4) -> Any:
    return L.Dense(classes, activation="softmax")(x)


def _flat(x: Any) -> Any:
    return _classes(L.Flatten()(x))


def _mean(x: Any) -> Any:
    return _classes(L.GlobalAveragePooling2D()(x))


def _convolution(x: Any, width: int, **options: Any) -> Any:
    options = {"padding": "same", "use_bias": False} | options
    return L.ReLU()(L.BatchNormalization()(L.Conv2D(width, 3, **options)(x)))


def _separable(x: Any, width: int, strides: int = 1) -> Any:
    x = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, strides, "same", use_bias=False)(x)))
    return L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(width, 1, use_bias=False)(x)))


def _residual(x: Any) -> Any:
    y = _convolution(x, 8)
    return L.ReLU()(L.Add()([x, L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(y))]))


def _inverted(x: Any) -> Any:
    y = _convolution(x, 24, activation=None)
    y = L.DepthwiseConv2D(3, padding="same", activation="hard_swish")(y)
    gate = L.GlobalAveragePooling2D(keepdims=True)(y)
    gate = L.Conv2D(24, 1, activation="hard_sigmoid")(L.Conv2D(8, 1, activation="relu")(gate))
    return L.Add()([x, L.Conv2D(8, 1)(L.Multiply()([y, gate]))])


def _inception(x: Any) -> Any:
    pooled = L.Conv2D(4, 1)(L.MaxPooling2D(3, 1, "same")(x))
    return L.Concatenate()([L.Conv2D(4, 1)(x), L.Conv2D(4, 3, padding="same")(x), pooled])


def _unet(x: Any) -> Any:
    first = _convolution(x, 4)
    low = _convolution(L.MaxPooling2D(2)(first), 8)
    high = L.Concatenate()([L.UpSampling2D()(low), first])
    return L.Conv2D(2, 1, activation="softmax")(_convolution(high, 4))


def _attention(x: Any) -> Any:
    return _classes(L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 4)(x, x)))


def _split(x: Any) -> Any:
    first, second = x[..., :3], x[..., 3:]
    return _flat(L.Concatenate()([L.Conv1D(4, 3)(first), L.Conv1D(4, 3)(second)]))


def _residual_series(x: Any) -> Any:
    y = L.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    return _classes(L.GlobalMaxPooling1D()(L.Add()([y, L.Conv1D(8, 1)(x)])))


ONE_INPUT: dict[str, tuple[tuple[int, ...], Body]] = {
    "dense": (VECTOR, lambda x: _classes(L.Dense(16, activation="relu")(x))),
    "dense_dropout": (VECTOR, lambda x: _classes(L.Dropout(0.2)(L.Dense(16, "relu")(x)))),
    "dense_tanh": (VECTOR, lambda x: _classes(L.Dense(8, "tanh")(x))),
    "dense_sigmoid": (VECTOR, lambda x: L.Dense(1, "sigmoid")(L.Dense(8, "relu")(x))),
    "dense_elu": (VECTOR, lambda x: _classes(L.Dense(8, "elu")(x))),
    "dense_regression": (VECTOR, lambda x: L.Dense(1)(L.Dense(8, "relu")(x))),
    "autoencoder": (VECTOR, lambda x: L.Dense(20)(L.Dense(4, "relu")(x))),
    "flatten_image": (GREY, lambda x: _classes(L.Dense(8, "relu")(L.Flatten()(x)))),
    "convolution_flatten": (GREY, lambda x: _flat(L.MaxPooling2D(2)(L.Conv2D(4, 3, activation="relu")(x)))),
    "convolution_mean": (IMAGE, lambda x: _mean(_convolution(x, 8, strides=2))),
    "convolution_valid": (IMAGE, lambda x: _mean(_convolution(x, 6, padding="valid", strides=2))),
    "convolution_dilated": (GREY, lambda x: _mean(_convolution(x, 6, dilation_rate=2))),
    "convolution_max": (IMAGE, lambda x: _classes(L.GlobalMaxPooling2D()(_convolution(x, 8)))),
    "average_pool": (IMAGE, lambda x: _flat(L.AveragePooling2D(2)(_convolution(x, 4)))),
    "separable": (IMAGE, lambda x: _mean(_separable(_convolution(x, 8, strides=2), 12))),
    "separable_layer": (GREY, lambda x: _flat(L.SeparableConv2D(6, 3, activation="relu")(x))),
    "depth_multiplier": (GREY, lambda x: _mean(L.DepthwiseConv2D(3, depth_multiplier=4)(x))),
    "residual": (IMAGE, lambda x: _mean(_residual(_convolution(x, 8)))),
    "inverted_residual": (IMAGE, lambda x: _mean(_inverted(_convolution(x, 8, strides=2)))),
    "inception": (IMAGE, lambda x: _mean(_inception(_convolution(x, 8)))),
    "zero_padding": (IMAGE, lambda x: _mean(L.Conv2D(6, 3, strides=2)(L.ZeroPadding2D()(x)))),
    "cropping": (GREY, lambda x: _flat(L.Cropping2D(4)(L.Conv2D(4, 3)(x)))),
    "leaky": (IMAGE, lambda x: _mean(L.LeakyReLU()(L.Conv2D(8, 3)(x)))),
    "prelu": (IMAGE, lambda x: _mean(L.PReLU(shared_axes=[1, 2])(L.Conv2D(8, 3)(x)))),
    "swish": (IMAGE, lambda x: _mean(L.Conv2D(8, 3, activation="swish")(x))),
    "hard_swish": (IMAGE, lambda x: _mean(L.Conv2D(8, 3, activation="hard_swish")(x))),
    "upsampling": (GREY, lambda x: L.Conv2D(1, 3, padding="same")(L.UpSampling2D()(L.MaxPooling2D(2)(x)))),
    "upsampling_bilinear": (GREY, lambda x: L.Conv2D(1, 3)(L.UpSampling2D(interpolation="bilinear")(x))),
    "transposed": (GREY, lambda x: L.Conv2DTranspose(2, 3, 2, "same")(L.Conv2D(4, 3, 2, "same")(x))),
    "segmentation": (IMAGE, _unet),
    "detection_grid": (IMAGE, lambda x: L.Conv2D(3, 1, activation="softmax")(_convolution(x, 8, strides=2))),
    "permuted": (IMAGE, lambda x: _flat(L.Permute((3, 1, 2))(L.Conv2D(4, 3, 2)(x)))),
    "reshaped": (VECTOR, lambda x: _flat(L.Conv1D(4, 3)(L.Reshape((10, 2))(x)))),
    "series": (SERIES, lambda x: _flat(L.Conv1D(8, 3, activation="relu")(x))),
    "series_pooled": (SERIES, lambda x: _flat(L.MaxPooling1D()(L.Conv1D(8, 3, activation="relu")(x)))),
    "series_mean": (SERIES, lambda x: _classes(L.GlobalAveragePooling1D()(L.Conv1D(8, 3)(x)))),
    "series_dilated": (SERIES, _residual_series),
    "series_split": (SERIES, _split),
    "attention": (SERIES, _attention),
    "unrolled_gru": (
        (6, 4),
        lambda x: _classes(L.GRU(6, unroll=True, reset_after=False)(x)),
    ),
}
OTHERS = ("two_inputs", "two_outputs")
NAMES = (*ONE_INPUT, *OTHERS)


def keras_model(name: str, batch: int | None) -> Any:
    """Return the network ``name``, with random weights that are always the same."""
    keras.utils.set_random_seed(0)
    if name == "two_inputs":
        image, vector = (
            L.Input(shape, batch_size=batch, name=given)
            for shape, given in ((GREY, "image"), (VECTOR, "vector"))
        )
        features = L.Concatenate()([L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(image)), L.Dense(4)(vector)])
        return keras.Model([image, vector], _classes(features))
    if name == "two_outputs":
        image = L.Input(IMAGE, batch_size=batch)
        features = L.GlobalAveragePooling2D()(_convolution(image, 8))
        return keras.Model(image, [_classes(features), L.Dense(1, "sigmoid")(features)])
    shape, body = ONE_INPUT[name]
    source = L.Input(shape, batch_size=batch)
    return keras.Model(source, body(source))


def converted(name: str, batch: int | None) -> bytes:
    """Return the network ``name`` as an int8 .tflite file with int8 inputs and outputs."""
    model = keras_model(name, batch)
    rng = np.random.default_rng(0)

    def samples() -> Iterator[dict[str, Any]]:
        """By name: the converter may change the order of inputs."""
        for _ in range(8):
            yield {
                source.name: rng.normal(size=(1, *source.shape[1:])).astype(np.float32)
                for source in model.inputs
            }

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    data: bytes = converter.convert()
    return data


def main() -> None:
    """Write networks into a folder."""
    folder, form, *every = sys.argv[1:]
    for name in NAMES[:: int(every[0]) if every else 1]:
        (Path(folder) / f"{name}.tflite").write_bytes(converted(name, 1 if form == "fixed" else None))


if __name__ == "__main__":
    main()

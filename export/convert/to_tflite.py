"""ONNX → int8 .tflite, in one call.

The file holds exactly the graph that ``mcofa.lowering.lower`` predicts for the network's
arch: same tensors, same ops, same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from export.convert.layers import Convolution, Layer, LayerList, Shape, read_layers
from export.convert.quantize import (
    Range,
    activation_quantization,
    calibrate,
    product_quantization,
    quantize_bias,
    quantize_filter,
)
from export.tflite.quantization import FloatArray, Quantization
from export.tflite.write import QuantizedGraph, write_tflite
from mcofa.graph import MEAN_AXES, DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import GLOBAL_AVERAGES
from mcofa.space.search_space import GlobalAverage

GATE = Quantization((257 / 65536,), -128)
"""Quantization of a gate: the int8 values cover [0, 1] (but for 1/65536), so that saturation is the
hard sigmoid's clamp. The scale's 9 bits let LiteRT and TFLM agree: see ``product_quantization``."""


@dataclass(frozen=True, slots=True)
class TfliteModel:
    """An int8 .tflite file.

    Images go in as NHWC int8 under ``input_quantization``, rotated by 180° with ``rotate_180``;
    logits come out as (1, 1, 1, classes) int8 under ``output_quantization``. ``op_kinds`` are
    the kinds of ops used, sorted.
    """

    data: bytes
    input_quantization: Quantization
    output_quantization: Quantization
    op_kinds: tuple[OpKind, ...]
    rotate_180: bool


def to_tflite(
    model: onnx.ModelProto, calibration_images: FloatArray, global_average: GlobalAverage = "average_pool"
) -> TfliteModel:
    """Return ``model`` as an int8 .tflite, activations ranging over what the calibration images need.

    ``calibration_images`` is float32 (n, channels, height, width), preprocessed as in training;
    ``global_average`` is that of the network's search space.

    Raises:
        UnsupportedOpError: a node that no layer stands for; names it and its op type.
        McofaError: the model is no image classifier, or the images do not fit it.
    """
    network = read_layers(model, global_average)
    ranges = calibrate(model, calibration_images, observed_values(network))
    return to_tflite_with_ranges(network, ranges)


def to_tflite_with_ranges(network: LayerList, ranges: Mapping[str, Range]) -> TfliteModel:
    """Return the int8 .tflite of ``network`` with the given ``ranges`` of its ``observed_values``."""
    quantized = quantize_network(network, ranges)
    first, last = quantized.quantizations[0], quantized.quantizations[-1]
    assert first is not None
    assert last is not None
    kinds = tuple(sorted({op.kind for op in quantized.graph.ops}))
    return TfliteModel(write_tflite(quantized), first, last, kinds, network.rotate_180)


def observed_values(network: LayerList) -> tuple[str, ...]:
    """Return the values whose ranges must be known: all but gates and averages, whose ranges follow."""
    observed = (layer.output for layer in network.layers if not _is_gate(layer) and not _is_average(layer))
    return (network.input, *observed)


def quantize_network(network: LayerList, ranges: Mapping[str, Range]) -> QuantizedGraph:
    """Return the int8 graph of ``network``: each op's constants, then its output.

    An average has the quantization of what it averages: AVERAGE_POOL_2D can have no other, and MEAN,
    which could, gives the same values then.
    """
    graph = _GraphBuilder(network.input, network.input_shape, activation_quantization(ranges[network.input]))
    for layer in network.layers:
        if _is_gate(layer):
            graph.add_layer(layer, GATE)
        elif _is_average(layer):
            graph.add_layer(layer, graph.quantization_of(layer.inputs[0]))
        elif layer.kind is OpKind.MUL:
            first, second = map(graph.quantization_of, layer.inputs)
            graph.add_layer(layer, product_quantization(first, second, ranges[layer.output]))
        else:
            graph.add_layer(layer, activation_quantization(ranges[layer.output]))
    return graph.finish()


def _is_gate(layer: Layer) -> bool:
    return layer.convolution is not None and layer.convolution.saturating_gate


def _is_average(layer: Layer) -> bool:
    return layer.kind in GLOBAL_AVERAGES.values()


class _GraphBuilder:
    """Numbers tensors as they are added."""

    def __init__(self, name: str, shape: Shape, quantization: Quantization) -> None:
        self.tensors = [Tensor(shape)]
        self.quantizations: list[Quantization | None] = [quantization]
        self.constants: dict[int, npt.NDArray[Any]] = {}
        self.ops: list[Op] = []
        self.index_of = {name: 0}

    def quantization_of(self, value: str) -> Quantization:
        quantization = self.quantizations[self.index_of[value]]
        assert quantization is not None
        return quantization

    def add_layer(self, layer: Layer, quantization: Quantization) -> None:
        inputs = tuple(self.index_of[name] for name in layer.inputs)
        if layer.convolution is not None:
            source = self.quantization_of(layer.inputs[0])
            inputs += self._add_constants(layer.kind, layer.convolution, source)
        elif layer.kind is OpKind.MEAN:
            inputs += (self._add_tensor(MEAN_AXES, None, np.array([1, 2], np.int32)),)
        output = self._add_tensor(Tensor(layer.shape), quantization)
        self.index_of[layer.output] = output
        self.ops.append(Op(layer.kind, inputs, (output,), **self._options(layer, inputs[0])))

    def finish(self) -> QuantizedGraph:
        graph = Graph(tuple(self.tensors), tuple(self.ops), (0,), self.ops[-1].outputs)
        return QuantizedGraph(graph, tuple(self.quantizations), self.constants)

    def _add_constants(self, kind: OpKind, convolution: Convolution, source: Quantization) -> tuple[int, int]:
        axis = 3 if kind is OpKind.DEPTHWISE_CONV_2D else 0
        filter_, scales = quantize_filter(convolution.filter, convolution.bias, source.scale, axis)
        bias = quantize_bias(convolution.bias, source.scale, scales.scales)
        width = len(scales.scales)
        return (
            self._add_tensor(Tensor(filter_.shape, DType.INT8, True, scales=width), scales, filter_),
            self._add_tensor(Tensor(bias.shape, DType.INT32, True, scales=0), None, bias),
        )

    def _add_tensor(
        self, tensor: Tensor, quantization: Quantization | None, data: npt.NDArray[Any] | None = None
    ) -> int:
        self.tensors.append(tensor)
        self.quantizations.append(quantization)
        index = len(self.tensors) - 1
        if data is not None:
            self.constants[index] = data
        return index

    def _options(self, layer: Layer, source: int) -> dict[str, Any]:
        if layer.convolution is not None:
            return {"stride": layer.convolution.stride, "activation": layer.convolution.activation}
        if layer.kind is OpKind.AVERAGE_POOL_2D:
            _, rows, columns, _ = self.tensors[source].shape
            return {"window": (rows, columns), "padding": "VALID"}
        return {}

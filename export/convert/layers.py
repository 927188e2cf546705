"""ONNX → the list of layers that the int8 writer knows.

Every ONNX node matches one rule below or is refused by name. Shapes turn from NCHW into
NHWC and weights into TFLite's layouts here, and nothing later sees ONNX.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from export.convert.padding import rotations_to_same, same_padding
from export.tflite.quantization import FloatArray
from mcofa.errors import McofaError, UnsupportedOpError
from mcofa.graph import OpKind
from mcofa.lowering import GLOBAL_AVERAGES
from mcofa.space.search_space import GlobalAverage

Shape = tuple[int, int, int, int]

_NEXT_STEP = "export a network of a mcofa search space with `mcofa export`; other ONNX files are refused"


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """What a convolution layer has besides its place in the network.

    ``filter`` is (C_out, h, w, C_in), for a depthwise convolution (1, h, w, C); ``bias`` is
    (C_out,). ``stride`` is (height, width), padding is always SAME. A ``saturating_gate``
    has its hard sigmoid folded into filter and bias, less the clamp to [0, 1].
    """

    filter: FloatArray
    bias: FloatArray
    stride: tuple[int, int]
    activation: str = "NONE"
    saturating_gate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One op of the device's network: the values it reads and writes, by ONNX name, and its NHWC output."""

    kind: OpKind
    inputs: tuple[str, ...]
    output: str
    shape: Shape
    convolution: Convolution | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LayerList:
    """A network as layers in execution order; the last one's output is the network's.

    With ``rotate_180`` its kernels are those of the ONNX model rotated by 180°: it reads images
    rotated by 180°, its images in between are rotated, and its logits are the same.
    """

    input: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    rotate_180: bool


def read_layers(model: onnx.ModelProto, global_average: GlobalAverage = "average_pool") -> LayerList:
    """Return the layers of an ONNX model as ``export.convert.to_onnx`` writes it.

    ``global_average`` is that of the model's search space: an ONNX model has one op for both kinds.
    Where its convolutions pad by kernel_size // 2 on every side, they are rotated so that they
    pad as SAME (see ``export.convert.padding``).

    Raises:
        UnsupportedOpError: a node that no layer stands for; names it and its op type.
        McofaError: the model does not map one image batch to one vector of logits.
    """
    reader = _Reader(model.graph, GLOBAL_AVERAGES[global_average])
    for node in model.graph.node:
        reader.read(node)
    return reader.finish()


class _Reader:
    """Holds the layers read so far; one method for each ONNX op type."""

    def __init__(self, graph: onnx.GraphProto, average_kind: OpKind) -> None:
        self.average_kind = average_kind
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.uses = Counter(name for node in graph.node for name in node.input)
        self.outputs = [value.name for value in graph.output]
        self.layers: list[Layer] = []
        self.input, shape = _only_input(graph, self.constants)
        self.shapes: dict[str, Shape] = {self.input: shape}
        self.rotations = frozenset({False, True})
        self.logits = ""

    def read(self, node: onnx.NodeProto) -> None:
        rule = _RULES.get(node.op_type) if not node.domain else None
        if rule is None:
            _refuse(node, f"is none of {', '.join(_RULES)}")
        if self.logits:
            _refuse(node, "follows the logits")
        if len(node.output) != 1:
            _refuse(node, f"has {len(node.output)} outputs")
        rule(self, node)

    def finish(self) -> LayerList:
        last = self.layers[-1] if self.layers else None
        if last is None or last.shape[1:3] != (1, 1) or self.outputs != [self.logits or last.output]:
            raise McofaError(
                f"the ONNX model's outputs are {self.outputs}; one vector of logits, made last, is needed",
                _NEXT_STEP,
            )
        unread = [layer.output for layer in self.layers[:-1] if not self.uses[layer.output]]
        if unread:
            raise McofaError(f"nothing in the ONNX model reads {', '.join(unread)}", _NEXT_STEP)
        rotate = False not in self.rotations
        layers = map(_rotated, self.layers) if rotate else self.layers
        return LayerList(self.input, self.shapes[self.input], tuple(layers), rotate)

    def conv(self, node: onnx.NodeProto) -> None:
        source = self._shape(node, 0)
        weight = self._constant(node, 1)
        bias = self._constant(node, 2) if len(node.input) > 2 else np.zeros(weight.shape[0], np.float32)
        groups = _attributes(node).get("group", 1)
        depthwise = groups > 1
        if weight.ndim != 4 or weight.shape[1] * groups != source[3] or bias.shape != weight.shape[:1]:
            _refuse(node, f"has filter {weight.shape}, bias {bias.shape}, {groups} groups, input {source[3]}")
        if depthwise and not groups == source[3] == weight.shape[0]:
            _refuse(node, f"has {groups} groups for {source[3]} → {len(weight)} channels; known: 1 or all")
        stride = self._same_stride(node, (source[1], source[2]), (weight.shape[2], weight.shape[3]))
        filter_ = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        self._add(
            OpKind.DEPTHWISE_CONV_2D if depthwise else OpKind.CONV_2D,
            node,
            (1, -(-source[1] // stride[0]), -(-source[2] // stride[1]), weight.shape[0]),
            Convolution(np.ascontiguousarray(filter_), bias, stride),
        )

    def relu(self, node: onnx.NodeProto) -> None:
        """Fuse into the convolution before."""
        self._fuse(node, lambda convolution: replace(convolution, activation="RELU"))

    def hard_sigmoid(self, node: onnx.NodeProto) -> None:
        """Fold alpha·x + beta into the convolution before; int8 saturation is the clamp to [0, 1]."""
        attributes = _attributes(node)
        alpha, beta = np.float32(attributes.get("alpha", 0.2)), np.float32(attributes.get("beta", 0.5))
        self._fuse(
            node,
            lambda convolution: replace(
                convolution,
                filter=convolution.filter * alpha,
                bias=convolution.bias * alpha + beta,
                saturating_gate=True,
            ),
        )

    def hard_swish(self, node: onnx.NodeProto) -> None:
        self._add(OpKind.HARD_SWISH, node, self._shape(node, 0))

    def global_average(self, node: onnx.NodeProto) -> None:
        source = self._shape(node, 0)
        if node.op_type == "ReduceMean":
            rank = len(source)
            axes = sorted(int(axis) % rank for axis in self._constant(node, 1)) if len(node.input) > 1 else []
            if axes != [2, 3] or not _attributes(node).get("keepdims", 1):
                _refuse(node, f"averages over axes {axes}; only height and width, kept as 1, are known")
        self._add(self.average_kind, node, (1, 1, 1, source[3]))

    def add(self, node: onnx.NodeProto) -> None:
        first, second = self._in_order_of_production(node)
        if self.shapes[first] != self.shapes[second]:
            _refuse(node, f"adds {self.shapes[first]} and {self.shapes[second]} (NHWC); shapes must be equal")
        self._add(OpKind.ADD, node, self.shapes[first], inputs=(first, second))

    def mul(self, node: onnx.NodeProto) -> None:
        hidden, gate = self._in_order_of_production(node)
        if self.shapes[gate] != (1, 1, 1, self.shapes[hidden][3]):
            _refuse(node, f"multiplies {self.shapes[hidden]} by {self.shapes[gate]} (NHWC), which is no gate")
        self._add(OpKind.MUL, node, self.shapes[hidden], inputs=(hidden, gate))

    def flatten(self, node: onnx.NodeProto) -> None:
        """Accept what only drops the two sides of length 1 at the very end."""
        shape = self._shape(node, 0)
        if shape[1:3] != (1, 1) or node.input[0] != self._produced()[-1] or [node.output[0]] != self.outputs:
            _refuse(node, f"reshapes {shape} (NHWC); only the classifier's output may be reshaped")
        self.logits = node.output[0]

    def _same_stride(
        self, node: onnx.NodeProto, sides: tuple[int, int], kernel: tuple[int, int]
    ) -> tuple[int, int]:
        """Return the stride of a convolution that SAME can stand for, as for those before; refuse others."""
        attributes = _attributes(node)
        strides = tuple(attributes.get("strides", (1, 1)))
        if set(attributes.get("dilations", (1, 1))) != {1}:
            _refuse(node, f"has dilations {attributes['dilations']}; known: 1")
        pads = list(attributes.get("pads", (0, 0, 0, 0)))
        if attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and len(pads) == 4:
            for window in zip(sides, kernel, strides, (pads[0::2], pads[1::2]), strict=True):
                self.rotations &= rotations_to_same(*window)
        else:
            self.rotations = frozenset()
        if not self.rotations:
            befores, afters = zip(*map(same_padding, sides, kernel, strides), strict=True)
            _refuse(
                node,
                f"has padding {pads}; known: TensorFlow's SAME, which is {[*befores, *afters]} here, "
                "or kernel size // 2 on every side, one of the two in the whole network",
            )
        return strides

    def _shape(self, node: onnx.NodeProto, position: int) -> Shape:
        name = node.input[position] if position < len(node.input) else ""
        if name not in self.shapes:
            _refuse(node, f"reads {name!r}, which is no earlier layer's output")
        return self.shapes[name]

    def _constant(self, node: onnx.NodeProto, position: int) -> npt.NDArray[Any]:
        name = node.input[position]
        if name not in self.constants:
            _refuse(node, f"reads {name!r}, which is no constant")
        return numpy_helper.to_array(self.constants[name])

    def _in_order_of_production(self, node: onnx.NodeProto) -> tuple[str, str]:
        for position in (0, 1):
            self._shape(node, position)
        first, second = sorted(node.input, key=self._produced().index)
        return first, second

    def _produced(self) -> list[str]:
        return [self.input, *(layer.output for layer in self.layers)]

    def _add(
        self,
        kind: OpKind,
        node: onnx.NodeProto,
        shape: Shape,
        convolution: Convolution | None = None,
        inputs: tuple[str, ...] | None = None,
    ) -> None:
        output = node.output[0]
        self.layers.append(Layer(kind, inputs or (node.input[0],), output, shape, convolution))
        self.shapes[output] = shape

    def _fuse(self, node: onnx.NodeProto, change: Callable[[Convolution], Convolution]) -> None:
        source, output = node.input[0], node.output[0]
        index = next((i for i, layer in enumerate(self.layers) if layer.output == source), -1)
        convolution = self.layers[index].convolution if index >= 0 else None
        if convolution is None or convolution.activation != "NONE" or convolution.saturating_gate:
            _refuse(node, f"reads {source!r}, which is no convolution's plain output")
        if self.uses[source] != 1 or source in self.outputs:
            _refuse(node, f"cannot be fused: {source!r} is read elsewhere too")
        self.layers[index] = replace(self.layers[index], output=output, convolution=change(convolution))
        self.shapes[output] = self.shapes.pop(source)


_RULES: Mapping[str, Callable[[_Reader, onnx.NodeProto], None]] = {
    "Conv": _Reader.conv,
    "Relu": _Reader.relu,
    "HardSigmoid": _Reader.hard_sigmoid,
    "HardSwish": _Reader.hard_swish,
    "ReduceMean": _Reader.global_average,
    "GlobalAveragePool": _Reader.global_average,
    "Add": _Reader.add,
    "Mul": _Reader.mul,
    "Flatten": _Reader.flatten,
    "Reshape": _Reader.flatten,
    "Squeeze": _Reader.flatten,
}


def _only_input(graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto]) -> tuple[str, Shape]:
    inputs = [value for value in graph.input if value.name not in constants]
    sizes = [tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in inputs]
    if len(inputs) != 1 or len(sizes[0]) != 4 or sizes[0][0] > 1 or min(sizes[0][1:]) <= 0:
        named = ", ".join(f"{value.name} {size}" for value, size in zip(inputs, sizes, strict=True))
        raise McofaError(f"the ONNX model's inputs are {named}; one batch of images is needed", _NEXT_STEP)
    _, channels, rows, columns = sizes[0]
    return inputs[0].name, (1, rows, columns, channels)


def _rotated(layer: Layer) -> Layer:
    convolution = layer.convolution
    if convolution is None:
        return layer
    filter_ = np.ascontiguousarray(convolution.filter[:, ::-1, ::-1])
    return replace(layer, convolution=replace(convolution, filter=filter_))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _refuse(node: onnx.NodeProto, reason: str) -> NoReturn:
    raise UnsupportedOpError(f"ONNX node {node.name!r} ({node.op_type}) {reason}", _NEXT_STEP)

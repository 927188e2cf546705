"""ONNX networks of archs, node for node as torch's exporter writes them, without torch.

Nothing here looks at ``mcofa.lowering``: the networks follow the definition of the torch module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mcofa.space.arch import Arch
from mcofa.space.blocks import Activation, hidden_width, squeeze_width
from mcofa.space.resolution import Resolution, size_of
from mcofa.space.search_space import SearchSpace

OPSET = 20


def generated_onnx(space: SearchSpace, arch: Arch, rng: np.random.Generator) -> onnx.ModelProto:
    """The network of ``arch`` with random weights; batch norms are folded into biases."""
    net = _Network(space, arch.resolution, rng)
    stem, head = space.stem, space.head
    net.conv_block(stem.width, 3, stem.stride, activation=stem.activation)
    if stem.first_block_width and stem.first_block_activation:
        net.inverted_residual(stem.width, stem.first_block_width, 3, 1, stem.first_block_activation, False)
    for stage, kernels, expands in zip(space.stages, arch.kernel_sizes, arch.expand_ratios, strict=True):
        for block, (kernel, expand) in enumerate(zip(kernels, expands, strict=True)):
            stride = stage.stride if block == 0 else 1
            if stage.block == "ds":
                assert expand == 1
                net.conv_block(net.width, kernel, stride, net.width, stage.activation)
                if stage.squeeze_excite:
                    net.squeeze_excite()
                net.conv_block(stage.width, activation=stage.activation)
                continue
            hidden = hidden_width(net.width, expand)
            net.inverted_residual(hidden, stage.width, kernel, stride, stage.activation, stage.squeeze_excite)
    if head.final_expand_width:
        net.conv_block(head.final_expand_width, activation=head.activation)
    net.global_average()
    if head.feature_width:
        net.conv(head.feature_width, bias=False)
        net.activate(head.activation)
    net.conv(space.classes)
    return net.finish(space.classes)


class _Network:
    """A chain of nodes; ``value`` is the last one's output, ``size`` and ``width`` are its shape."""

    def __init__(self, space: SearchSpace, resolution: Resolution, rng: np.random.Generator) -> None:
        self.rng, self.symmetric = rng, space.padding == "symmetric"
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.value, self.size, self.width = "images", size_of(resolution), space.input_channels
        self.images_shape = ("n", space.input_channels, *self.size)
        self.sides = self._constant(np.array([2, 3]))

    def finish(self, classes: int) -> onnx.ModelProto:
        self._node(
            "Reshape", self.value, self._constant(np.array([-1, classes])), output="logits", allowzero=1
        )
        graph = helper.make_graph(
            self.nodes,
            "generated",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, self.images_shape)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("n", classes))],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model)
        return model

    def conv_block(
        self,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        self.conv(width, kernel, stride, groups)
        self.activate(activation)

    def inverted_residual(
        self, hidden: int, width: int, kernel: int, stride: int, activation: Activation, squeeze_excite: bool
    ) -> None:
        source, source_width = self.value, self.width
        if hidden != source_width:
            self.conv_block(hidden, activation=activation)
        self.conv_block(hidden, kernel, stride, hidden, activation)
        if squeeze_excite:
            self.squeeze_excite()
        self.conv_block(width)
        if stride == 1 and width == source_width:
            self._node("Add", source, self.value)

    def squeeze_excite(self) -> None:
        value, size, width = self.value, self.size, self.width
        self.global_average()
        self.conv(squeeze_width(width))
        self._node("Relu", self.value)
        self.conv(width)
        self._node("HardSigmoid", self.value, alpha=1 / 6, beta=0.5)
        self._node("Mul", value, self.value)
        self.size = size

    def global_average(self) -> None:
        self._node("ReduceMean", self.value, self.sides, keepdims=1, noop_with_empty_axes=0)
        self.size = 1, 1

    def activate(self, activation: Activation | None) -> None:
        if activation is not None:
            self._node({"relu": "Relu", "hard_swish": "HardSwish"}[activation], self.value)

    def conv(self, width: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True) -> None:
        weights = self.rng.normal(size=(width, self.width // groups, kernel, kernel)).astype(np.float32)
        constants = [self._constant(weights)]
        if bias:
            constants.append(self._constant(self.rng.normal(size=width).astype(np.float32)))
        outputs = tuple(-(-side // stride) for side in self.size)
        padding = [
            max((output - 1) * stride + kernel - side, 0)
            for output, side in zip(outputs, self.size, strict=True)
        ]
        before, after = [total // 2 for total in padding], [total - total // 2 for total in padding]
        if self.symmetric:
            before = after = [kernel // 2] * 2
        self._node(
            "Conv",
            self.value,
            *constants,
            group=groups,
            pads=[*before, *after],
            auto_pad="NOTSET",
            strides=[stride, stride],
            dilations=[1, 1],
            kernel_shape=[kernel, kernel],
        )
        self.size, self.width = outputs, width

    def _node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> None:
        self.value = output or f"value_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [self.value], name=f"node_{len(self.nodes)}", **attributes)
        )

    def _constant(self, array: np.ndarray[Any, Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

"""Which ONNX nodes become which layers, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convert.layers import read_layers
from mcofa.errors import McofaError, UnsupportedOpError
from mcofa.graph import OpKind

RNG = np.random.default_rng(0)
CONSTANTS = {
    "full": RNG.normal(size=(4, 2, 3, 3)).astype(np.float32),
    "depthwise": RNG.normal(size=(4, 1, 3, 3)).astype(np.float32),
    "grouped": RNG.normal(size=(4, 2, 3, 3)).astype(np.float32),
    "one": RNG.normal(size=(4, 4, 1, 1)).astype(np.float32),
    "bias": RNG.normal(size=4).astype(np.float32),
    "sides": np.array([2, 3]),
    "channels": np.array([1]),
    "shape": np.array([0, 4]),
}
STEM = ("Conv", "x full bias", "a", {"pads": [1, 1, 1, 1]})
TAIL = [("GlobalAveragePool", "a", "mean", {}), ("Flatten", "mean", "y", {})]
Node = tuple[str, str, str, dict[str, Any]]


def model(
    nodes: list[Node], output: str = "y", input_shape: tuple[Any, ...] = ("n", 2, 6, 6)
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node(op, inputs.split(), out.split(), name=f"{op}/{out}", **attributes)
            for op, inputs, out, attributes in nodes
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_a_squeeze_excite_block_becomes_four_ops() -> None:
    network = read_layers(
        model(
            [
                ("Conv", "x full", "a0", {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
                ("Relu", "a0", "a", {}),
                ("Conv", "a depthwise", "d", {"pads": [1, 1, 1, 1], "group": 4}),
                ("HardSwish", "d", "hidden", {}),
                ("ReduceMean", "hidden sides", "m", {"keepdims": 1}),
                ("Conv", "m one bias", "s0", {}),
                ("Relu", "s0", "s", {}),
                ("Conv", "s one bias", "g0", {}),
                ("HardSigmoid", "g0", "gate", {"alpha": 1 / 6, "beta": 0.5}),
                ("Mul", "gate hidden", "scaled", {}),
                ("Conv", "scaled one", "projected", {}),
                ("Add", "projected a", "sum", {}),
                ("GlobalAveragePool", "sum", "average", {}),
                ("Reshape", "average shape", "y", {}),
            ]
        )
    )
    assert (network.input, network.input_shape) == ("x", (1, 6, 6, 2))
    assert [(layer.kind, layer.inputs, layer.output, layer.shape) for layer in network.layers] == [
        (OpKind.CONV_2D, ("x",), "a", (1, 3, 3, 4)),
        (OpKind.DEPTHWISE_CONV_2D, ("a",), "d", (1, 3, 3, 4)),
        (OpKind.HARD_SWISH, ("d",), "hidden", (1, 3, 3, 4)),
        (OpKind.AVERAGE_POOL_2D, ("hidden",), "m", (1, 1, 1, 4)),
        (OpKind.CONV_2D, ("m",), "s", (1, 1, 1, 4)),
        (OpKind.CONV_2D, ("s",), "gate", (1, 1, 1, 4)),
        (OpKind.MUL, ("hidden", "gate"), "scaled", (1, 3, 3, 4)),
        (OpKind.CONV_2D, ("scaled",), "projected", (1, 3, 3, 4)),
        (OpKind.ADD, ("a", "projected"), "sum", (1, 3, 3, 4)),
        (OpKind.AVERAGE_POOL_2D, ("sum",), "average", (1, 1, 1, 4)),
    ]
    convolutions = {layer.output: layer.convolution for layer in network.layers if layer.convolution}
    assert {name: c.activation for name, c in convolutions.items() if c.activation != "NONE"} == {
        "a": "RELU",
        "s": "RELU",
    }
    assert [name for name, c in convolutions.items() if c.saturating_gate] == ["gate"]
    assert convolutions["a"].stride == (2, 2)
    assert (convolutions["a"].bias == 0).all()
    assert (convolutions["a"].filter[3, 0, 2] == CONSTANTS["full"][3, :, 0, 2]).all()
    assert (convolutions["d"].filter[0, 1, 2] == CONSTANTS["depthwise"][:, 0, 1, 2]).all()
    np.testing.assert_allclose(
        convolutions["gate"].filter[:, 0, 0], CONSTANTS["one"][:, :, 0, 0] / 6, rtol=1e-6
    )
    np.testing.assert_allclose(convolutions["gate"].bias, CONSTANTS["bias"] / 6 + 0.5, rtol=1e-6)


@pytest.mark.parametrize(("side", "rotate"), [(6, True), (5, False)])
def test_symmetric_padding_rotates_the_kernels_where_same_differs(side: int, rotate: bool) -> None:
    options = {"group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        ("Conv", "a depthwise", "b", options),
        ("GlobalAveragePool", "b", "m", {}),
        ("Flatten", "m", "y", {}),
    ]
    network = read_layers(model([STEM, *nodes], input_shape=("n", 2, side, side)))
    assert network.rotate_180 == rotate
    stem, depthwise = (layer.convolution for layer in network.layers[:2])
    assert stem is not None
    assert depthwise is not None
    row, column = (0, 0) if rotate else (2, 2)
    assert (stem.filter[3, row, column] == CONSTANTS["full"][3, :, 2, 2]).all()
    assert (depthwise.filter[0, row, column] == CONSTANTS["depthwise"][:, 0, 2, 2]).all()
    assert network.layers[1].shape == (1, 3, 3, 4)


REFUSED: dict[str, tuple[list[Node], str]] = {
    "unknown op": ([("Sigmoid", "a", "b", {}), *TAIL], r"'Sigmoid/b' \(Sigmoid\) is none of Conv"),
    "symmetric stride 2": (
        [("Conv", "a one", "b", {"strides": [2, 2], "pads": [1, 1, 1, 1]}), *TAIL],
        r"padding \[1, 1, 1, 1\]; known: TensorFlow's SAME, which is \[0, 0, 0, 0\] here",
    ),
    "two paddings": (
        [
            ("Conv", "a depthwise", "b", {"group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
            ("Conv", "a depthwise", "c", {"group": 4, "strides": [2, 2], "pads": [0, 0, 1, 1]}),
            ("Add", "b c", "d", {}),
            *TAIL,
        ],
        r"padding \[0, 0, 1, 1\]; .* one of the two in the whole network",
    ),
    "more than symmetric padding": (
        [("Conv", "a depthwise", "b", {"group": 4, "pads": [2, 2, 2, 2]}), *TAIL],
        r"padding \[2, 2, 2, 2\]; known: TensorFlow's SAME, which is \[1, 1, 1, 1\] here",
    ),
    "half a padding": ([("Conv", "a depthwise", "b", {"group": 4, "pads": [1, 1]}), *TAIL], "padding"),
    "automatic padding": ([("Conv", "a one", "b", {"auto_pad": "SAME_LOWER"}), *TAIL], "padding"),
    "dilation": (
        [("Conv", "a depthwise", "b", {"group": 4, "pads": [1, 1, 1, 1], "dilations": [2, 2]}), *TAIL],
        r"dilations \[2, 2\]",
    ),
    "groups": (
        [("Conv", "a grouped", "b", {"group": 2, "pads": [1, 1, 1, 1]}), *TAIL],
        "has 2 groups for 4 → 4 channels",
    ),
    "weights of another width": ([("Conv", "a full", "b", {}), *TAIL], r"filter \(4, 2, 3, 3\)"),
    "computed weights": ([("Conv", "a a", "b", {}), *TAIL], "reads 'a', which is no constant"),
    "bare relu": (
        [("HardSwish", "a", "b", {}), ("Relu", "b", "c", {}), *TAIL],
        "no convolution's plain output",
    ),
    "two relus": ([("Relu", "a", "b", {}), ("Relu", "b", "c", {})], "no convolution's plain output"),
    "relu of a shared value": (
        [("Relu", "a", "b", {}), ("Add", "a b", "c", {}), *TAIL],
        "'a' is read elsewhere too",
    ),
    "average over channels": ([("ReduceMean", "a channels", "b", {}), *TAIL], r"over axes \[1\]"),
    "average without sides": ([("ReduceMean", "a sides", "b", {"keepdims": 0}), *TAIL], "kept as 1"),
    "unequal sum": (
        [("GlobalAveragePool", "a", "b", {}), ("Add", "a b", "c", {}), *TAIL],
        "shapes must be equal",
    ),
    "product of equals": ([("HardSwish", "a", "b", {}), ("Mul", "a b", "c", {}), *TAIL], "which is no gate"),
    "reshape of an image": ([("Reshape", "a shape", "y", {})], "only the classifier's output"),
    "logits that are not made last": (
        [
            ("GlobalAveragePool", "a", "b", {}),
            ("Conv", "b one", "c", {}),
            ("Conv", "b one", "d", {}),
            ("Relu", "c", "e", {}),
            ("Flatten", "e", "y", {}),
        ],
        "only the classifier's output",
    ),
    "node after the logits": ([*TAIL, ("HardSwish", "y", "z", {})], "follows the logits"),
    "missing value": ([("HardSwish", "nothing", "b", {}), *TAIL], "reads 'nothing', which is no earlier"),
}


@pytest.mark.parametrize(("nodes", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_nodes_are_named(nodes: list[Node], message: str) -> None:
    with pytest.raises(UnsupportedOpError, match=message) as caught:
        read_layers(model([STEM, *nodes]))
    assert "ONNX node '" in caught.value.problem


@pytest.mark.parametrize("input_shape", [("n", 2, 6), (2, 2, 6, 6), ("n", 2, "h", "w")])
def test_inputs_other_than_one_batch_of_images_are_refused(input_shape: tuple[Any, ...]) -> None:
    with pytest.raises(McofaError, match="one batch of images is needed"):
        read_layers(model([STEM, *TAIL], input_shape=input_shape))


@pytest.mark.parametrize("output", ["a", "other"])
def test_outputs_other_than_the_logits_are_refused(output: str) -> None:
    with pytest.raises(McofaError, match="one vector of logits"):
        read_layers(model([STEM], output))


def test_a_value_that_nothing_reads_is_refused() -> None:
    with pytest.raises(McofaError, match="nothing in the ONNX model reads b"):
        read_layers(model([STEM, ("HardSwish", "a", "b", {}), *TAIL]))

"""The bytes of the .tflite file: read back with the schema's own reader."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from export.tflite.parse import parse_tflite
from export.tflite.quantization import Quantization
from export.tflite.write import QuantizedGraph, write_tflite
from mcofa.errors import UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor


def network(seed: int) -> QuantizedGraph:
    """A convolution, hard swish, gate-like product, sum and average on 5×5×3."""
    rng = np.random.default_rng(seed)
    tensors = (
        Tensor((1, 5, 5, 3)),
        Tensor((4, 3, 3, 3), constant=True, scales=4),
        Tensor((4,), DType.INT32, constant=True, scales=0),
        Tensor((1, 3, 3, 4)),
        Tensor((1, 3, 3, 4)),
        Tensor((1, 3, 3, 4), constant=True, scales=4),
        Tensor((4,), DType.INT32, constant=True, scales=0),
        Tensor((1, 3, 3, 4)),
        Tensor((1, 3, 3, 4)),
        Tensor((1, 1, 1, 4)),
        Tensor((1, 3, 3, 4)),
    )
    ops = (
        Op(OpKind.CONV_2D, (0, 1, 2), (3,), stride=(2, 2), activation="RELU"),
        Op(OpKind.HARD_SWISH, (3,), (4,)),
        Op(OpKind.DEPTHWISE_CONV_2D, (4, 5, 6), (7,)),
        Op(OpKind.ADD, (4, 7), (8,)),
        Op(OpKind.AVERAGE_POOL_2D, (8,), (9,), window=(3, 3), padding="VALID"),
        Op(OpKind.MUL, (8, 9), (10,)),
    )

    def activation() -> Quantization:
        return Quantization((float(np.float32(rng.uniform(0.01, 1))),), int(rng.integers(-128, 128)))

    def filter_(axis: int) -> Quantization:
        return Quantization(tuple(rng.uniform(0.01, 1, 4).astype(np.float32).tolist()), 0, axis)

    pooled = activation()
    quantizations = (
        activation(), filter_(0), None, activation(), activation(),
        filter_(3), None, activation(), pooled, pooled, activation(),
    )  # fmt: skip
    constants = {
        1: rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        2: rng.integers(-999, 999, 4).astype(np.int32),
        5: rng.integers(-127, 128, (1, 3, 3, 4)).astype(np.int8),
        6: np.zeros(4, np.int32),
    }
    return QuantizedGraph(Graph(tensors, ops, (0,), (10,)), quantizations, constants)


def read(data: bytes) -> Any:
    assert schema.Model.ModelBufferHasIdentifier(data, 0)
    return schema.ModelT.InitFromPackedBuf(data)


def test_the_graph_is_read_back() -> None:
    written = network(0)
    assert parse_tflite(write_tflite(written), "test") == written.graph


def test_constants_and_quantizations_are_read_back() -> None:
    written = network(0)
    model = read(write_tflite(written))
    assert model.version == 3
    assert model.buffers[0].data is None
    for index, tensor in enumerate(model.subgraphs[0].tensors):
        expected = written.quantizations[index]
        if expected is None:
            assert tensor.quantization is None
        else:
            assert np.array_equal(tensor.quantization.scale, np.array(expected.scales, np.float32))
            assert set(tensor.quantization.zeroPoint) == {expected.zero_point}
            assert len(tensor.quantization.zeroPoint) == len(expected.scales)
            assert tensor.quantization.quantizedDimension == (expected.axis or 0)
        assert (tensor.buffer != 0) == (index in written.constants)
        if index in written.constants:
            assert bytes(model.buffers[tensor.buffer].data) == written.constants[index].tobytes()


def test_op_versions_and_both_builtin_codes() -> None:
    codes = read(write_tflite(network(0))).operatorCodes
    assert all(code.builtinCode == code.deprecatedBuiltinCode for code in codes)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    assert {names[code.builtinCode]: code.version for code in codes} == {
        "CONV_2D": 3,
        "HARD_SWISH": 1,
        "DEPTHWISE_CONV_2D": 3,
        "ADD": 2,
        "AVERAGE_POOL_2D": 2,
        "MUL": 2,
    }


def test_constants_lie_at_multiples_of_16() -> None:
    written = network(0)
    data = write_tflite(written)
    for constant in written.constants.values():
        assert data.index(constant.tobytes()) % 16 == 0 or not constant.any()
    model = schema.Model.GetRootAs(data, 0)
    for position in range(1, model.BuffersLength()):
        array = model.Buffers(position).DataAsNumpy()
        offset = (
            array.__array_interface__["data"][0]
            - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        )
        assert offset % 16 == 0


def test_nothing_superfluous_is_written() -> None:
    model = read(write_tflite(network(0)))
    (subgraph,) = model.subgraphs
    absent = (model.description, model.metadata, model.signatureDefs, subgraph.name)
    assert not any(absent)
    assert not any(tensor.name or tensor.shapeSignature for tensor in subgraph.tensors)


def test_equal_networks_give_equal_bytes_and_equal_graphs_equal_sizes() -> None:
    sizes = set()
    for seed in range(30):
        data = write_tflite(network(seed))
        assert data == write_tflite(network(seed))
        sizes.add(len(data))
    assert len(sizes) == 1


def test_a_shared_quantization_is_written_once() -> None:
    shared = network(0)
    copy = dataclasses.replace(shared.quantizations[9] or Quantization((1.0,)))
    apart = dataclasses.replace(
        shared, quantizations=(*shared.quantizations[:9], copy, *shared.quantizations[10:])
    )
    assert len(write_tflite(shared)) < len(write_tflite(apart))


def test_an_op_that_the_exporter_never_writes_is_refused() -> None:
    graph = Graph((Tensor((1, 4)), Tensor((1, 4))), (Op(OpKind.SOFTMAX, (0,), (1,)),), (0,), (1,))
    quantization = Quantization((1.0,))
    with pytest.raises(UnsupportedOpError, match="SOFTMAX"):
        write_tflite(QuantizedGraph(graph, (quantization, quantization), {}))

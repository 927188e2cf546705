"""Ops that only compute shapes leave nothing behind in generated C."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from generated_c import assert_equals_litert
from random_ops import _Model

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.executed import executed
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm import target
from mcofa.errors import UnsupportedOpError
from mcofa.graph import OpKind

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
M7 = target("cortex-m7", "reference")


def flattened(*, computed: bool, returns_shape: bool = False) -> bytes:
    """A convolution and a dense layer, and between them what Keras writes for Flatten."""
    rng, m = np.random.default_rng(3), _Model()
    x, y = m.activation(rng, (1, 4, 4, 2)), m.tensor((1, 32))
    m.tensors[y].quantization = m.tensors[x].quantization
    shape, ends = m.indices([1, 32]), []
    if computed:
        whole, batch, shape = (
            m.tensor((4,), "int32", scales=0),
            m.tensor((), "int32", scales=0),
            m.tensor((2,), "int32", scales=0),
        )
        m.op("SHAPE", [x], [whole], table="ShapeOptions", outType=2)
        m.op(
            "STRIDED_SLICE", [whole, *(m.indices([i]) for i in (0, 1, 1))], [batch],
            table="StridedSliceOptions", shrinkAxisMask=1,
        )  # fmt: skip
        m.op("PACK", [batch, m.tensor((), "int32", [32], 0)], [shape], table="PackOptions", valuesCount=2)
        ends = [whole] if returns_shape else []
    m.op("RESHAPE", [x, shape], [y])
    weights = m.scale(m.tensor((5, 32), "int8", rng.integers(-127, 128, (5, 32), np.int8)), 0.01, 0)
    z = m.activation(rng, (1, 5))
    m.op("FULLY_CONNECTED", [y, weights, m.bias(rng, 5)], [z], table="FullyConnectedOptions")
    return m.build([x], [z, *ends])


@needs_gcc
def test_a_computed_shape_costs_nothing(tmp_path: Path) -> None:
    compiled = assert_equals_litert(flattened(computed=True), tmp_path, 0)
    plain = parse_tflite(flattened(computed=False), "plain")
    assert compiled.generated.plan.arena_bytes == plan_aot(plain, M7).arena_bytes
    found = executed(parse_tflite(flattened(computed=True), "computed"))
    assert [op.kind for op in found.graph.ops] == [OpKind.RESHAPE, OpKind.FULLY_CONNECTED]
    assert found.positions == (3, 4)


def test_a_graph_without_such_ops_is_executed_as_it_is() -> None:
    graph = parse_tflite(flattened(computed=False), "plain")
    assert executed(graph).graph is graph


def test_a_shape_that_is_an_output_is_computed() -> None:
    graph = parse_tflite(flattened(computed=True, returns_shape=True), "asked for")
    assert OpKind.SHAPE in [op.kind for op in executed(graph).graph.ops]
    with pytest.raises(UnsupportedOpError, match="SHAPE"):
        plan_aot(executed(graph).graph, M7)

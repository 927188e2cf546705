"""Resource variables and the subgraph that sets them, against TFLM's own arena."""

from __future__ import annotations

import numpy as np
from test_arena import predicted
from variable_models import variable_model

from export.runtimes.tflm import measure_many
from export.tflite.parse import parse_tflite
from mcofa.graph import DType, OpKind


def test_models_with_variables_are_measured_as_predicted() -> None:
    models = [variable_model(np.random.default_rng(seed)) for seed in range(60)]
    found = zip(measure_many(models), map(predicted, models), strict=True)
    assert [seed for seed, (measured, expected) in enumerate(found) if measured != expected] == []


def test_the_called_subgraph_runs_where_it_is_called() -> None:
    graph = parse_tflite(variable_model(np.random.default_rng(0)), "variables.tflite")
    assert graph.ops[0].kind is OpKind.CALL_ONCE
    assert [op.subgraph for op in graph.ops[:2]] == [0, 1]
    assert [graph.ops[i].subgraph for i in graph.prepared_order] == sorted(op.subgraph for op in graph.ops)
    handles = [op for op in graph.ops if op.kind is OpKind.VAR_HANDLE]
    assert all(graph.tensors[op.outputs[0]].dtype is DType.RESOURCE for op in handles)
    assert graph.resource_variables == len({op.variable for op in handles})

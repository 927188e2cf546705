"""Models with resource variables and a subgraph that gives them their first values."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from tiny_models import ModelBuilder, schema, variable

Rng = np.random.Generator


def variable_model(rng: Rng) -> bytes:
    """A model that adds to its variables, of random shapes and types, at random places."""
    main, first_values = ModelBuilder(), ModelBuilder()
    x = main.tensor((1, int(rng.integers(1, 60))))
    main.op("CALL_ONCE", [], [], table="CallOnceOptions", initSubgraphIndex=1)
    outputs = []
    for number in range(rng.integers(1, 5)):
        shape, dtype = (1, int(rng.integers(1, 70))), str(rng.choice(["int8", "float32", "int16"]))
        scales = 0 if dtype == "float32" else 1
        handle = variable(main, f"state{number}")
        kept, sum_ = (main.tensor(shape, dtype, scales=scales) for _ in range(2))
        main.op("READ_VARIABLE", [handle], [kept])
        if rng.integers(2):
            square = main.tensor(shape, dtype, scales=scales)
            main.op("MUL", [kept, kept], [square], table="MulOptions")
            kept = square
        main.op("ADD", [kept, kept], [sum_], table="AddOptions")
        main.op("ASSIGN_VARIABLE", [handle, sum_], [])
        outputs.append(sum_)
        if rng.integers(4):
            target = variable(first_values, f"state{number}")
            values = first_values.tensor(shape, dtype, np.zeros(shape), scales)
            if rng.integers(3) == 0:
                given, values = values, first_values.tensor(shape, dtype, scales=scales)
                first_values.op("ADD", [given, given], [values], table="AddOptions")
            first_values.op("ASSIGN_VARIABLE", [target, values], [])
    for _ in range(rng.integers(3)):
        y = main.tensor((1, main.tensors[x].shape[1]))
        main.op("RELU", [x], [y])
        x = y
    inputs = [0]
    if rng.integers(2):
        wide, narrow = main.tensor((1, 4, 5, 3)), main.tensor((1, 3))
        main.op("MEAN", [wide, main.tensor((2,), "int32", [1, 2], 0)], [narrow], table="ReducerOptions")
        inputs.append(wide)
        outputs.append(narrow)
    return _built(main, first_values, inputs, [x, *outputs])


def _built(main: ModelBuilder, called: ModelBuilder, inputs: list[int], outputs: list[int]) -> bytes:
    """The two subgraphs in one file: buffers and operator codes of the second follow the first's."""
    for tensor in called.tensors:
        tensor.buffer += len(main.buffers) if tensor.buffer else 0
    for op in called.ops:
        op.opcodeIndex += len(main.codes)
    model = schema.ModelT()
    model.version = 3
    model.subgraphs = [_subgraph(main, inputs, outputs), _subgraph(called, [], [])]
    model.buffers = main.buffers + called.buffers
    model.operatorCodes = main.codes + called.codes
    model.metadata = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _subgraph(m: ModelBuilder, inputs: list[int], outputs: list[int]) -> Any:
    subgraph = schema.SubGraphT()
    subgraph.tensors, subgraph.operators = m.tensors, m.ops
    subgraph.inputs, subgraph.outputs = inputs, outputs
    return subgraph

"""Tables of functions of 8 bits, made by running the op itself in LiteRT on all 256 inputs."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from export.runtimes.litert import invoke


def lookup_table(data: bytes, position: int) -> npt.NDArray[np.int8]:
    """Return what op ``position`` of the .tflite ``data`` makes of -128, …, 127; (256,).

    Where its input or output is uint8, the table holds the bits: entry 0 is of 128, which are those of -128.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    op = graph.operators[position]
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    model.operatorCodes = [model.operatorCodes[op.opcodeIndex]]
    model.metadata, model.signatureDefs, model.metadataBuffer = None, None, None
    model.buffers = [schema.BufferT()]
    for tensor in (source, output):
        tensor.shape, tensor.shapeSignature, tensor.buffer = [1, 256], None, 0
    op.opcodeIndex, op.inputs, op.outputs = 0, [0], [1]
    graph.tensors, graph.operators = [source, output], [op]
    graph.inputs, graph.outputs = [0], [1]
    everything = np.arange(-128, 128, dtype=np.int8)[None]
    if source.type == schema.TensorType.UINT8:
        everything = everything.view(np.uint8)
    table: npt.NDArray[np.int8] = invoke(_packed(model), everything, "the table of one op")[0].view(np.int8)
    return table


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())

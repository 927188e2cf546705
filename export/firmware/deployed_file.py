"""Any .tflite file as a model to deploy: what a firmware must know, read from the file alone."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from export.convert.to_c import DeployedModel, DeployedTensor, target_words
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.errors import FileFormatError
from mcofa.graph import Tensor


def deployed_file(model: ModelFile, board: Board, engine: str, streams_input: bool = False) -> DeployedModel:
    """Return what a firmware with ``engine`` must know of ``model``.

    Classes have no names, pixels are taken as pixel / 255.

    Raises:
        FileFormatError: not a .tflite file, or one without inputs or outputs that hold something.
        UnsupportedOpError: an op that the engine cannot run.
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    graph = model.graph
    stored = schema.Model.GetRootAs(model.data, 0).Subgraphs(0)
    inputs, outputs = (
        tuple(_deployed(stored.Tensors(index), graph.tensors[index]) for index in indices)
        for indices in (graph.inputs, graph.outputs)
    )
    if not inputs or not outputs or not all(tensor.items for tensor in (*inputs, *outputs)):
        raise FileFormatError(
            model.name,
            f"has inputs of shapes {[end.shape for end in inputs]} and outputs of shapes "
            f"{[end.shape for end in outputs]}",
            "convert it with at least one input and one output, none of them empty",
        )
    return DeployedModel(
        name="network",
        file=model,
        inputs=inputs,
        outputs=outputs,
        labels=(),
        mean=0.0,
        std=1.0,
        rotate_180=False,
        op_kinds=tuple(sorted({str(op.kind) for op in graph.ops})),
        arena_bytes=load_engine(engine)
        .needs(graph, board, len(model.data), streams_input=streams_input)
        .arena_bytes,
        target=target_words(board, engine, streams_input),
        streams_input=streams_input,
    )


def _deployed(stored: Any, tensor: Tensor) -> DeployedTensor:
    """Return a tensor of the graph with what the file has stored of it beside."""
    quantized = tensor.scales > 0
    return DeployedTensor(
        shape=tensor.shape,
        scale=float(stored.Quantization().Scale(0)) if quantized else 0.0,
        zero_point=int(stored.Quantization().ZeroPoint(0)) if quantized else 0,
        dtype=tensor.dtype,
        name=(stored.Name() or b"").decode("utf-8", "replace"),
    )

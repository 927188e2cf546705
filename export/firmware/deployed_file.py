"""Any int8 .tflite file as a model to deploy: what a firmware must know, read from the file alone."""

from __future__ import annotations

from export.convert.to_c import DeployedModel, target_words
from export.runtimes.litert import quantizations
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.errors import FileFormatError
from mcofa.graph import DType


def deployed_file(model: ModelFile, board: Board, engine: str, streams_input: bool = False) -> DeployedModel:
    """Return what a firmware with ``engine`` must know of ``model``.

    Classes are named by their numbers, pixels are taken as pixel / 255.

    Raises:
        FileFormatError: not a .tflite file with one int8 input and one int8 output.
        UnsupportedOpError: an op that the engine cannot run.
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    graph = model.graph
    ends = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    if len(ends) != 2 or any(tensor.dtype is not DType.INT8 for tensor in ends):
        raise FileFormatError(
            model.name,
            f"has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs of types "
            f"{', '.join(str(tensor.dtype) for tensor in ends)}",
            "convert it with one int8 input and one int8 output",
        )
    found = quantizations(model.data, (*graph.inputs, *graph.outputs), model.name)
    input_scale, input_zero_point = found[graph.inputs[0]]
    output_scale, output_zero_point = found[graph.outputs[0]]
    return DeployedModel(
        name="network",
        file=model,
        input_shape=ends[0].shape,
        input_scale=float(input_scale),
        input_zero_point=int(input_zero_point),
        output_shape=ends[1].shape,
        output_scale=float(output_scale),
        output_zero_point=int(output_zero_point),
        labels=tuple(str(number) for number in range(ends[1].shape[-1])),
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

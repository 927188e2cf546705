"""From a searched arch to files: ONNX, int8 .tflite and C arrays, recorded in the run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.convert.converted import convert
from export.convert.manifest import sizes, versions
from export.convert.memory_plan import plan_section, with_plan_if_it_fits
from export.convert.run_subnet import load_run_subnet
from export.convert.to_c import DeployedModel, DeployedTensor, target_words, to_c
from export.tflite.model_file import ModelFile
from export.tflite.quantization import Quantization
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.runs.run import Run, artefact
from mcofa.search.budget import recorded_budget
from mcofa.space.resolution import resolution_to_json

MODEL_NAME = "network"


def export_run(
    run: Run, checkpoint: Path, engine_name: str | None = None, streams_input: bool | None = None
) -> dict[str, Any]:
    """Export the arch that the search chose; return (and record) the manifest's export section.

    The weights come from ``checkpoint``, batch norm recalibrated, or from fine-tuning. Activations
    are quantized by the ranges over 128 training images spread over the split, or by those that
    quantization-aware fine-tuning trained for. The files are for the engine that was searched for, and the
    image as it arrives there, unless ``engine_name`` or ``streams_input`` say otherwise. For an engine that
    keeps the model file, that carries a memory plan where a better one than TFLM's own saves arena on the
    board.

    Raises:
        RunError: the run holds no search result, or that of a search without a board.
        FileFormatError: the checkpoint is damaged, or of another space than the search's; or the
            fine-tuned weights are damaged.
        ArenaCheckError: the exported graph is not the predicted one.
        MissingFileError: checkpoint or data set missing.
        DiskWriteError: a file could not be written.
    """
    board, engine = run.board, load_engine(engine_name or run.engine)
    streams_input = run.streams_input_with(engine.name) if streams_input is None else streams_input
    budget = recorded_budget(run.search.budget)
    source = load_run_subnet(run, checkpoint)
    network = convert(source)
    planned = with_plan_if_it_fits(network.file, board, budget) if engine.keeps_model_file else None
    model = network.file if planned is None else planned.file
    header, graph, tflite = source.searched.header, network.file.graph, network.tflite
    section: dict[str, Any] = {
        "checkpoint": source.searched.provenance,
        "weights": source.weights,
        "data": header.data,
        "resolution": resolution_to_json(source.searched.arch.resolution),
        "channels": header.space.input_channels,
        "labels": list(source.data.labels),
        "preprocessing": asdict(source.data.preprocessing),
        "calibration": network.calibration,
        "input": {
            **_quantized(graph.tensors[graph.inputs[0]].shape, tflite.input_quantization),
            "rotate_180": tflite.rotate_180,
        },
        "output": _quantized(graph.tensors[graph.outputs[0]].shape, tflite.output_quantization),
        "op_kinds": [str(kind) for kind in tflite.op_kinds],
        "engine": engine.name,
        "streams_input": streams_input,
        "arena_bytes": engine.needs(
            model.graph, board, len(model.data), streams_input=streams_input
        ).arena_bytes,
        "offline_plan": planned and plan_section(planned, network.file),
        "sizes": sizes(graph, model, len(model.data) - len(network.file.data)),
        "onnx_against_pytorch": network.onnx_against_pytorch,
        "versions": versions(),
    }
    sources = to_c(deployed_model(section, model, board, engine.name, streams_input))
    section["onnx"] = artefact("network.onnx", network.onnx)
    section["tflite"] = artefact("network.tflite", model.data)
    section["c_arrays"] = [artefact(name, source) for name, source in sources.items()]
    run.record("export", section, {"network.onnx": network.onnx, "network.tflite": model.data, **sources})
    return section


def deployed_model(
    exported: dict[str, Any], model: ModelFile, board: Board, engine: str, streams_input: bool = False
) -> DeployedModel:
    """Return what a firmware with ``engine`` must know, with the arena that it needs on ``board``.

    ``exported`` is the manifest's export section of ``model``.
    """
    return DeployedModel(
        name=MODEL_NAME,
        file=model,
        inputs=(_deployed_tensor(exported["input"]),),
        outputs=(_deployed_tensor(exported["output"]),),
        labels=tuple(exported["labels"]),
        mean=exported["preprocessing"]["mean"],
        std=exported["preprocessing"]["std"],
        rotate_180=exported["input"]["rotate_180"],
        op_kinds=tuple(exported["op_kinds"]),
        arena_bytes=load_engine(engine)
        .needs(model.graph, board, len(model.data), streams_input=streams_input)
        .arena_bytes,
        target=target_words(board, engine, streams_input),
        streams_input=streams_input,
    )


def _quantized(shape: tuple[int, ...], quantization: Quantization) -> dict[str, Any]:
    return {
        "shape": list(shape),
        "scale": quantization.scales[0],
        "zero_point": quantization.zero_point,
    }


def _deployed_tensor(recorded: dict[str, Any]) -> DeployedTensor:
    return DeployedTensor(tuple(recorded["shape"]), recorded["scale"], recorded["zero_point"])

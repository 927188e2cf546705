"""From a searched arch to files: ONNX, int8 .tflite and C arrays, recorded in the run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from export.convert.manifest import onnx_agreement, sizes, versions
from export.convert.run_subnet import load_run_subnet
from export.convert.to_c import DeployedModel, target_words, to_c
from export.convert.to_onnx import to_onnx
from export.tflite.model_file import ModelFile
from export.tflite.offline_plan import OfflinePlanned, with_offline_plan
from export.tflite.quantization import FloatArray, Quantization
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import ArenaCheckError
from mcofa.lowering import lower
from mcofa.runs.run import Run, artefact
from mcofa.search.budget import Budget, recorded_budget
from mcofa.space.resolution import resolution_to_json
from mcofa.supernet.data.datasets import ImageData
from mcofa.supernet.data.splits import Split
from mcofa.supernet.measure.evaluate import logits

MODEL_NAME = "network"
CALIBRATION_IMAGES = 128
_COMPARED_IMAGES = 256


def export_run(run: Run, checkpoint: Path, engine_name: str | None = None) -> dict[str, Any]:
    """Export the arch that the search chose; return (and record) the manifest's export section.

    The weights come from ``checkpoint``, batch norm recalibrated, or from fine-tuning. Activations
    are quantized by the ranges over 128 training images spread over the split, or by those that
    quantization-aware fine-tuning trained for. The files are for the engine that was searched for, or
    ``engine_name``; for one that keeps the model file, that carries a memory plan where a better one than
    TFLM's own saves arena on the board.

    Raises:
        RunError: the run holds no search result, or that of a search without a board.
        FileFormatError: the checkpoint is damaged, or of another space than the search's; or the
            fine-tuned weights are damaged.
        ArenaCheckError: the exported graph is not the predicted one.
        MissingFileError: checkpoint or data set missing.
        DiskWriteError: a file could not be written.
    """
    source = load_run_subnet(run, checkpoint)
    header, arch, data, subnet = source.searched.header, source.searched.arch, source.data, source.subnet
    onnx_model = to_onnx(subnet, arch.resolution)
    onnx_bytes = onnx_model.SerializeToString()
    calibration = data.train.spread(CALIBRATION_IMAGES)
    images = _normalised(data, calibration)
    held_out = _normalised(data, data.validation.spread(_COMPARED_IMAGES))
    tflite = source.to_tflite(onnx_model, images)

    board, engine = run.board, load_engine(engine_name or run.engine)
    unplanned = ModelFile(tflite.data)
    graph = unplanned.graph
    if graph != lower(header.space, arch):
        raise ArenaCheckError(
            f"the exported graph differs from the one that the search predicted from ({arch})",
            "report this as a bug, with the run's manifest.json",
        )
    planned = None
    if engine.keeps_model_file:
        planned = with_plan_if_it_fits(unplanned, board, recorded_budget(run.search.budget))
    model = unplanned if planned is None else planned.file
    section: dict[str, Any] = {
        "checkpoint": source.searched.provenance,
        "weights": source.weights,
        "data": header.data,
        "resolution": resolution_to_json(arch.resolution),
        "channels": header.space.input_channels,
        "labels": list(data.labels),
        "preprocessing": asdict(data.preprocessing),
        "calibration": {
            "split": "train",
            "images": len(calibration),
            "sha256": hashlib.sha256(images.tobytes()).hexdigest(),
            "method": source.range_method,
        },
        "input": {
            **_quantized(graph.tensors[graph.inputs[0]].shape, tflite.input_quantization),
            "rotate_180": tflite.rotate_180,
        },
        "output": _quantized(graph.tensors[graph.outputs[0]].shape, tflite.output_quantization),
        "op_kinds": [str(kind) for kind in tflite.op_kinds],
        "engine": engine.name,
        "arena_bytes": engine.deployed_arena_bytes(model.graph, board),
        "offline_plan": planned
        and {
            "used": planned.file is not unplanned,
            "saved_bytes": planned.saved_bytes,
            "growth_bytes": planned.growth_bytes,
            "head_bytes_before": planned.head_bytes_before,
            "head_bytes_after": planned.head_bytes_after,
            "lower_bound_bytes": planned.lower_bound_bytes,
            "proven_optimal": planned.proven_optimal,
        },
        "sizes": sizes(graph, model, len(model.data) - len(unplanned.data)),
        "onnx_against_pytorch": onnx_agreement(onnx_bytes, logits(subnet, held_out), held_out, "validation"),
        "versions": versions(),
    }
    sources = to_c(deployed_model(section, model, board, engine.name))
    section["onnx"] = artefact("network.onnx", onnx_bytes)
    section["tflite"] = artefact("network.tflite", model.data)
    section["c_arrays"] = [artefact(name, source) for name, source in sources.items()]
    run.record("export", section, {"network.onnx": onnx_bytes, "network.tflite": model.data, **sources})
    return section


def deployed_model(exported: dict[str, Any], model: ModelFile, board: Board, engine: str) -> DeployedModel:
    """Return what a firmware with ``engine`` must know, with the arena that it needs on ``board``.

    ``exported`` is the manifest's export section of ``model``.
    """
    return DeployedModel(
        name=MODEL_NAME,
        file=model,
        input_shape=tuple(exported["input"]["shape"]),
        input_scale=exported["input"]["scale"],
        input_zero_point=exported["input"]["zero_point"],
        output_shape=tuple(exported["output"]["shape"]),
        output_scale=exported["output"]["scale"],
        output_zero_point=exported["output"]["zero_point"],
        labels=tuple(exported["labels"]),
        mean=exported["preprocessing"]["mean"],
        std=exported["preprocessing"]["std"],
        rotate_180=exported["input"]["rotate_180"],
        op_kinds=tuple(exported["op_kinds"]),
        arena_bytes=load_engine(engine).deployed_arena_bytes(model.graph, board),
        target=target_words(board, engine),
    )


def with_plan_if_it_fits(model: ModelFile, board: Board, budget: Budget) -> OfflinePlanned:
    """Plan the activations for ``board`` where that saves arena and the file stays within ``budget``."""
    planned = with_offline_plan(model, board_target(board))
    model_bytes = len(planned.data)
    used = {
        "model_bytes": model_bytes,
        "flash_bytes": load_engine("tflm").needs(model.graph, board, model_bytes).flash.total_bytes,
    }
    if all(used[name] <= limit for name, limit in budget.limits.items() if name in used):
        return planned
    return replace(planned, file=model, head_bytes_after=planned.head_bytes_before, saved_bytes=0)


def _normalised(data: ImageData, split: Split) -> FloatArray:
    return np.ascontiguousarray(data.preprocessing.normalise(split.images).numpy())


def _quantized(shape: tuple[int, ...], quantization: Quantization) -> dict[str, Any]:
    return {
        "shape": list(shape),
        "scale": quantization.scales[0],
        "zero_point": quantization.zero_point,
    }

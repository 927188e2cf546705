"""From a searched arch to files: ONNX, int8 .tflite and C arrays, recorded in the run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from export.layers import FloatArray
from export.offline_plan import OfflinePlanned, with_offline_plan
from export.parse_tflite import parse_tflite
from export.quantize import Quantization
from export.to_c import DeployedModel, to_c
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from mcofa.arch import arch_from_json
from mcofa.boards import Board, load_board
from mcofa.cost import board_target
from mcofa.errors import ArenaCheckError, FileFormatError
from mcofa.graph import lower
from mcofa.run import Run
from mcofa.supernet.checkpoint import load_supernet
from mcofa.supernet.data import load_data
from mcofa.supernet.evaluate import calibrate, logits
from mcofa.supernet.subnet import Subnet
from mcofa.tflm import account

MODEL_NAME = "network"
_CALIBRATION_IMAGES = 128
_PACKAGES = ("ai-edge-litert", "onnx", "onnxruntime", "onnxscript", "numpy", "torch")


def export_run(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Export the arch that the search chose; return (and record) the manifest's export section.

    The weights come from ``checkpoint``, batch norm is recalibrated, and activations are
    quantized by the ranges over 128 training images spread over the split. Where a better
    memory plan than TFLM's own saves arena on the board, the file carries it.

    Raises:
        RunError: the run holds no search result.
        FileFormatError: the checkpoint is damaged, or of another space than the search's.
        ArenaCheckError: the exported graph is not the predicted one.
        MissingFileError: checkpoint or data set missing.
        DiskWriteError: a file could not be written.
    """
    searched = run.section("search")
    header, supernet = load_supernet(checkpoint)
    if header.space.fingerprint != searched["space_fingerprint"]:
        raise FileFormatError(
            checkpoint,
            f"holds the space {header.space.name} ({header.space.fingerprint}), the run searched "
            f"{searched['space']} ({searched['space_fingerprint']})",
            "name the checkpoint of that space with --checkpoint",
        )
    arch = arch_from_json(searched["arch"], f"{run.folder}/manifest.json")
    data = load_data(header.data, arch.resolution, header.space.input_channels)
    subnet = calibrate(supernet.extract(arch), data.train, data.preprocessing)
    onnx_model = to_onnx(subnet, arch.resolution)
    calibration = data.train.spread(_CALIBRATION_IMAGES)
    images = np.ascontiguousarray(data.preprocessing.normalise(calibration.images).numpy())
    tflite = to_tflite(onnx_model, images)

    board = load_board(searched["board"])
    graph = parse_tflite(tflite.data, "network.tflite")
    if graph != lower(header.space, arch):
        raise ArenaCheckError(
            f"the exported graph differs from the one that the search predicted from ({arch})",
            "report this as a bug, with the run's manifest.json",
        )
    planned = _with_plan_if_it_fits(tflite.data, board)
    section: dict[str, Any] = {
        "checkpoint": {
            "file": str(checkpoint),
            "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        },
        "data": header.data,
        "resolution": arch.resolution,
        "channels": header.space.input_channels,
        "labels": list(data.labels),
        "preprocessing": asdict(data.preprocessing),
        "calibration": {"split": "train", "images": len(calibration), "method": "min/max"},
        "input": _quantized(graph.tensors[graph.inputs[0]].shape, tflite.input_quantization),
        "output": _quantized(graph.tensors[graph.outputs[0]].shape, tflite.output_quantization),
        "op_kinds": [str(kind) for kind in tflite.op_kinds],
        "arena_bytes": arena_on(planned.data, board),
        "offline_plan": {
            "used": planned.data != tflite.data,
            "saved_bytes": planned.saved_bytes,
            "growth_bytes": planned.growth_bytes,
            "head_bytes_before": planned.head_bytes_before,
            "head_bytes_after": planned.head_bytes_after,
            "lower_bound_bytes": planned.lower_bound_bytes,
            "proven_optimal": planned.proven_optimal,
        },
        "onnx_max_abs_error": _onnx_error(onnx_model.SerializeToString(), subnet, images),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    section["onnx"] = run.write("network.onnx", onnx_model.SerializeToString())
    section["tflite"] = run.write("network.tflite", planned.data)
    sources = to_c(deployed_model(section, planned.data, board))
    section["c_arrays"] = [run.write(name, source) for name, source in sources.items()]
    run.record("export", section)
    return section


def deployed_model(exported: dict[str, Any], tflite: bytes, board: Board) -> DeployedModel:
    """Return what the firmware must know, with the arena that ``board`` needs.

    ``exported`` is the manifest's export section, ``tflite`` the model file.
    """
    return DeployedModel(
        name=MODEL_NAME,
        data=tflite,
        input_shape=tuple(exported["input"]["shape"]),
        input_scale=exported["input"]["scale"],
        input_zero_point=exported["input"]["zero_point"],
        output_shape=tuple(exported["output"]["shape"]),
        output_scale=exported["output"]["scale"],
        output_zero_point=exported["output"]["zero_point"],
        labels=tuple(exported["labels"]),
        mean=exported["preprocessing"]["mean"],
        std=exported["preprocessing"]["std"],
        rotate_180=False,
        op_kinds=tuple(exported["op_kinds"]),
        arena_bytes=arena_on(tflite, board),
        target=f"{board.name}, {board.core}, {board.kernels}",
    )


def arena_on(tflite: bytes, board: Board) -> int:
    """Return the minimum arena, in bytes, that a model file needs on ``board``."""
    minimum_bytes = account(parse_tflite(tflite, "network.tflite"), board_target(board)).minimum_bytes
    assert minimum_bytes is not None
    return minimum_bytes


def _with_plan_if_it_fits(tflite: bytes, board: Board) -> OfflinePlanned:
    """Plan the activations for ``board`` where that saves arena and the plan itself fits the flash."""
    planned = with_offline_plan(tflite, "network.tflite", board_target(board))
    if len(planned.data) <= board.flash_budget_bytes:
        return planned
    return replace(planned, data=tflite, head_bytes_after=planned.head_bytes_before, saved_bytes=0)


def _quantized(shape: tuple[int, ...], quantization: Quantization) -> dict[str, Any]:
    return {
        "shape": list(shape),
        "scale": quantization.scales[0],
        "zero_point": quantization.zero_point,
    }


def _onnx_error(onnx_model: bytes, subnet: Subnet, images: FloatArray) -> float:
    """Largest absolute difference between the logits of ONNX and of PyTorch."""
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    return float(np.abs(found - logits(subnet, images)).max())

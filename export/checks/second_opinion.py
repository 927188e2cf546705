"""A second opinion: a run's network converted by TensorFlow, held against the run's own .tflite file."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from export.checks.evaluate import quantize_images
from export.runtimes import litert
from export.tflite.parse import parse_tflite
from export.tflite.quantization import FloatArray
from mcofa.errors import McofaError
from mcofa.files.missing_package import MissingPackageError
from mcofa.graph import Graph, OpKind
from mcofa.runs.run import Run, artefact
from mcofa.space.search_space import GlobalAverage
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.data.splits import Preprocessing, Split

FILE = "network_tensorflow.tflite"
_IMAGES = 1_000
_NEXT_STEP = "report this as a bug, with the run's manifest.json"


def second_opinion(run: Run) -> dict[str, Any]:
    """Convert a run's network with TensorFlow and compare the file with the run's own.

    The manifest's export section is returned, and recorded, with what was found under
    ``second_opinion``. TensorFlow's file becomes the run's ``network_tensorflow.tflite``.
    Accuracy and agreement are those of LiteRT's reference kernels on the first 1,000 validation images.

    Raises:
        McofaError: TensorFlow is missing or fails, or its file has other ops than the run's.
        MissingFileError: a file of the run or the data set is missing.
        DiskWriteError: a file could not be written.
    """
    exported = run.export
    preprocessing = Preprocessing.recorded(exported.preprocessing)
    data = load_data(exported.data, exported.resolution, exported.channels, preprocessing.fit)

    def normalised(split: Split) -> FloatArray:
        return np.ascontiguousarray(preprocessing.normalise(split.images).numpy())

    own = run.read(exported.tflite)
    calibration = normalised(data.train.spread(exported.calibration.images))
    own_graph = parse_tflite(own, "network.tflite")
    means = any(op.kind is OpKind.MEAN for op in own_graph.ops)
    global_average: GlobalAverage = "mean" if means else "average_pool"
    theirs = convert_with_tensorflow(run.read(exported.onnx), calibration, global_average)
    ops = require_same_ops(own_graph, parse_tflite(theirs, FILE))
    validation = data.validation.take(slice(0, _IMAGES))
    images, targets = normalised(validation), validation.targets.numpy()
    rotate_180 = exported.input.rotate_180
    own_classes, their_classes = (classes(file, images, rotate_180) for file in (own, theirs))
    found = {
        "tensorflow": importlib.metadata.version("tensorflow"),
        "tflite": artefact(FILE, theirs),
        "ops": ops,
        "own_smaller_percent": round(100 * (1 - len(own) / len(theirs)), 1),
        "validation_images": len(targets),
        "own_top1_percent": _percent(own_classes == targets),
        "tensorflow_top1_percent": _percent(their_classes == targets),
        "agreement_percent": _percent(own_classes == their_classes),
    }
    section = {**run.section("export"), "second_opinion": found}
    run.record("export", section, {FILE: theirs})
    return section


def convert_with_tensorflow(
    onnx_model: bytes, calibration_images: FloatArray, global_average: GlobalAverage = "average_pool"
) -> bytes:
    """Return the full int8 .tflite that TensorFlow's converter makes of an ONNX model of ours.

    ``calibration_images``, float32 (n, channels, height, width), and ``global_average`` are as for
    ``export.convert.to_tflite``.

    Raises:
        McofaError: TensorFlow is not installed, or fails.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingPackageError("tensorflow")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "network.onnx").write_bytes(onnx_model)
        np.save(folder / "images.npy", calibration_images)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "export.checks.tensorflow_check", name, global_average],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
            raise McofaError(f"TensorFlow's converter failed: {reason}", _NEXT_STEP)
        return (folder / "network.tflite").read_bytes()


def require_same_ops(own: Graph, theirs: Graph) -> int:
    """Return the number of ops, if kinds, strides and output shapes are equal one by one.

    Raises:
        McofaError: they are not; names the first op that differs.
    """
    own_ops, their_ops = _op_lines(own), _op_lines(theirs)
    if len(own_ops) != len(their_ops):
        raise McofaError(f"{len(own_ops)} ops, TensorFlow's file has {len(their_ops)}", _NEXT_STEP)
    for number, (line, their_line) in enumerate(zip(own_ops, their_ops, strict=True)):
        if line != their_line:
            raise McofaError(f"op {number} is {line}, in TensorFlow's file {their_line}", _NEXT_STEP)
    return len(own_ops)


def classes(tflite: bytes, images: FloatArray, rotate_180: bool) -> npt.NDArray[np.int64]:
    """Return the answers (n,) of an int8 .tflite to preprocessed images (n, channels, height, width)."""
    (source,) = Interpreter(model_content=tflite).get_input_details()
    scale, zero_point = source["quantization"]
    rule = {"scale": scale, "zero_point": zero_point, "rotate_180": rotate_180}
    answers: npt.NDArray[np.int64] = litert.invoke(tflite, quantize_images(images, rule)).argmax(1)
    return answers


def _op_lines(graph: Graph) -> list[str]:
    return [f"{op.kind} {op.stride} {graph.tensors[op.outputs[0]].shape}" for op in graph.ops]


def _percent(hits: npt.NDArray[np.bool_]) -> float:
    return round(100 * float(hits.mean()), 2)

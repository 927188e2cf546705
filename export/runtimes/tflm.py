"""What the real TFLM does with a model on x86-64: the arena it records, the outputs it computes.

TFLM runs in a child process (``tflm_process.py``), so that its log stays out of ours and
a model that crashes it becomes an error with a sentence.
"""

from __future__ import annotations

import importlib.util
import io
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.tflite.offline_plan import without_offline_plan
from mcofa.errors import FileFormatError, McofaError
from mcofa.files.missing_package import MissingPackageError
from mcofa.tflm_versions import default_version

_CHILD = Path(__file__).with_name("tflm_process.py")
_MEASURE_SECONDS = 120
_ALLOCATION = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True, slots=True)
class MeasuredArena:
    """Arena that the recording interpreter of the x86-64 wheel reports, in bytes."""

    head_bytes: int
    recording_tail_bytes: int
    total_bytes: int


def measure(data: bytes, name: str = "the model") -> MeasuredArena:
    """Return the arena that the TFLM wheel uses for the .tflite file ``data``.

    ``name`` is used in messages only.

    Raises:
        FileFormatError: TFLM cannot load the model, or crashes on it.
        MissingPackageError: the wheel is not installed.
    """
    (measured,) = measure_many([data], name)
    return measured


def measure_many(models: Sequence[bytes], name: str = "the models") -> list[MeasuredArena]:
    """Return what ``measure`` does for each of ``models``, starting TFLM only once.

    If TFLM refuses one of them, there is no answer for any. Raises as ``measure`` does.
    """
    request = b"".join(map(_framed, models))
    log = _run("measure", request, name, _MEASURE_SECONDS).stderr.decode("utf-8", "replace")
    sizes = [(part, int(size)) for part, size in _ALLOCATION.findall(log)]
    if [part for part, _ in sizes] != ["total", "head", "tail"] * len(models):
        raise McofaError(
            f"the TFLM wheel did not report its arena for {name}",
            f"install the version that mcofa reads: {default_version().wheel}",
        )
    totals, heads, tails = ([size for _, size in sizes[first::3]] for first in range(3))
    return [MeasuredArena(*parts) for parts in zip(heads, tails, totals, strict=True)]


def invoke(
    data: bytes,
    images: np.ndarray[Any, np.dtype[np.int8]],
    name: str = "the model",
    timeout_seconds: float | None = None,
) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Return the outputs that TFLM (reference kernels) computes, one row per image.

    ``images`` is int8 [n, height, width, channels], already quantized as the model's
    input; the result is int8 [n, outputs]. ``timeout_seconds`` is for all images together.

    Raises:
        FileFormatError: TFLM cannot load the model or run an image of this shape, crashes
            or takes longer than ``timeout_seconds``.
        MissingPackageError: the wheel is not installed.
        ValueError: no images, or they are not int8.
    """
    answer = _run("invoke", _framed(data) + _saved(images), name, timeout_seconds)
    outputs: np.ndarray[Any, np.dtype[np.int8]] = np.load(io.BytesIO(answer.stdout), allow_pickle=False)
    return outputs


def run(
    data: bytes, inputs: Sequence[np.ndarray[Any, Any]], name: str = "the model"
) -> list[np.ndarray[Any, Any]]:
    """Return each output, (n, ...), for each input, (n, ...), in the shapes that the file has.

    Raises:
        FileFormatError: TFLM cannot load or run the model, or crashes.
        MissingPackageError: the wheel is not installed.
    """
    payload = io.BytesIO()
    np.savez(payload, *inputs)
    answer = _run("run", _framed(data) + payload.getvalue(), name, None)
    outputs = np.load(io.BytesIO(answer.stdout), allow_pickle=False)
    return [outputs[key] for key in outputs.files]


def trace(
    data: bytes,
    images: np.ndarray[Any, np.dtype[np.int8]],
    tensors: Sequence[int],
    name: str = "the model",
) -> list[np.ndarray[Any, np.dtype[np.int8]]]:
    """Return the values of ``tensors``, each (n, ...), that TFLM computes for ``images``.

    TFLM keeps each tensor in memory of its own then, so an offline plan in the file is not followed.
    ``images`` are as in ``invoke``; raises as it does.
    """
    unplanned = _framed(without_offline_plan(data, name))
    listed = _framed(np.array(tensors, np.int64).tobytes())
    answer = _run("trace", unplanned + listed + _saved(images), name, None)
    values = np.load(io.BytesIO(answer.stdout), allow_pickle=False)
    return [values[key] for key in values.files]


def _saved(images: np.ndarray[Any, np.dtype[np.int8]]) -> bytes:
    if not len(images) or images.dtype != np.int8:
        raise ValueError(f"{len(images)} images of type {images.dtype}; int8 images are needed")
    payload = io.BytesIO()
    np.save(payload, np.ascontiguousarray(images), allow_pickle=False)
    return payload.getvalue()


def _framed(part: bytes) -> bytes:
    """Return ``part`` of a request after its length, as the child reads it."""
    return len(part).to_bytes(8, "little") + part


def _run(
    task: str, request: bytes, name: str, timeout_seconds: float | None
) -> subprocess.CompletedProcess[bytes]:
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingPackageError("tflite_micro")
    try:
        answer = subprocess.run(
            [sys.executable, "-P", str(_CHILD), task],
            input=request,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FileFormatError(name, f"TFLM did not finish within {timeout_seconds:g} s", _NEXT_STEP) from None
    if answer.returncode:
        raise FileFormatError(name, _failure(answer), _NEXT_STEP)
    return answer


_NEXT_STEP = "check the model with `mcofa arena MODEL.tflite`, and that images have the shape of its input"


def _failure(answer: subprocess.CompletedProcess[bytes]) -> str:
    """Say in one line why the child failed: its signal, or the last line of its log."""
    if answer.returncode < 0:
        return f"TFLM crashed on it ({signal.Signals(-answer.returncode).name})"
    lines = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    reasons = [line for line in lines if line and not line.startswith(("Traceback", " ", "RuntimeError"))]
    return f"TFLM refuses it: {(reasons or lines or ['no reason given'])[-1][:200]}"

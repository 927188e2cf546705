"""Running a .tflite with LiteRT's reference kernels (BUILTIN_REF)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export.tflite.quantized_axis import with_axes_in_range
from mcofa.errors import FileFormatError

Int8Array = npt.NDArray[np.int8]
_BATCH = 50
_SHOWN_LETTERS = 300
_OTHER_FILE = "export it again with `mcofa export`"


def invoke(data: bytes, images: Int8Array, name: str = "the model") -> Int8Array:
    """Return the outputs, int8 (n, outputs), for ``images``, int8 (n, height, width, channels).

    The batches are shared among the machine's cores. The default kernels (XNNPACK) are not
    used: they differ from TFLM's by up to 5 steps.

    Raises:
        FileFormatError: LiteRT cannot load the model.
    """
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    workers = min(os.cpu_count() or 1, len(batches))
    try:
        with ThreadPoolExecutor(workers) as pool:
            shares = pool.map(lambda worker: _invoke_batches(data, batches[worker::workers]), range(workers))
            results = list(shares)
    except (ValueError, RuntimeError) as error:
        raise _refusal(name, error, _OTHER_FILE) from error
    ordered: list[Any] = [None] * len(batches)
    for worker, outputs in enumerate(results):
        ordered[worker::workers] = outputs
    return np.concatenate(ordered)


def run(data: bytes, inputs: Sequence[npt.NDArray[Any]], name: str = "the model") -> list[npt.NDArray[Any]]:
    """Return each output, (n, ...), for each input, (n, ...), in the shapes that the file has.

    Raises:
        FileFormatError: LiteRT cannot load or run the model.
    """
    try:
        interpreter = _interpreter(data, preserve_all=False)
        interpreter.allocate_tensors()
        sources = [detail["index"] for detail in interpreter.get_input_details()]
        results = [detail["index"] for detail in interpreter.get_output_details()]
        answers = []
        for given in zip(*inputs, strict=True):
            for index, items in zip(sources, given, strict=True):
                interpreter.set_tensor(index, items)
            interpreter.invoke()
            answers.append([interpreter.get_tensor(index) for index in results])
    except (ValueError, RuntimeError) as error:
        step = "engine tflm is compared with TFLM instead: `--engine tflm`"
        raise _refusal(name, error, step) from error
    return [np.stack(values) for values in zip(*answers, strict=True)]


def trace(data: bytes, images: Int8Array, tensors: Sequence[int]) -> list[Int8Array]:
    """Return the values of ``tensors``, each (n, ...), for ``images`` as ``invoke`` takes them."""
    interpreter = _interpreter(data, preserve_all=True)
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, images)
    interpreter.invoke()
    return [interpreter.get_tensor(index) for index in tensors]


def quantizations(
    data: bytes, tensors: Sequence[int], name: str = "the model"
) -> dict[int, tuple[float, int]]:
    """Return scale and zero point of ``tensors``, as LiteRT reads them.

    Raises:
        FileFormatError: LiteRT cannot load the model.
    """
    try:
        details = _interpreter(data, preserve_all=False).get_tensor_details()
    except ValueError as error:
        raise _refusal(name, error, _OTHER_FILE) from error
    found = {detail["index"]: detail["quantization"] for detail in details}
    return {index: found[index] for index in tensors}


def _refusal(name: str, error: Exception, next_step: str) -> FileFormatError:
    """LiteRT may repeat its reason for every tensor."""
    reason = " ".join(str(error).split())
    shown = reason if len(reason) <= _SHOWN_LETTERS else f"{reason[:_SHOWN_LETTERS]}…"
    return FileFormatError(name, f"LiteRT refuses it: {shown}", next_step)


def _interpreter(data: bytes, preserve_all: bool) -> Interpreter:
    return Interpreter(
        model_content=with_axes_in_range(data),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=preserve_all,
        num_threads=1,
    )


def _invoke_batches(data: bytes, batches: list[Int8Array]) -> list[Int8Array]:
    interpreter = _interpreter(data, preserve_all=False)
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    outputs, planned_for = [], 0
    for batch in batches:
        if len(batch) != planned_for:
            interpreter.resize_tensor_input(source, batch.shape)
            interpreter.allocate_tensors()
            planned_for = len(batch)
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result).reshape(len(batch), -1))
    return outputs

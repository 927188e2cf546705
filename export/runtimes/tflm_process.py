"""TFLM in a process of its own; run as a script by ``export.runtimes.tflm``.

TFLM trusts its model file: a corrupt one may end the process. Here that ends only this
one. To measure, reads from stdin any number of models, each after its length (8 bytes,
little endian). To invoke, reads one model like that, then the images as .npy, and writes
the outputs as .npy to stdout. To run, reads one model, then every input as .npz, and writes
every output as .npz. To trace, reads tensor indices (int64) between the two, and
writes those tensors' values as .npz. TFLM logs to stderr.
Imports nothing of this project, so that it also runs where only the wheel is installed.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python.schema_py_generated import Model

ARENA_BYTES = 1 << 28
"""Ample for any model: pages that TFLM does not touch are never committed."""


def main(task: str) -> None:
    """Do ``task``: ``measure`` prints each model's allocations on stderr, the others run images."""
    model = _next_part()
    if task == "measure":
        while model is not None:
            _interpreter(model).print_allocations()
            model = _next_part()
    elif task == "invoke":
        np.save(sys.stdout.buffer, _invoke(_interpreter(model), _images()), allow_pickle=False)
    elif task == "run":
        inputs = np.load(io.BytesIO(sys.stdin.buffer.read()))
        outputs = Model.GetRootAs(model, 0).Subgraphs(0).OutputsLength()
        np.savez(
            sys.stdout.buffer, *_run(_interpreter(model), [inputs[key] for key in inputs.files], outputs)
        )
    else:
        tensors = np.frombuffer(_next_part() or b"", np.int64).tolist()
        interpreter = _interpreter(model, runtime.InterpreterConfig.kPreserveAllTensors)
        np.savez(sys.stdout.buffer, *_trace(interpreter, _images(), tensors))


def _next_part() -> bytes | None:
    length = sys.stdin.buffer.read(8)
    return sys.stdin.buffer.read(int.from_bytes(length, "little")) if length else None


def _images() -> np.ndarray[Any, Any]:
    images: np.ndarray[Any, Any] = np.load(io.BytesIO(sys.stdin.buffer.read()))
    return images


def _interpreter(model: bytes | None, config: Any = runtime.InterpreterConfig.kAllocationRecording) -> Any:
    return runtime.Interpreter.from_bytes(model or b"", arena_size=ARENA_BYTES, intrepreter_config=config)


def _invoke(interpreter: Any, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs = []
    for image in images:
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    return np.stack(outputs)


def _run(interpreter: Any, inputs: list[np.ndarray[Any, Any]], outputs: int) -> list[np.ndarray[Any, Any]]:
    answers = []
    for given in zip(*inputs, strict=True):
        for index, items in enumerate(given):
            interpreter.set_input(items, index)
        interpreter.invoke()
        answers.append([interpreter.get_output(index).copy() for index in range(outputs)])
    return [np.stack(values) for values in zip(*answers, strict=True)]


def _trace(interpreter: Any, images: np.ndarray[Any, Any], tensors: list[int]) -> list[np.ndarray[Any, Any]]:
    found = []
    for image in images:
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        found.append([interpreter.GetTensor(index, 0)["tensor_data"].copy() for index in tensors])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


if __name__ == "__main__":
    main(sys.argv[1])

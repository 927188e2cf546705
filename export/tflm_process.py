"""TFLM in a process of its own; run as a script by ``export.arena``.

TFLM trusts its model file: a corrupt one may end the process. Here that ends only this
one. To measure, reads from stdin any number of models, each after its length (8 bytes,
little endian). To invoke, reads one model like that, then the images as .npy, and writes
the outputs as .npy to stdout. TFLM logs to stderr.
Imports nothing of this project, so that it also runs where only the wheel is installed.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from tflite_micro import runtime

ARENA_BYTES = 1 << 28
"""Ample for any model: pages that TFLM does not touch are never committed."""


def main(task: str) -> None:
    """Do ``task``: ``measure`` prints each model's allocations on stderr, ``invoke`` runs images."""
    if task == "measure":
        while (model := _next_model()) is not None:
            _interpreter(model).print_allocations()
    else:
        interpreter = _interpreter(_next_model() or b"")
        images = np.load(io.BytesIO(sys.stdin.buffer.read()))
        np.save(sys.stdout.buffer, _invoke(interpreter, images), allow_pickle=False)


def _next_model() -> bytes | None:
    length = sys.stdin.buffer.read(8)
    return sys.stdin.buffer.read(int.from_bytes(length, "little")) if length else None


def _interpreter(model: bytes) -> Any:
    return runtime.Interpreter.from_bytes(model, arena_size=ARENA_BYTES)


def _invoke(interpreter: Any, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs = []
    for image in images:
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    return np.stack(outputs)


if __name__ == "__main__":
    main(sys.argv[1])

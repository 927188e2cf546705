"""One TFLM interpreter in a process of its own; run as a script by ``export.arena``.

TFLM trusts its model file: a corrupt one may end the process. Here that ends only this
one. Reads from stdin the model's length (8 bytes, little endian), the model and, to
invoke, the images as .npy; writes the outputs as .npy to stdout. TFLM logs to stderr.
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
    """Do ``task``: ``measure`` prints the allocations on stderr, ``invoke`` runs images."""
    request = sys.stdin.buffer.read()
    model_bytes = int.from_bytes(request[:8], "little")
    model, images = request[8 : 8 + model_bytes], request[8 + model_bytes :]
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=ARENA_BYTES)
    if task == "measure":
        interpreter.print_allocations()
    else:
        np.save(sys.stdout.buffer, _invoke(interpreter, np.load(io.BytesIO(images))), allow_pickle=False)


def _invoke(interpreter: Any, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs = []
    for image in images:
        interpreter.set_input(image[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    return np.stack(outputs)


if __name__ == "__main__":
    main(sys.argv[1])

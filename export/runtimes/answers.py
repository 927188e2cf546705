"""What a runtime answers to inputs that are given to it one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from export.runtimes import litert, tflm

Items = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A runtime of this machine whose answers an engine must give.

    ``run`` takes the .tflite file, an array (n, ...) for each input in turn, of the input's whole shape, and
    a name for messages; it returns such an array for each output. Each of the n runs starts where the one
    before left the model's variables.
    """

    title: str
    run: Callable[[bytes, Sequence[Items], str], list[Items]]


LITERT = Reference("LiteRT's reference kernels", litert.run)
TFLM = Reference("TFLM's reference kernels", tflm.run)

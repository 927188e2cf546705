"""Constants of generated C: arrays that are stored once, and initialisers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.aot.packing import Value
from export.templates.c_numbers import c_float

_ITEMS_PER_LINE = 16


@dataclass(frozen=True, slots=True)
class Array:
    """A constant: its C type, name and initialiser lines."""

    type: str
    name: str
    items: int
    lines: tuple[str, ...]


class Constants:
    """The constant arrays of a network; equal ones are stored once."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, bytes], Array] = {}
        self.shared_bytes = 0

    def name(self, values: npt.NDArray[Any], label: str) -> str:
        """Return the name of a constant with these values, which are int8, int32, int64 or float."""
        c_type = "float" if values.dtype == np.float32 else f"{values.dtype.name}_t"
        key = c_type, values.tobytes()
        if key in self.arrays:
            self.shared_bytes += values.nbytes
        else:
            self.arrays[key] = Array(c_type, label, values.size, tuple(_lines(values.ravel())))
        return self.arrays[key].name

    def initialiser(self, value: Value, label: str) -> str:
        """Return the C initialiser of a field; an array becomes a constant of its own."""
        if isinstance(value, np.ndarray):
            return self.name(value, label)
        if isinstance(value, float):
            return c_float(value)
        if isinstance(value, int):
            return str(value)
        return "{" + ", ".join(map(str, value)) + "}"


def _lines(values: npt.NDArray[Any]) -> Iterator[str]:
    for start in range(0, values.size, _ITEMS_PER_LINE):
        yield " ".join(f"{_literal(value)}," for value in values[start : start + _ITEMS_PER_LINE])


def _literal(value: Any) -> str:
    if isinstance(value, np.floating):
        return c_float(float(value))
    number = int(value)
    if number == -(1 << 31):
        return "INT32_MIN"
    return f"INT64_C({number})" if isinstance(value, np.int64) else str(number)

"""Which numbers the 256 levels of stored images stand for: of photographs and bytes, themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Levels:
    """Level k stands for the number ``first + step * k``."""

    first: float = 0.0
    step: float = 1.0


BYTES = Levels()

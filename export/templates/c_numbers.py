"""Numbers as C writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

BYTES_PER_LINE = 12
NUMBERS_PER_LINE = 16


def c_float(value: float) -> str:
    """Return a C ``float`` literal; nine significant digits identify every float32."""
    digits = f"{value:.9g}"
    return f"{digits}f" if re.search(r"[.e]", digits) else f"{digits}.0f"


def c_byte_lines(data: bytes) -> Iterable[str]:
    """Yield the lines of an array initialiser, each with at most ``BYTES_PER_LINE`` bytes."""
    for start in range(0, len(data), BYTES_PER_LINE):
        yield " ".join(f"0x{byte:02x}," for byte in data[start : start + BYTES_PER_LINE])


def c_number_lines(numbers: Iterable[int | float]) -> Iterable[str]:
    """Yield the lines of an array initialiser of small integers, or of floats."""
    texts = [f"{c_float(n) if isinstance(n, float) else n}," for n in numbers]
    for start in range(0, len(texts), NUMBERS_PER_LINE):
        yield " ".join(texts[start : start + NUMBERS_PER_LINE])

"""What an arena check predicted beside what it measured, as its manifest section holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compared(check: Mapping[str, Any]) -> list[tuple[str, str, int, int | None]]:
    """Return place, part, predicted and measured bytes; runs of mcofa 0.1 compared on x86-64 only."""
    if "comparisons" not in check:
        return [
            (
                *("x86-64", part),
                *(check[f"x86_64_{how}_{part}_bytes"] for how in ("predicted", "measured")),
            )
            for part in ("head", "tail")
        ]
    return [
        (one["place"], one["part"], one["predicted_bytes"], one["measured_bytes"])
        for one in check["comparisons"]
    ]

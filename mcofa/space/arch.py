"""Arch: one choice in a search space."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mcofa.errors import FileFormatError
from mcofa.space.resolution import (
    Resolution,
    resolution_from_json,
    resolution_text,
    resolution_to_json,
)


@dataclass(frozen=True, slots=True)
class Arch:
    """Kernel size and expand ratio of every active block, and the input resolution.

    The outer tuples run over the stages, the inner ones over the blocks of a stage;
    their lengths are the stage's depth. A block that cannot expand has the ratio 1.
    """

    resolution: Resolution
    kernel_sizes: tuple[tuple[int, ...], ...]
    expand_ratios: tuple[tuple[float, ...], ...]

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of blocks of each stage."""
        return tuple(len(stage) for stage in self.kernel_sizes)

    def to_json(self) -> dict[str, object]:
        """Return the arch as plain lists and numbers."""
        return {
            "resolution": resolution_to_json(self.resolution),
            "kernel_sizes": [list(stage) for stage in self.kernel_sizes],
            "expand_ratios": [list(stage) for stage in self.expand_ratios],
        }

    def __str__(self) -> str:
        """Write the arch in one line, a block as ``k5e3``, stages apart by ``|``."""
        stages = (
            " ".join(f"k{k}e{e:g}" for k, e in zip(kernels, expands, strict=True))
            for kernels, expands in zip(self.kernel_sizes, self.expand_ratios, strict=True)
        )
        return f"r{resolution_text(self.resolution)} | " + " | ".join(stages)


_EXAMPLE = '{"resolution": 28, "kernel_sizes": [[5, 3], [3]], "expand_ratios": [[4, 2], [1]]}'


def arch_from_json(data: object, source: str) -> Arch:
    """Read what ``Arch.to_json`` wrote; ``source`` names the file in errors.

    Raises:
        FileFormatError: a key is missing or unknown, a value has the wrong type, or the
            stages' depths disagree.
    """
    expected = {"resolution", "kernel_sizes", "expand_ratios"}
    step = f"write it with one list a stage, as in {_EXAMPLE}"
    if not isinstance(data, dict) or set(data) != expected:
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise FileFormatError(
            source, f"not an arch: expected the keys {sorted(expected)}, found {found}", step
        )
    try:
        arch = Arch(
            resolution=resolution_from_json(data["resolution"]),
            kernel_sizes=tuple(tuple(map(_whole, stage)) for stage in _stages(data["kernel_sizes"])),
            expand_ratios=tuple(tuple(map(_number, stage)) for stage in _stages(data["expand_ratios"])),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(source, f"not an arch: {error}", step) from error
    if arch.depths != tuple(len(stage) for stage in arch.expand_ratios):
        raise FileFormatError(source, "kernel_sizes and expand_ratios have different depths", step)
    return arch


def _stages(value: object) -> list[list[object]]:
    if not isinstance(value, list) or not all(isinstance(stage, list) for stage in value):
        raise TypeError(f"{value!r} is not one list a stage")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def parse_arch(text: str, source: str) -> Arch:
    """Read an arch from JSON text.

    Raises:
        FileFormatError: the text is no JSON, or no arch.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            source, f"not JSON: {error}", "write one with `mcofa search --out RUN`"
        ) from error
    return arch_from_json(data, source)

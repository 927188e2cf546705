"""The rows of the zoo's table: a space, a limit, and what was chosen within it; also as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SPACES = ("ofa-micro", "compofa-micro", "mcofa-micro")


@dataclass(frozen=True)
class Limit:
    """The most that a network may take of arena and model file, in KB of 1,024 B."""

    arena_kb: int
    model_kb: int

    @property
    def arena_bytes(self) -> int:
        """The arena in bytes."""
        return 1024 * self.arena_kb

    @property
    def model_bytes(self) -> int:
        """The model file in bytes."""
        return 1024 * self.model_kb

    def __str__(self) -> str:
        """Write the limits as in the page's first columns."""
        return f"{self.arena_kb} KB / {self.model_kb} KB"


LIMITS = tuple(Limit(arena_kb, 128) for arena_kb in (16, 24, 32, 48, 64, 96))
MORE_LIMITS = (Limit(32, 64), Limit(64, 64), Limit(256, 512))


@dataclass(frozen=True)
class Pick:
    """What was chosen within a limit, and what it measures.

    ``arch_cells`` are the columns that describe the arch. ``arena_bytes`` and ``model_bytes`` are
    those of the network with TFLM's own memory plan, the ``exported`` ones those of the exported
    file, which may carry a better plan. The validation accuracies are those of the float network.
    """

    arch: str
    arch_cells: Mapping[str, str]
    arena_bytes: int
    model_bytes: int
    macs: int
    predicted_top1_percent: float
    predicted_std_points: float
    outside_measured_range: bool
    validation_images: int
    validation_top1_percent: float
    finetuned_validation_top1_percent: float
    exported_arena_bytes: int
    exported_model_bytes: int
    test_images: int
    float_top1_percent: float
    int8_top1_percent: float

    @property
    def standard_error_points(self) -> float:
        """How far the int8 test accuracy is off by the chance of these images, in points."""
        return standard_error_points(self.int8_top1_percent, self.test_images)


@dataclass(frozen=True)
class Refusal:
    """Why nothing fits, and the smallest arena of the space."""

    problem: str
    smallest_arena_bytes: int


@dataclass(frozen=True)
class Supernet:
    """Where a space's weights and predictor come from."""

    phases: str
    epochs: float
    batch_size: int
    seed: int
    hours: float
    training_macs: int
    hardware: str
    validation_top1_percent: Mapping[str, float]
    measured_archs: int
    rmse_points: float
    kendall_tau: float


@dataclass(frozen=True)
class Settings:
    """How every pick was chosen and fine-tuned; ``target`` names core and kernels."""

    target: str
    board: str
    data: str
    verified: int
    epochs: int
    batch_size: int
    learning_rate: float


Row = Pick | Refusal
Rows = Mapping[str, Mapping[Limit, Row]]
"""What is known so far, by space and limit."""


def standard_error_points(top1_percent: float, images: int) -> float:
    """Return the standard error of an accuracy measured on so many images, in points."""
    share = top1_percent / 100
    return 100 * math.sqrt(share * (1 - share) / images)


def csv_rows(rows: Rows) -> list[dict[str, str]]:
    """Return one row a space and limit; what was not found leaves its cells empty."""
    found = [_csv_row(name, limit, row) for name, of_space in rows.items() for limit, row in of_space.items()]
    columns = list(dict.fromkeys(column for row in found for column in row))
    return [{column: row.get(column, "") for column in columns} for row in found]


def _csv_row(name: str, limit: Limit, row: Row) -> dict[str, str]:
    asked = {
        "space": name,
        "max_arena_bytes": str(limit.arena_bytes),
        "max_model_bytes": str(limit.model_bytes),
    }
    if isinstance(row, Refusal):
        return asked | {"problem": row.problem, "smallest_arena_bytes": str(row.smallest_arena_bytes)}
    return asked | {
        **row.arch_cells,
        "macs": str(row.macs),
        "arena_bytes": str(row.arena_bytes),
        "model_bytes": str(row.model_bytes),
        "exported_arena_bytes": str(row.exported_arena_bytes),
        "exported_model_bytes": str(row.exported_model_bytes),
        "predicted_top1_percent": f"{row.predicted_top1_percent:.3f}",
        "predicted_top1_std_points": f"{row.predicted_std_points:.3f}",
        "outside_measured_range": str(row.outside_measured_range).lower(),
        "validation_top1_percent": f"{row.validation_top1_percent:.2f}",
        "finetuned_validation_top1_percent": f"{row.finetuned_validation_top1_percent:.2f}",
        "float_test_top1_percent": f"{row.float_top1_percent:.2f}",
        "int8_test_top1_percent": f"{row.int8_top1_percent:.2f}",
        "int8_test_standard_error_points": f"{row.standard_error_points:.2f}",
    }

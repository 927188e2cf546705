"""The rows of the zoo's table: a space, a limit, and what was chosen within it; also as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter

from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES
from mcofa.errors import FileFormatError
from mcofa.search import Budget

SPACES = ("ofa-micro", "compofa-micro", "mcofa-micro")


@dataclass(frozen=True)
class Limit:
    """The most that a network may take with an engine, in KB of 1,024 B; None where any amount will do.

    ``model_kb`` is the model file, ``flash_kb`` the whole program.
    """

    arena_kb: int
    model_kb: int | None = None
    flash_kb: int | None = None
    engine: str = DEFAULT_ENGINE

    @property
    def budget(self) -> Budget:
        """The same as the search takes it."""
        sizes_kb = (self.arena_kb, self.flash_kb, self.model_kb)
        arena, flash, model = (None if kb is None else 1024 * kb for kb in sizes_kb)
        return Budget(arena_bytes=arena, flash_bytes=flash, model_bytes=model)

    def __str__(self) -> str:
        """Write the limits in words; on the model file as in the page's first column."""
        if self.flash_kb is None:
            return f"{self.arena_kb} KB / {self.model_kb} KB"
        return f"{self.arena_kb} KB, flash {self.flash_kb} KB, {self.engine}"


LIMITS = tuple(Limit(arena_kb, 128) for arena_kb in (16, 24, 32, 48, 64, 96))
MORE_LIMITS = (Limit(32, 64), Limit(64, 64), Limit(256, 512))
ENGINE_LIMITS = {
    engine: tuple(Limit(arena_kb, flash_kb=256, engine=engine) for arena_kb in (8, 12, 16, 24, 32))
    for engine in ENGINES
}
"""Those within which the engines are compared, by engine."""
ALL_LIMITS = (*LIMITS, *MORE_LIMITS, *chain.from_iterable(ENGINE_LIMITS.values()))


@dataclass(frozen=True)
class Measured:
    """What an arch measures after fine-tuning; the validation accuracies are those of the float network.

    The exported figures are those of the file for TFLM, which may carry a better memory plan than TFLM's.
    """

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
class Pick(Measured):
    """What was chosen within a limit, and what it measures.

    ``made_from`` stands for the files and settings that the choice rests on. The four fields after it
    describe the arch, as tables of archs do. The bytes are those of the engine, with TFLM's own memory plan.
    """

    made_from: str
    kernel_sizes: str
    expand_ratios: str
    depths: str
    image_size: str
    arena_bytes: int
    model_bytes: int
    flash_bytes: int
    macs: int
    predicted_top1_percent: float
    predicted_std_points: float
    outside_measured_range: bool


@dataclass(frozen=True)
class Refusal:
    """Why nothing fits, and the smallest arena of the space."""

    made_from: str
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
    """How every pick was chosen and fine-tuned; ``target`` names core and kernels.

    ``predicted_after_epochs``: how long the archs were fine-tuned that the predictors are fitted on.
    """

    target: str
    board: str
    data: str
    predicted_after_epochs: int
    epochs: int
    batch_size: int
    learning_rate: float


_LIMITED = ("arena_bytes", "model_bytes", "flash_bytes")

Row = Pick | Refusal
Rows = Mapping[str, Mapping[Limit, Row]]
"""What is known so far, by space and limit."""


def standard_error_points(top1_percent: float, images: int) -> float:
    """Return the standard error of an accuracy measured on so many images, in points."""
    share = top1_percent / 100
    return 100 * math.sqrt(share * (1 - share) / images)


def csv_rows(rows: Rows) -> list[dict[str, str]]:
    """Return one row a space and limit; what was not found leaves its cells empty."""
    columns = list(dict.fromkeys(field.name for kind in (Pick, Refusal) for field in fields(kind)))
    return [
        {
            "space": name,
            "engine": limit.engine,
            **{f"max_{name}": _cell(limit.budget.limits.get(name, "")) for name in _LIMITED},
            **{column: _cell(getattr(row, column, "")) for column in columns},
        }
        for name, of_space in rows.items()
        for limit, row in of_space.items()
    ]


def _cell(value: object) -> str:
    return str(round(value, 3) if isinstance(value, float) else value)


def read_rows(path: Path) -> dict[str, dict[Limit, Row]]:
    """Read what ``csv_rows`` gave, rounded to thousandths; nothing if there is no file.

    Raises:
        FileFormatError: the file is something else.
    """
    rows: dict[str, dict[Limit, Row]] = {}
    if not path.exists():
        return rows
    try:
        for cells in csv.DictReader(path.read_text().splitlines()):
            arena_kb, model_kb, flash_kb = (
                int(cells[f"max_{name}"]) // 1024 if cells[f"max_{name}"] else None for name in _LIMITED
            )
            limit = Limit(arena_kb or 0, model_kb, flash_kb, cells["engine"])
            kind: TypeAdapter[Row] = TypeAdapter(Refusal if cells["problem"] else Pick)
            rows.setdefault(cells["space"], {})[limit] = kind.validate_python(cells)
    except (KeyError, ValueError) as error:
        detail = f"not a table of the zoo: {error}"
        raise FileFormatError(path, detail, "restore it from git, or delete it") from error
    return rows

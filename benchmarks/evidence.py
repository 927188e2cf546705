"""What predictions are compared with, and how much of it is at hand.

What this project measured or made lies in ``tests/data``. What others published is not part of the
repository: it is looked for in the folder ``MCOFA_DATA``, or in ``shared/data`` beside the checkout.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_ARENAS = "tflm_arena"
FIGURES = ("head_bytes", "recording_tail_bytes", "arena_used_bytes", "minimum_arena_bytes")


@dataclass(frozen=True)
class MeasuredArena:
    """What TFLM used for a model on a core, in bytes; x86-64 tells only the first two.

    ``instructions`` of one inference, None where it was not counted.
    """

    model: str
    core: str
    kernels: str
    figures: dict[str, int]
    instructions: int | None


def own_data() -> Path:
    """The folder of what this project measured or made."""
    return _ROOT / "tests" / "data"


def outside_data() -> Path:
    """The folder of what others published, which may not be there."""
    named = os.environ.get("MCOFA_DATA")
    return Path(named) if named else _ROOT.parent / "shared" / "data"


def measured_arenas() -> list[MeasuredArena]:
    """Every measured arena, whether its model is at hand or not."""
    with (own_data() / _ARENAS / "measured.csv").open(encoding="utf-8", newline="") as file:
        return [
            MeasuredArena(
                row["model"],
                row["core"],
                row["kernels"],
                {name: int(row[name]) for name in FIGURES if row[name]},
                int(row["instructions_per_inference"]) if row["instructions_per_inference"] else None,
            )
            for row in csv.DictReader(file)
        ]


def arena_versions() -> dict[str, str]:
    """The versions of everything that the arenas were measured with."""
    text = (own_data() / _ARENAS / "versions.json").read_text(encoding="utf-8")
    versions: dict[str, str] = json.loads(text)
    return versions


def measured_models() -> dict[str, Path]:
    """The files of the measured models that are at hand, by name."""
    folders = (outside_data() / _ARENAS, own_data() / _ARENAS)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.tflite"))}


def report_evidence(what: str, found: int, of: int, missing: Collection[str]) -> None:
    """Say how much was compared; end with status 1 if some is missing and ``--expect-all`` was given."""
    print(f"{found} of {of} {what} compared")
    if missing:
        print(f"missing: {', '.join(sorted(missing))} (looked for in {outside_data()}; set MCOFA_DATA)")
        if "--expect-all" in sys.argv[1:]:
            print("error: not all was compared", file=sys.stderr)
            sys.exit(1)

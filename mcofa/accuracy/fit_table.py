"""From a table of measured archs to a predictor file, and how good it is on archs that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcofa.accuracy.fit import Quality, fit_predictor, quality
from mcofa.accuracy.predictor import Provenance, save_predictor
from mcofa.errors import FileFormatError
from mcofa.space.arch_table import read_measured
from mcofa.space.search_space import SearchSpace


@dataclass(frozen=True)
class HeldOut:
    """How well further archs were predicted: anywhere, and where their measurement batch was known."""

    archs: int
    anywhere: Quality
    in_batch: Quality | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        batch = {} if self.in_batch is None else asdict(self.in_batch)
        return {
            "archs": self.archs,
            **asdict(self.anywhere),
            **{f"{name}_in_batch": value for name, value in batch.items()},
        }


def fit_table(
    table: Path, space: SearchSpace, out: Path, note: str = "", held_out: Path | None = None
) -> tuple[Provenance, HeldOut | None]:
    """Fit a predictor on the measured archs in the CSV ``table`` and write it to ``out``.

    ``note`` says on which checkpoint and data they were measured. The archs in ``held_out`` are
    predicted only.

    Raises:
        MissingFileError: a table is not there.
        FileFormatError: a table is damaged, of another space, or measured unlike the other.
        McofaError: there are too few archs, or all are equally accurate.
        DiskWriteError: the predictor could not be written.
    """
    measured = read_measured(table, space)
    tried = None if held_out is None else read_measured(held_out, space)
    if held_out is not None and tried is not None and tried.finetune_epochs != measured.finetune_epochs:
        raise FileFormatError(
            held_out,
            f"was measured after {tried.finetune_epochs} epochs of fine-tuning, "
            f"{table} after {measured.finetune_epochs}",
            "name tables that were measured alike",
        )
    predictor = fit_predictor(space, measured, note or table.name)
    save_predictor(out, predictor)
    if tried is None:
        return predictor.provenance, None
    found = quality(predictor.predict(space, tried.genomes).top1_percent, tried.top1_percent)
    in_batch = None
    if predictor.provenance.batches and tried.batches:
        predicted = predictor.predict(space, tried.genomes, tried.batches)
        in_batch = quality(predicted.top1_percent, tried.top1_percent)
    return predictor.provenance, HeldOut(len(tried), found, in_batch)

"""Everything that is known about archs without building them: what they cost, and predicted accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcofa.accuracy.predictor import OtherSpaceError, load_predictor
from mcofa.boards import Board
from mcofa.cost.table import Columns, arch_cost, arch_costs
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.errors import MissingFileError
from mcofa.files.resources import data_folder
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace


def known_of_arch(
    space: SearchSpace,
    arch: Arch,
    board: Board | None,
    engine: str = DEFAULT_ENGINE,
    predictor_file: Path | None = None,
) -> dict[str, Any]:
    """Return what ``arch_cost`` returns, and ``predicted_accuracy`` of the arch.

    Raises:
        InvalidArchError: the arch is not in the space.
        MissingFileError, OtherSpaceError: the predictor named is not there, or of another space.
    """
    predicted = predicted_accuracy(space, space.encode([arch]), predictor_file)
    return arch_cost(space, arch, board, engine) | {name: values[0] for name, values in predicted.items()}


def known_of_archs(
    space: SearchSpace,
    genomes: Genomes,
    board: Board | None,
    engine: str = DEFAULT_ENGINE,
    predictor_file: Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Columns:
    """Return what ``arch_costs`` returns, and ``predicted_accuracy`` of the archs.

    Raises:
        MissingFileError, OtherSpaceError: the predictor named is not there, or of another space.
    """
    costs = arch_costs(space, genomes, board, report, engine)
    return costs | predicted_accuracy(space, genomes, predictor_file)


def predicted_accuracy(space: SearchSpace, genomes: Genomes, file: Path | None = None) -> Columns:
    """Return one list a number, each (archs,): accuracy, its standard deviation, and what both hold for.

    Nothing where no ``file`` is named and the zoo has no predictor for the space.

    Raises:
        MissingFileError, OtherSpaceError: the predictor named is not there, or of another space.
    """
    try:
        predictor = load_predictor(file or data_folder("zoo") / f"{space.name}.npz", space)
    except (MissingFileError, OtherSpaceError):
        if file is None:
            return {}
        raise
    found = predictor.predict(space, genomes)
    return {
        "predicted_top1_percent": found.top1_percent.round(3).tolist(),
        "predicted_top1_std_points": found.std_points.round(3).tolist(),
        "outside_measured_range": found.extrapolates.tolist(),
        "predictor_finetune_epochs": [predictor.provenance.finetune_epochs] * len(genomes),
    }

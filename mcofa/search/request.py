"""What a search is asked for, whatever the board."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mcofa.accuracy.predictor import Predictor, load_predictor
from mcofa.boards import Board, Kernels
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.files.resources import data_folder
from mcofa.search.budget import Budget, board_budget
from mcofa.search.deadline import Deadline
from mcofa.space.search_space import SearchSpace
from mcofa.tflm_versions import TflmVersion


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for; everything but the space and its predictor has a default.

    ``limits`` are the user's own; a board's are added to them. With ``streams_input`` the image arrives row
    by row. With ``min_top1_percent`` the smallest arch is searched for, else the most accurate one.
    ``measures``: also find the front of two or three of them. ``keep``: how many of the best candidates are
    kept, to measure them. ``kernels`` and ``tflm``: others than the board's. ``command`` is what the user
    typed, for the manifest.
    """

    space: SearchSpace
    predictor: Predictor
    predictor_file: Path
    engine: str = DEFAULT_ENGINE
    streams_input: bool = False
    kernels: Kernels | None = None
    tflm: TflmVersion | None = None
    limits: Budget = field(default_factory=Budget)
    min_top1_percent: float | None = None
    measures: tuple[str, ...] = ()
    keep: int = 1
    deadline: Deadline = field(default_factory=Deadline)
    seed: int = 0
    command: tuple[str, ...] = ()

    def on(self, board: Board) -> Board:
        """Return the board with the kernels and the version of TFLM asked for."""
        board = board if self.kernels is None else board.with_kernels(self.kernels)
        return board if self.tflm is None else board.with_tflm(self.tflm)

    def budget(self, board: Board | None) -> Budget:
        """Return the budget on a board, or without one."""
        if board is None:
            return self.limits
        own = self.limits
        return board_budget(
            board, own.arena_bytes, own.flash_bytes, own.latency_ms, own.peak_items, own.model_bytes
        )


def zoo_predictor(space: SearchSpace, finetuned: bool = False) -> tuple[Predictor, Path]:
    """Return the predictor of a space that comes with mcofa, and its file.

    With ``finetuned`` it is the one of accuracies after fine-tuning.

    Raises:
        MissingFileError: there is none for the space.
    """
    file = data_folder("zoo") / f"{space.name}{'-finetuned' if finetuned else ''}.npz"
    return load_predictor(file, space), file

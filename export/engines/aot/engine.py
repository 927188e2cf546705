"""Engine ``aot`` for building and checking: measured in the emulator, on a board with the same core."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from export.convert.to_c import DeployedModel
from export.engines.aot.firmware import aot_part
from export.engines.comparison import Comparison
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images
from export.firmware.emulate import emulate, enforce_report, missing_tools
from export.firmware.engine_part import EnginePart, check_fits
from export.firmware.project import render_firmware
from export.tflite.model_file import ModelFile
from mcofa.boards import Board, board_names, load_board
from mcofa.engines.engine import load_engine
from mcofa.errors import BudgetError, MissingFileError

_CHECKED_IMAGES = 2


@dataclass(frozen=True)
class _Measured:
    arena_bytes: int | None = None
    flash_bytes: int | None = None
    why_not: str = ""


class AotDeviceEngine:
    """Generated C."""

    def firmware(self, board: Board, model: DeployedModel) -> EnginePart:
        """Return the generated network and its kernels."""
        return aot_part(board, model)

    def measure(
        self, model: ModelFile, board: Board, *, streams_input: bool = False
    ) -> tuple[Comparison, ...]:
        """Return the arena that is touched and the flash that is linked on an emulated board of that core.

        Raises:
            EmulationError: the program fails its self-test there.
        """
        twin = emulated_twin(board)
        on = twin or board
        needs = load_engine("aot").needs(model.graph, on, len(model.data), streams_input=streams_input)
        arena_bytes, flash_bytes = needs.arena_bytes, needs.flash.total_bytes
        try:
            part = aot_part(on, deployed_file(model, on, "aot", streams_input))
            arena_bytes, flash_bytes = part.model.arena_bytes, part.flash_bytes
            found = _measured(part, twin, board)
        except MissingFileError as error:
            found = _Measured(why_not=error.problem)
        return tuple(
            Comparison(on.name, part_of, predicted, measured, exact=False, by=by, why_not=found.why_not)
            for part_of, predicted, measured, by in (
                ("arena", arena_bytes, found.arena_bytes, "its self-test"),
                ("flash", flash_bytes, found.flash_bytes, "the linker"),
            )
        )


def emulated_twin(board: Board) -> Board | None:
    """Return ``board`` if it is emulated, else an emulated one with its core and kernels, the largest."""
    if board.emulate:
        return board
    others = [load_board(name) for name in board_names()]
    twins = [other for other in others if other.emulate and other.core == board.core]
    largest = max(twins, key=lambda twin: twin.arena_budget_bytes, default=None)
    return largest and replace(largest, kernels=board.kernels)


def _measured(part: EnginePart, twin: Board | None, board: Board) -> _Measured:
    if twin is None:
        return _Measured(why_not=f"no emulated board has a {board.core}")
    if missing := missing_tools(twin):
        return _Measured(why_not=f"{' and '.join(missing)} not installed")
    # Reads linked programs with pyelftools, which only building needs.
    from export.firmware.build import build

    try:
        check_fits(part, twin)
    except BudgetError:
        return _Measured(why_not=f"{twin.name}, which is emulated, has too little memory")
    few = device_images(part, twin).first(_CHECKED_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        render_firmware(twin, part, few, project)
        linked = build(project)
        report = emulate(project, twin)
    enforce_report(report, part)
    return _Measured(report.arena_touched_bytes, linked.flash_bytes)


ENGINE = AotDeviceEngine()

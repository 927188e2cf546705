"""Running a built firmware in QEMU, and judging what it says of itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from export.firmware.engine_part import EnginePart
from export.firmware.project import PROGRAM
from mcofa.boards import Board, board_names, load_board
from mcofa.errors import McofaError

EMULATION_SECONDS = 900.0
_NANOSECONDS_PER_SECOND = 1_000_000_000


class EmulationError(McofaError):
    """The firmware did not run in the emulator, or its self-test failed there."""


@dataclass(frozen=True, slots=True)
class BootReport:
    """The line of JSON that a firmware prints at start; the keys are explained in docs/firmware.md.

    ``cycles`` are those of the counter named in ``counter``.
    """

    model_sha256: str
    engine: str
    board: str
    arena_reserved_bytes: int
    arena_touched_bytes: int
    arena_guards_intact: bool
    arena_used_bytes: int
    arena_used_predicted_bytes: int
    stack_reserved_bytes: int
    stack_used_bytes: int
    counter: str
    cycles: int
    images: int
    images_equal_to_host: int
    top1: int
    label: str
    passed: bool

    def instructions(self, board: Board) -> int:
        """Return the instructions of one inference: QEMU lets each take a nanosecond of SysTick's clock."""
        return round(self.cycles * _NANOSECONDS_PER_SECOND / board.clock_hz)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the firmware printed it."""
        return asdict(self)


def emulate(project: Path, board: Board, timeout_seconds: float = EMULATION_SECONDS) -> BootReport:
    """Run the program built in ``project`` in QEMU and return what it prints.

    Raises:
        EmulationError: the board is not emulated, QEMU failed or took too long, or the firmware
            printed something else (a fault, for instance).
        McofaError: QEMU is not installed.
    """
    check_emulated(board)
    command = board.emulator_command(project / PROGRAM.with_suffix(".elf"))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        step = f"sudo apt-get install {board.core_facts.family.emulator_package}"
        raise McofaError(f"{command[0]} is not installed", step) from error
    except subprocess.TimeoutExpired as error:
        raise EmulationError(
            f"the firmware in {project} did not finish within {timeout_seconds:g} s",
            f"watch it with `make -C {project} emulate`",
        ) from error
    return boot_report(done.stdout, f"exit status {done.returncode}: {done.stderr.strip()[:200]}")


def combined(reports: Sequence[BootReport]) -> BootReport:
    """Return one report of several programs that differ in their test images only."""
    return replace(
        reports[0],
        arena_touched_bytes=max(report.arena_touched_bytes for report in reports),
        arena_guards_intact=all(report.arena_guards_intact for report in reports),
        stack_used_bytes=max(report.stack_used_bytes for report in reports),
        images=sum(report.images for report in reports),
        images_equal_to_host=sum(report.images_equal_to_host for report in reports),
        passed=all(report.passed for report in reports),
    )


def check_emulated(board: Board) -> None:
    """Do nothing if there is a machine that stands in for ``board``.

    Raises:
        EmulationError: there is none.
    """
    if board.emulate is None:
        emulated = [name for name in board_names() if load_board(name).emulate]
        raise EmulationError(
            f"QEMU does not have {board.title}", f"choose an emulated board: {', '.join(emulated)}"
        )


def missing_tools(board: Board) -> list[str]:
    """Return what building for ``board`` and running it in the emulator lack here."""
    family = board.core_facts.family
    needed = ("make", f"{family.toolchain}-gcc", family.emulator)
    missing = [program for program in needed if shutil.which(program) is None]
    return missing + ["pyelftools"] * (importlib.util.find_spec("elftools") is None)


def boot_report(text: str, otherwise: str) -> BootReport:
    """Return the boot report in what a firmware printed.

    Raises:
        EmulationError: there is none; the message holds what was printed, or else ``otherwise``.
    """
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and set(values) == {field.name for field in fields(BootReport)}:
            return BootReport(**values)
    raise EmulationError(
        f"the firmware printed no report ({text.strip()[-300:] or otherwise})",
        "look up the address of a fault in build/firmware.map, or run it under gdb (-s -S)",
    )


def enforce_report(report: BootReport, engine: EnginePart) -> None:
    """Do nothing when the self-test passed with this engine and its model.

    Raises:
        EmulationError: says what differs.
    """
    failures, sha256 = [], engine.model.file.sha256
    if report.model_sha256 != sha256:
        failures.append(f"it runs the model {report.model_sha256[:12]}, not {sha256[:12]}")
    if report.images_equal_to_host != report.images:
        failures.append(
            f"{report.images - report.images_equal_to_host} of {report.images} images get other output bytes "
            "than on the host"
        )
    if engine.fills_arena and report.arena_touched_bytes != report.arena_reserved_bytes:
        failures.append(
            f"it touches {report.arena_touched_bytes:,} B of an arena of {report.arena_reserved_bytes:,} B"
        )
    if report.arena_used_bytes != report.arena_used_predicted_bytes:
        failures.append(
            f"the engine uses {report.arena_used_bytes:,} B of arena, not the predicted "
            f"{report.arena_used_predicted_bytes:,} B"
        )
    if not report.arena_guards_intact:
        failures.append("something wrote beside the arena")
    if failures or not report.passed:
        raise EmulationError(
            f"the self-test of {report.engine} on {report.board} failed: "
            f"{'; '.join(failures) or 'it says so'}",
            "report this as a bug, with the model",
        )

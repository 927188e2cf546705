"""Firmware projects as a whole: with a run's network or any model file, written, built and emulated."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.convert.deploy import deployed_model
from export.convert.to_c import DeployedModel
from export.engines.engine import device_engine
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images, self_test_inputs, with_answers
from export.firmware.emulate import BootReport, combined, emulate
from export.firmware.engine_part import EnginePart, check_fits
from export.firmware.project import render_firmware, replace_images
from export.firmware.run_images import run_images
from export.runtimes.answers import Items
from export.runtimes.litert import Int8Array
from export.tflite.model_file import ModelFile
from mcofa.boards import ARENA_GUARD_BYTES, Board
from mcofa.errors import McofaWarning, MissingFileError
from mcofa.runs.manifest import ExportSection
from mcofa.runs.run import Run

_LARGER_CODE_BYTES = 1_024
"""By how much a library's code may exceed what was counted before that is worth a word."""


@dataclass(frozen=True)
class FirmwareProject:
    """A firmware project that was written: its folder, what it is for, and its files by path in it.

    It carries the first ``test_images`` of the images in ``inputs``, an array for each input of the network.
    """

    folder: Path
    board: Board
    engine: EnginePart
    inputs: tuple[Items, ...]
    test_images: int
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {
            "board": self.board.name,
            "engine": self.engine.name,
            "streams_input": self.engine.model.streams_input,
            "folder": str(self.folder),
            "arena_bytes": self.engine.model.arena_bytes,
            "test_images": self.test_images,
            "files": list(self.files),
        }

    def build(self) -> dict[str, Any]:
        """Compile and link it; return the bytes of flash and RAM, linked and predicted.

        Raises:
            McofaError: make or the compiler is missing, or something does not compile or fit.
        """
        # Rendering alone needs no reader of ELF files, which is in the extra "firmware".
        from export.firmware.build import build

        flash_bytes, basis = self.predicted_flash()
        sizes, reserved = build(self.folder), self.board.reserved
        stack_and_data_bytes = reserved.stack_bytes + reserved.runtime_ram_bytes
        return {
            "flash_bytes": sizes.flash_bytes,
            "flash_predicted_bytes": flash_bytes,
            "flash_basis": basis,
            "test_image_bytes": sizes.test_image_bytes,
            "ram_bytes": sizes.ram_bytes,
            "ram_predicted_bytes": self.engine.model.arena_bytes + ARENA_GUARD_BYTES + stack_and_data_bytes,
        }

    def predicted_flash(self) -> tuple[int, str]:
        """Return flash and what it rests on: with the library that is there, where the engine links one.

        Warns where its code is larger than what was counted with.

        Raises:
            McofaError: the library is missing, or was compiled for something else than the board.
        """
        part = self.engine
        if part.measure_library is None:
            return part.flash_bytes, part.flash_basis
        library = part.measure_library(self.folder, self.board)
        if library.code_bytes > part.code_bytes + _LARGER_CODE_BYTES:
            warnings.warn(
                f"with this network {library.file} links {library.code_bytes:,} B of code, and "
                f"{part.code_bytes:,} B were counted, as it takes when it is built with {library.arguments}",
                McofaWarning,
                stacklevel=2,
            )
        flash_bytes = part.flash_bytes - part.code_bytes + library.code_bytes
        return flash_bytes, f"model file, code that {library.file} links, board's reserve"

    def emulate(self) -> BootReport:
        """Run its self-test in the emulator, once it is built; ``enforce_report`` says whether it passed.

        Images that the project does not carry are run by a copy of it, as many at a time as fit.

        Raises:
            EmulationError: QEMU does not have the board, or the firmware said nothing.
            McofaError: QEMU is not installed.
        """
        from export.firmware.build import build

        reports = [emulate(self.folder, self.board)]
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "project"
            for start in range(self.test_images, len(self.inputs[0]), self.test_images):
                others = [items[start : start + self.test_images] for items in self.inputs]
                if not copy.exists():
                    shutil.copytree(self.folder, copy)
                replace_images(copy, self.board, self.engine, with_answers(self.engine, others))
                build(copy)
                reports.append(emulate(copy, self.board))
        return combined(reports)


def project_of_run(
    run: Run, board: Board, engine: str, folder: Path | None = None, *, streams_input: bool = False
) -> FirmwareProject:
    """Write a project with the network that ``run`` exported, by default into the run.

    Warns where the run's data set is not at hand, so that the test images are random.

    Raises:
        RunError: the run holds no export.
        BudgetError: the network does not fit the board.
        UnsupportedOpError: the engine has no kernel for an op.
        UnstreamableInputError: the engine cannot take the input row by row.
        DiskWriteError: the project could not be written.
    """
    exported = run.section("export")
    file = ModelFile(run.read(run.export.tflite))
    model = deployed_model(exported, file, board, engine, streams_input)
    return _write(
        model,
        board,
        engine,
        folder or run.folder / "firmware" / f"{board.name}-{engine}",
        _images_of(run.export),
    )


def project_of_file(
    file: ModelFile, board: Board, engine: str, folder: Path, *, streams_input: bool = False
) -> FirmwareProject:
    """Write a project with any model; its test images are random.

    Raises:
        FileFormatError: not a .tflite file.
        BudgetError: the network does not fit the board.
        UnsupportedOpError: the engine has no kernel for an op.
        UnstreamableInputError: the engine cannot take the input row by row.
        DiskWriteError: the project could not be written.
    """
    return _write(deployed_file(file, board, engine, streams_input), board, engine, folder, None)


def _write(
    model: DeployedModel, board: Board, engine: str, folder: Path, candidates: Int8Array | None
) -> FirmwareProject:
    part = device_engine(engine).firmware(board, model)
    check_fits(part, board)
    images = device_images(part, board, candidates)
    inputs = images.inputs if images.computed else self_test_inputs(model, board, candidates)
    paths = render_firmware(board, part, images, folder)
    files = tuple(str(path.relative_to(folder.absolute())) for path in paths)
    return FirmwareProject(folder, board, part, inputs, images.count, files)


def _images_of(exported: ExportSection) -> Int8Array | None:
    """Return the run's test images, or None for random ones where its data set is not at hand."""
    try:
        return run_images(exported)
    except MissingFileError as error:
        warnings.warn(f"test images are random: {error.problem}", McofaWarning, stacklevel=2)
        return None

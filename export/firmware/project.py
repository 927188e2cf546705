"""A firmware project for one board, engine and model, rendered from ``firmware_templates/``."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.convert.to_c import DeployedModel, DeployedTensor, to_c
from export.firmware.device_images import DeviceImages
from export.firmware.engine_part import EnginePart
from export.runtimes.answers import Items
from export.templates.render import render_template
from mcofa.boards import Board
from mcofa.errors import DiskWriteError, McofaError

MARKER = ".mcofa-firmware"
"""The file by which a rendered project is recognised, so that it may be replaced."""

PROGRAM = Path("build/firmware")
"""The program that a project builds, without suffix."""

_PIXEL_VALUES = 256
_SOURCES = (
    "arena.c",
    "arena.h",
    "board.h",
    "cycles.c",
    "cycles.h",
    "engine.h",
    "input.c",
    "input.h",
    "main.c",
    "print.c",
    "print.h",
    "quantize.h",
    "stack.h",
    "startup.c",
    "test_images.c",
    "test_images.h",
)
_PROJECT_FILES = ("Makefile", "README.md", "linker.ld", *(f"src/{name}" for name in _SOURCES))


def render_firmware(board: Board, engine: EnginePart, images: DeviceImages, destination: Path) -> list[Path]:
    """Write a complete firmware project into ``destination``.

    The project is written beside ``destination`` and renamed, so it is there whole or
    not at all; an earlier project of ours is replaced. Nothing is built or downloaded.

    Returns:
        The files written, sorted.

    Raises:
        McofaError: ``destination`` holds something that is not a rendered project, or there is no start
            code for the board's core.
        DiskWriteError: the operating system refused to write.
    """
    contents = _project_contents(board, engine, images)
    destination = destination.absolute()
    _refuse_foreign_folder(destination)
    with _replacing_folder(destination) as temporary:
        for name, data in contents.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return sorted(destination / name for name in contents)


def replace_images(project: Path, board: Board, engine: EnginePart, images: DeviceImages) -> None:
    """Give a rendered project other test images."""
    contents = _project_contents(board, engine, images)
    for name in ("src/test_images.c", "src/test_images.h"):
        (project / name).write_bytes(contents[name])


def pixel_table(model: DeployedModel, given: DeployedTensor) -> list[Items]:
    """Return what an input of ``model`` is given for every pixel of 0..255, one row of 256 a channel.

    Empty for an input that is no image.
    """
    if not given.is_image:
        return []
    pixels = np.arange(_PIXEL_VALUES, dtype=np.float32) / np.float32(_PIXEL_VALUES - 1)
    rows: list[Items] = []
    for mean, std in zip(model.channel_means(given), model.channel_stds(given), strict=True):
        normalised = (pixels - np.float32(mean)) / np.float32(std)
        if given.is_float:
            rows.append(normalised)
            continue
        steps = np.round(normalised / given.scale) + given.zero_point
        rows.append(np.clip(steps, *given.integer_range).astype(str(given.dtype)))
    return rows


def _project_contents(board: Board, engine: EnginePart, images: DeviceImages) -> dict[str, bytes]:
    model = engine.model
    core = board.core_facts
    if core.start_up is None:
        raise McofaError(
            f"there is no start code for core {core.name} of {board.name} yet, so no firmware",
            "use the C array of `mcofa export` in a project of your own, or choose a board with another core "
            "(`mcofa boards`)",
        )
    values: dict[str, object] = {
        "board": board,
        "model": model,
        "engine": engine.name,
        "fills_arena": engine.fills_arena,
        "arena_used_bytes": engine.arena_used_bytes,
        "model_sha256": model.file.sha256,
        "test_images": images,
        "reference": engine.reference.title,
        "pixel_tables": [[row.tolist() for row in pixel_table(model, given)] for given in model.inputs],
        "core": core,
        "counter": "dwt" if core.start_up.cycle_counter and not board.emulate else "systick",
        "flash_command": board.flash.command_for(PROGRAM) if board.flash else [],
        "emulate_command": board.emulator_command(PROGRAM.with_suffix(".elf")),
        "engine_readme": engine.readme,
    }
    contents = {name: render_template(f"project/{name}.jinja", **values) for name in _PROJECT_FILES}
    start = board.start.code if board.start else "semihosted" if board.emulate else "stub"
    contents["src/board.c"] = render_template(f"start/{start}.c.jinja", **values)
    header = f"{model.name}_model.h"
    contents[f"src/{header}"] = to_c(model)[header]
    contents[MARKER] = f"rendered by mcofa firmware: {model.name}, {engine.name}, {board.name}\n".encode()
    return contents | dict(engine.files)


def _refuse_foreign_folder(destination: Path) -> None:
    empty = destination.is_dir() and not any(destination.iterdir())
    if destination.exists() and not empty and not (destination / MARKER).is_file():
        raise McofaError(
            f"{destination} exists and is not a rendered firmware project (it has no {MARKER})",
            "choose another folder, or move this one away",
        )


@contextlib.contextmanager
def _replacing_folder(destination: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``destination`` that takes its place when the block succeeds."""
    staging: Path | None = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
        fresh, earlier = staging / "new", staging / "old"
        fresh.mkdir()
        yield fresh
        try:
            if destination.exists():
                destination.replace(earlier)
            fresh.replace(destination)
        except BaseException:
            if earlier.exists() and not destination.exists():
                earlier.replace(destination)
            raise
    except OSError as error:
        raise DiskWriteError(destination, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)

"""`mcofa firmware`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.cli.options import json_option, names_file, open_run, with_kernels
from mcofa.cli.output import in_bytes, print_json, read_bytes
from mcofa.cli.run_board import board_of_file, board_of_run, board_option
from mcofa.cli.run_engine import engine_of, engine_option

if TYPE_CHECKING:
    from export.firmware.build import LinkedSizes
    from export.firmware.emulate import BootReport
    from export.firmware.engine_part import EnginePart
    from export.runtimes.litert import Int8Array
    from mcofa.boards import Board, Kernels
    from mcofa.runs.run import Run


@click.command()
@click.argument("subject", metavar="[RUN|MODEL.tflite]", required=False, type=click.Path(path_type=Path))
@board_option
@engine_option
@click.option(
    "--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: what the board's profile says."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Project folder; default RUN/firmware/BOARD-ENGINE."
)
@click.option("--build", "built", is_flag=True, help="Also compile and link it.")
@click.option("--emulate", "emulated", is_flag=True, help="Also build it and run its self-test in QEMU.")
@json_option
def firmware(
    subject: Path | None,
    board_name: str | None,
    engine_name: str | None,
    kernels: Kernels | None,
    out: Path | None,
    built: bool,
    emulated: bool,
    as_json: bool,
) -> None:
    """Write a firmware project with a run's network, or any int8 .tflite, for the board.

    The project carries test images with the answers that the host computed: 50 on an emulated
    board, one on a real one. --emulate fails when an output byte or the arena differs.
    """
    run: Run | None = None
    if subject is not None and names_file(subject, ".tflite"):
        if out is None:
            raise click.UsageError("name the project folder with --out")
        board, data = board_of_file(board_name), read_bytes(subject)
    else:
        run = open_run(subject)
        board = board_of_run(run, board_name)
    chosen = engine_of(run, engine_name)
    board = with_kernels(board, kernels, chosen)
    if emulated:
        from export.firmware.emulate import check_emulated, emulate, enforce_report

        check_emulated(board)
    from export.engines.engine import device_engine
    from export.firmware.device_images import device_images
    from export.firmware.engine_part import check_fits
    from export.firmware.project import render_firmware
    from export.tflite.model_file import ModelFile

    if run is None:
        from export.firmware.deployed_file import deployed_file

        file = ModelFile(data, str(subject))
        model, candidates = deployed_file(file, board, chosen), None
    else:
        from export.convert.deploy import deployed_model

        exported = run.section("export")
        file = ModelFile(run.read(run.export.tflite))
        model = deployed_model(exported, file, board, chosen)
        candidates = _images_of(exported)
    engine = device_engine(chosen).firmware(board, model)
    check_fits(engine, board)
    folder = out or _default_folder(run, board, engine)
    images = device_images(engine, board, candidates)
    files = [
        str(path.relative_to(folder.absolute())) for path in render_firmware(board, engine, images, folder)
    ]
    section: dict[str, Any] = {
        "board": board.name,
        "engine": engine.name,
        "folder": str(folder),
        "arena_bytes": engine.model.arena_bytes,
        "test_images": len(images.inputs),
        "files": files,
    }
    if not as_json:
        click.echo(f"{folder}: {len(files)} files for {board.title}, engine {engine.name}")
        click.echo(f"arena {in_bytes(engine.model.arena_bytes)}, test images {len(images.inputs)}")
    if built or emulated:
        from export.firmware.build import build

        sizes = build(folder)
        section["linked"] = _linked(sizes, engine, board)
        if not as_json:
            _show_linked(section["linked"])
    if emulated:
        report = emulate(folder, board)
        section["emulated"] = {**report.to_json(), "instructions": report.instructions(board)}
        if not as_json:
            _show_report(report, board)
    if run is not None:
        run.record("firmware", section)
    if as_json:
        print_json({"run": str(run.folder) if run else None, **section})
    if emulated:
        enforce_report(report, engine)
    elif not as_json:
        click.echo(f"next: read {folder / 'README.md'}, then `make -C {folder}`")


def _images_of(exported: dict[str, Any]) -> Int8Array | None:
    """The run's test images, or None for random ones where its data set is not at hand."""
    from export.firmware.run_images import run_images
    from mcofa.errors import MissingFileError

    try:
        return run_images(exported)
    except MissingFileError as error:
        click.echo(f"test images are random: {error.problem}", err=True)
        return None


def _default_folder(run: Run | None, board: Board, engine: EnginePart) -> Path:
    assert run is not None
    return run.folder / "firmware" / f"{board.name}-{engine.name}"


def _linked(sizes: LinkedSizes, engine: EnginePart, board: Board) -> dict[str, Any]:
    from mcofa.boards import ARENA_GUARD_BYTES

    reserved = board.reserved
    return {
        "flash_bytes": sizes.flash_bytes,
        "flash_predicted_bytes": engine.flash_bytes,
        "flash_basis": engine.flash_basis,
        "test_image_bytes": sizes.test_image_bytes,
        "ram_bytes": sizes.ram_bytes,
        "ram_predicted_bytes": engine.model.arena_bytes
        + ARENA_GUARD_BYTES
        + reserved.stack_bytes
        + reserved.runtime_ram_bytes,
    }


def _show_linked(linked: dict[str, Any]) -> None:
    for memory in ("flash", "ram"):
        used, predicted = linked[f"{memory}_bytes"], linked[f"{memory}_predicted_bytes"]
        click.echo(f"{memory:5} linked {in_bytes(used)} of {in_bytes(predicted)} predicted")
    click.echo(
        f"      ({linked['flash_basis']}; besides {in_bytes(linked['test_image_bytes'])} of test images)"
    )


def _show_report(report: BootReport, board: Board) -> None:
    click.echo(
        f"emulated: {report.images_equal_to_host} of {report.images} images with the host's output bytes, "
        f"arena {in_bytes(report.arena_touched_bytes)} of {in_bytes(report.arena_reserved_bytes)} touched, "
        f"stack {in_bytes(report.stack_used_bytes)}, {report.instructions(board):,} instructions an inference"
    )

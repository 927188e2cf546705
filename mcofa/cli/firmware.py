"""`mcofa firmware`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.cli.options import json_option, names_file, open_run, tflm_option, with_kernels, with_tflm
from mcofa.cli.output import in_bytes, print_json, read_bytes
from mcofa.cli.run_board import board_of_file, board_of_run, board_option
from mcofa.cli.run_engine import HowToRun, how_options

if TYPE_CHECKING:
    from export.engines.project import FirmwareProject
    from export.firmware.emulate import BootReport
    from mcofa.boards import Kernels
    from mcofa.runs.run import Run


@click.command()
@click.argument("subject", metavar="[RUN|MODEL.tflite]", required=False, type=click.Path(path_type=Path))
@board_option
@how_options
@click.option(
    "--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: what the board's profile says."
)
@tflm_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Project folder; default RUN/firmware/BOARD-ENGINE."
)
@click.option("--build", "built", is_flag=True, help="Also compile and link it.")
@click.option("--emulate", "emulated", is_flag=True, help="Also build it and run its self-test in QEMU.")
@json_option
def firmware(
    subject: Path | None,
    board_name: str | None,
    how: HowToRun,
    kernels: Kernels | None,
    tflm_name: str | None,
    out: Path | None,
    built: bool,
    emulated: bool,
    as_json: bool,
) -> None:
    """Write a firmware project with a run's network, or any .tflite that the engine runs, for the board.

    The project carries test images with the answers that the host computed: on an emulated board
    50, or as many as fit, on a real one one. --emulate runs all 50 and fails when an output byte or
    the arena differs.
    """
    run: Run | None = None
    if subject is not None and names_file(subject, ".tflite"):
        if out is None:
            raise click.UsageError("name the project folder with --out")
        board = board_of_file(board_name)
    else:
        run = open_run(subject)
        board = board_of_run(run, board_name)
    engine, by_rows = how.with_run(run)
    board = with_tflm(with_kernels(board, kernels, engine), tflm_name, engine)
    if emulated:
        from export.firmware.emulate import check_emulated, enforce_report

        check_emulated(board)
    from export.engines.project import project_of_file, project_of_run
    from export.tflite.model_file import ModelFile

    if run is not None:
        project = project_of_run(run, board, engine, out, streams_input=by_rows)
    else:
        assert subject is not None
        assert out is not None
        file = ModelFile(read_bytes(subject), str(subject))
        project = project_of_file(file, board, engine, out, streams_input=by_rows)
    section = project.to_json()
    if not as_json:
        _show_project(project)
    if built or emulated:
        section["linked"] = project.build()
        if not as_json:
            _show_linked(section["linked"])
    if emulated:
        report = project.emulate()
        section["emulated"] = {**report.to_json(), "instructions": report.instructions(board)}
        if not as_json:
            _show_report(report, project)
    if run is not None:
        run.record("firmware", {**section, "folder": run.path_from(project.folder)})
    if as_json:
        print_json({"run": str(run.folder) if run else None, **section})
    if emulated:
        enforce_report(report, project.engine)
    elif not as_json:
        click.echo(f"next: read {project.folder / 'README.md'}, then `make -C {project.folder}`")


def _show_project(project: FirmwareProject) -> None:
    count, title = len(project.files), project.board.title
    click.echo(f"{project.folder}: {count} files for {title}, engine {project.engine.name}")
    click.echo(f"arena {in_bytes(project.engine.model.arena_bytes)}, test images {project.test_images}")


def _show_linked(linked: dict[str, Any]) -> None:
    for memory in ("flash", "ram"):
        used, predicted = linked[f"{memory}_bytes"], linked[f"{memory}_predicted_bytes"]
        click.echo(f"{memory:5} linked {in_bytes(used)} of {in_bytes(predicted)} predicted")
    click.echo(
        f"      ({linked['flash_basis']}; besides {in_bytes(linked['test_image_bytes'])} of test images)"
    )


def _show_report(report: BootReport, project: FirmwareProject) -> None:
    carried = f" ({project.test_images} at a time)" if project.test_images < report.images else ""
    click.echo(
        f"emulated: {report.images_equal_to_host} of {report.images} images{carried} with the host's output "
        f"bytes, arena {in_bytes(report.arena_touched_bytes)} of {in_bytes(report.arena_reserved_bytes)} "
        f"touched, stack {in_bytes(report.stack_used_bytes)}, "
        f"{report.instructions(project.board):,} instructions an inference"
    )

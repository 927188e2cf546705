"""`mcofa firmware`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.output import in_bytes, json_option, open_run, print_json, run_argument


@click.command()
@run_argument
@click.option("--board", "board_name", required=True, help="Name or board file.")
@json_option
def firmware(run_folder: Path | None, board_name: str, as_json: bool) -> None:
    """Write a firmware project with the run's network for the board."""
    from mcofa.boards import load_board

    board = load_board(board_name)
    run = open_run(run_folder)
    exported = run.section("export")
    tflite = run.read(exported["tflite"])
    from export.arena_check import check_arena, enforce
    from export.deploy import deployed_model
    from export.firmware import render_firmware

    enforce(check_arena(tflite, board, str(run.folder)))
    model = deployed_model(exported, tflite, board)
    folder = run.folder / "firmware" / board.name
    files = [str(path.relative_to(folder.absolute())) for path in render_firmware(board, model, folder)]
    section = {"board": board.name, "folder": str(folder), "arena_bytes": model.arena_bytes, "files": files}
    run.record("firmware", section)
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    click.echo(f"{folder}: {len(files)} files for {board.title}, arena {in_bytes(model.arena_bytes)}")
    click.echo(f"next: read {folder / 'README.md'}; building needs TFLM (TFLM_DIR)")

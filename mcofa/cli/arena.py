"""`mcofa arena` and `mcofa arena-check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.cli.options import json_option, names_file, open_run
from mcofa.cli.output import in_bytes, print_json, print_table, read_bytes, table_of, terminal_width
from mcofa.cli.run_board import board_of_file, board_of_run, board_option

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "target_name", default="x86-64", show_default=True, help="x86-64 or a core.")
@click.option(
    "--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: what fits the target."
)
@click.option("--measure", "measured", is_flag=True, help="Also let TFLM measure it (x86-64).")
@click.option("--svg", type=click.Path(path_type=Path), help="Also draw the memory over time into this file.")
@json_option
def arena(
    model: Path, target_name: str, kernels: str | None, measured: bool, svg: Path | None, as_json: bool
) -> None:
    """Predict the tensor arena that TFLM needs for the .tflite file MODEL, and show it over time."""
    from export.tflite.parse import parse_tflite
    from mcofa.draw.timeline import timeline_svg
    from mcofa.draw.timeline_text import timeline_text
    from mcofa.engines.tflm import account, default_kernels, target
    from mcofa.engines.tflm.timeline import tflm_timeline

    on_host = target_name == "x86-64"
    if measured and not on_host:
        raise click.UsageError("--measure works on x86-64 only")
    data = read_bytes(model)
    on = target(target_name, kernels or default_kernels(target_name))
    graph = parse_tflite(data, str(model))
    predicted, shown = account(graph, on), tflm_timeline(graph, on)
    result: dict[str, Any] = {
        "model": str(model),
        "target": target_name,
        "kernels": str(predicted.target.kernels),
        "head_bytes": predicted.head_bytes,
        "tail_bytes": predicted.tail_bytes,
        "recording_tail_bytes": predicted.recording_tail_bytes,
        "arena_used_bytes": predicted.arena_used_bytes,
        "minimum_bytes": predicted.minimum_bytes,
        "minimum_cause": predicted.minimum_cause and str(predicted.minimum_cause),
        "breakdown": predicted.breakdown,
    }
    if measured:
        from dataclasses import asdict

        from export.runtimes.tflm import measure as measure_arena

        result["measured"] = asdict(measure_arena(data, str(model)))
    if svg is not None:
        from mcofa.files.atomic import write_atomic

        write_atomic(svg, timeline_svg(shown).encode())
    if as_json:
        print_json(result)
        return
    click.echo(timeline_text(shown, terminal_width()))
    for part, size_bytes in result.get("measured", {}).items():
        click.echo(f"measured {part}: {in_bytes(size_bytes)}")


@click.command("arena-check")
@click.argument("subject", metavar="[RUN|MODEL.tflite]", required=False, type=click.Path(path_type=Path))
@board_option
@click.option(
    "--junit", type=click.Path(path_type=Path), help="Also write a JUnit XML report into this file."
)
@json_option
def arena_check(subject: Path | None, board_name: str | None, junit: Path | None, as_json: bool) -> None:
    """CI gate: fail when predicted and measured arena differ or the board's budget is exceeded."""
    run = None
    if subject is not None and names_file(subject, ".tflite"):
        board = board_of_file(board_name)
        data, name = read_bytes(subject), str(subject)
    else:
        run = open_run(subject)
        board = board_of_run(run, board_name)
        data, name = run.read(run.export.tflite), str(run.folder)
    from export.checks.arena_check import check_arena, enforce, junit_xml

    check = check_arena(data, board, name)
    if junit is not None:
        from mcofa.files.atomic import write_atomic

        write_atomic(junit, junit_xml(check, name))
    if run is not None:
        run.record("arena_check", check.to_json())
    if as_json:
        print_json(check.to_json())
    else:
        print_table(_arena_check_table(check.to_json()))
    enforce(check)
    if not as_json:
        click.echo("passed: predicted equals measured, and the budgets are kept")


def _arena_check_table(check: dict[str, Any]) -> Table:
    table = table_of("", "predicted", "measured", "budget", right=(1, 2, 3))
    for part in ("head", "tail"):
        table.add_row(
            f"x86-64 {part}",
            in_bytes(check[f"x86_64_predicted_{part}_bytes"]),
            in_bytes(check[f"x86_64_measured_{part}_bytes"]),
            "",
        )
    target = f"{check['core']}, {check['kernels']}"
    budget = in_bytes(check["arena_budget_bytes"])
    table.add_row(f"{check['board']} minimum arena ({target})", in_bytes(check["arena_bytes"]), "", budget)
    flash = in_bytes(check["flash_budget_bytes"])
    table.add_row(f"{check['board']} flash (model and runtime)", in_bytes(check["flash_bytes"]), "", flash)
    return table

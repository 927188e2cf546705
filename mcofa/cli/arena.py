"""`mcofa arena` and `mcofa arena-check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.cli.options import (
    check_has_kernel_sets,
    json_option,
    names_file,
    open_run,
    tflm_option,
    typed_version,
    with_tflm,
)
from mcofa.cli.output import in_bytes, print_json, print_table, read_bytes, table_of, terminal_width
from mcofa.cli.run_board import board_of_file, board_of_run, board_option
from mcofa.cli.run_engine import HowToRun, check_can_stream, how_options, stream_option
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, load_engine

if TYPE_CHECKING:
    from rich.table import Table

    from export.engines.arena_check import ArenaCheck
    from export.tflite.model_file import ModelFile
    from mcofa.engines.engine import Engine
    from mcofa.ops.target import Target


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", "target_name", default="x86-64", show_default=True, help="x86-64 or a core.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default=DEFAULT_ENGINE, show_default=True)
@click.option(
    "--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: what fits the target."
)
@tflm_option
@stream_option
@click.option("--measure", "measured", is_flag=True, help="Also let TFLM measure it (x86-64).")
@click.option("--svg", type=click.Path(path_type=Path), help="Also draw the memory over time into this file.")
@json_option
def arena(
    models: tuple[Path, ...],
    target_name: str,
    engine: str,
    kernels: str | None,
    tflm_name: str | None,
    streams_input: bool,
    measured: bool,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Predict the arena that an engine needs for the .tflite file MODEL, and show it over time.

    With several files it is the one arena in which all of them run in turn, allocated in this order.
    """
    from export.tflite.model_file import ModelFile
    from mcofa.draw.timeline import timeline_svg
    from mcofa.draw.timeline_text import timeline_text
    from mcofa.engines.tflm import default_kernels, target

    if len(models) > 1 and (measured or svg is not None):
        raise click.UsageError("--measure and --svg work for one model only")
    if measured and (target_name != "x86-64" or engine != "tflm"):
        raise click.UsageError("--measure works for engine tflm on x86-64 only")
    check_can_stream(engine, streams_input)
    runs_it = load_engine(engine)
    if kernels is not None:
        check_has_kernel_sets(runs_it)
    version = typed_version(tflm_name, engine)
    on = target(target_name, kernels or default_kernels(target_name), version)
    files = [ModelFile(read_bytes(model), str(model)) for model in models]
    if len(files) > 1:
        _show_joint(files, on, runs_it, streams_input, as_json)
        return
    (file,) = files
    shown = runs_it.timeline(file.graph, on, streams_input=streams_input)
    result: dict[str, Any] = {
        "model": file.name,
        "target": target_name,
        "kernels": str(on.kernels),
        "engine": engine,
        **({"tflm": on.tflm.name} if runs_it.has_versions else {}),
        **runs_it.arena_figures(file.graph, on, streams_input=streams_input),
    }
    if measured:
        from export.engines.arena_check import enforce_measured
        from export.engines.tflm.engine import measured_on_host

        found, comparisons = measured_on_host(file)
        result["measured"] = asdict(found)
    if svg is not None:
        from mcofa.files.atomic import write_atomic

        write_atomic(svg, timeline_svg(shown).encode())
    if as_json:
        print_json(result)
    else:
        click.echo(timeline_text(shown, terminal_width()))
        for part, size_bytes in result.get("measured", {}).items():
            click.echo(f"measured {part}: {in_bytes(size_bytes)}")
    if measured:
        enforce_measured(comparisons)


def _show_joint(
    files: Sequence[ModelFile], on: Target, engine: Engine, streams_input: bool, as_json: bool
) -> None:
    joint = engine.joint_arena([file.graph for file in files], on, streams_input=streams_input)
    if as_json:
        names = [file.name for file in files]
        figures = asdict(joint)
        where = {"target": on.name, "kernels": str(on.kernels), "engine": engine.name}
        where |= {"tflm": on.tflm.name} if engine.has_versions else {}
        print_json({"models": names, **where, **figures})
        return
    table = table_of("", "bytes", right=(1,))
    table.add_row("shared by all, which run in turn", in_bytes(joint.shared_bytes))
    for file, own_bytes in zip(files, joint.own_bytes, strict=True):
        table.add_row(f"kept by {file.name}", in_bytes(own_bytes))
    table.add_row(f"one arena on {on.name}, engine {engine.name}", in_bytes(joint.arena_bytes))
    print_table(table)


@click.command("arena-check")
@click.argument("subject", metavar="[RUN|MODEL.tflite]", required=False, type=click.Path(path_type=Path))
@board_option
@how_options
@tflm_option
@click.option(
    "--junit", type=click.Path(path_type=Path), help="Also write a JUnit XML report into this file."
)
@json_option
def arena_check(
    subject: Path | None,
    board_name: str | None,
    how: HowToRun,
    tflm_name: str | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """CI gate: fail when predicted and measured arena differ or the board's budget is exceeded.

    Engine tflm is measured on x86-64. Engine aot is measured in QEMU where a board with the same core
    is emulated and compiler and QEMU are installed; else its figures are predicted only.
    """
    run = None
    if subject is not None and names_file(subject, ".tflite"):
        board = board_of_file(board_name)
        data, name = read_bytes(subject), str(subject)
    else:
        run = open_run(subject)
        board = board_of_run(run, board_name)
        data, name = run.read(run.export.tflite), str(run.folder)
    from export.engines.arena_check import check_arena, enforce, junit_xml
    from export.tflite.model_file import ModelFile

    engine, by_rows = how.with_run(run)
    board = with_tflm(board, tflm_name, engine)
    check = check_arena(ModelFile(data, name), board, engine, by_rows)
    if junit is not None:
        from mcofa.files.atomic import write_atomic

        write_atomic(junit, junit_xml(check, name))
    if run is not None:
        run.record("arena_check", check.to_json())
    if as_json:
        print_json(check.to_json())
    else:
        print_table(_arena_check_table(check))
    enforce(check)
    if as_json:
        return
    if check.not_measured:
        click.echo(f"passed: the budgets are kept; predicted only, not measured: {check.not_measured}")
    else:
        click.echo("passed: measured as predicted, and the budgets are kept")


def _arena_check_table(check: ArenaCheck) -> Table:
    table = table_of("", "predicted", "measured", "budget", right=(1, 2, 3))
    for one in check.comparisons:
        measured = "–" if one.measured_bytes is None else in_bytes(one.measured_bytes)
        table.add_row(f"{one.place} {one.part}", in_bytes(one.predicted_bytes), measured, "")
    by_rows = ", image row by row" if check.streams_input else ""
    target = f"{check.core}, {check.kernels}, engine {check.engine}{by_rows}"
    uncounted = ", ".join(check.flash_uncounted)
    left_out = f" without the code of {uncounted}, not measured" if uncounted else ""
    for what, used_bytes, budget_bytes in (
        (f"minimum arena ({target})", check.arena_bytes, check.arena_budget_bytes),
        (f"flash (whole program{left_out})", check.flash_bytes, check.flash_budget_bytes),
    ):
        table.add_row(f"{check.board} {what}", in_bytes(used_bytes), "", in_bytes(budget_bytes))
    return table

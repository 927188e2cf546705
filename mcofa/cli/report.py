"""`mcofa report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.cli.output import json_option, open_run, print_json, print_table, run_argument, table_of

if TYPE_CHECKING:
    from mcofa.graph import Graph
    from mcofa.run import Run

_FRONT_SECONDS = 5.0


@click.command()
@run_argument
@json_option
def report(run_folder: Path | None, as_json: bool) -> None:
    """Show what the run found, predicted and measured: a table here, and a page in RUN/report.html."""
    from mcofa.files import write_atomic
    from mcofa.report import report_rows
    from mcofa.report_page import report_page
    from mcofa.tflm import target

    run = open_run(run_folder)
    manifest = run.manifest
    searched = run.section("search")
    # A search without a board is drawn for a core that can hold its networks.
    on = target(searched.get("core") or "cortex-m7", searched.get("kernels") or "cmsis-nn")
    page = run.folder / "report.html"
    html = report_page(run.folder, manifest, _graph(run, manifest), on, _front_svg(run, manifest))
    write_atomic(page, html.encode())
    if as_json:
        print_json({"run": str(run.folder), "page": str(page), **manifest})
        return
    table = table_of(str(run.folder), "")
    for what, value in report_rows(run.folder, manifest):
        table.add_row(what, value)
    print_table(table)
    click.echo(f"as a page: {page}")


def _graph(run: Run, manifest: dict[str, Any]) -> Graph:
    """The network as it was exported; before that, as the search knows it."""
    if "export" in manifest:
        from export.parse_tflite import parse_tflite

        artefact = manifest["export"]["tflite"]
        return parse_tflite(run.read(artefact), str(run.folder / artefact["file"]))
    from mcofa.arch import arch_from_json
    from mcofa.graph import lower
    from mcofa.space import load_space

    searched = manifest["search"]
    return lower(
        load_space(searched["space"]), arch_from_json(searched["arch"], f"{run.folder}/manifest.json")
    )


def _front_svg(run: Run, manifest: dict[str, Any]) -> str:
    """The front that the search wrote; else a quick one, where space and predictor are at hand."""
    searched = manifest["search"]
    if "pareto" in searched:
        return run.read(searched["pareto"]["svg"], "search").decode()
    from mcofa.boards import load_board
    from mcofa.errors import McofaError
    from mcofa.predictor import load_predictor
    from mcofa.resources import data_folder
    from mcofa.search import Budget
    from mcofa.search.front import search_front
    from mcofa.search.front_files import as_svg
    from mcofa.space import load_space

    try:
        space = load_space(searched["space"])
        predictor = load_predictor(data_folder("zoo") / f"{space.name}.npz", space)
        board = load_board(searched["board"]) if searched.get("board") else None
    except McofaError:
        return ""
    measure = "arena_bytes" if board else "peak_items"
    limits = Budget(**searched["budget"])
    front = search_front(
        space,
        board,
        limits,
        predictor,
        (measure, "top1_percent"),
        searched["seed"],
        time_limit_s=_FRONT_SECONDS,
    )
    return as_svg(front)

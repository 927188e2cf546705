"""`mcofa report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.cli.options import json_option, open_run, run_argument
from mcofa.cli.output import print_json, print_table, table_of

if TYPE_CHECKING:
    from mcofa.engines.arenas import EngineArena
    from mcofa.graph import Graph
    from mcofa.runs.manifest import Manifest
    from mcofa.runs.run import Run


@click.command()
@run_argument
@json_option
def report(run_folder: Path | None, as_json: bool) -> None:
    """Show what the run found, predicted and measured: a table here, and a page in RUN/report.html."""
    from mcofa.files.atomic import write_atomic
    from mcofa.report.rows import report_rows

    run = open_run(run_folder)
    manifest = run.checked_manifest()
    page = run.folder / "report.html"
    graph = _graph(run, manifest)
    arenas = _arenas(run, graph)
    rows = report_rows(run.folder, manifest, run.arch, arenas)
    write_atomic(page, _page(run, manifest, graph, arenas).encode())
    if as_json:
        by_engine = [one.to_json() for one in arenas]
        print_json({"run": str(run.folder), "page": str(page), "arenas": by_engine, **run.manifest})
        return
    table = table_of(str(run.folder), "")
    for what, value in rows:
        table.add_row(what, value)
    print_table(table)
    click.echo(f"as a page: {page}")


def _arenas(run: Run, graph: Graph) -> Sequence[EngineArena]:
    """The arena with every engine on the run's board, where there is one and it is at hand."""
    from mcofa.engines.arenas import engine_arenas
    from mcofa.errors import FileFormatError, RunError

    try:
        return engine_arenas(graph, run.board)
    except (FileFormatError, RunError):
        return ()


def _page(run: Run, manifest: Manifest, graph: Graph, arenas: Sequence[EngineArena]) -> str:
    from mcofa.engines.engine import load_engine
    from mcofa.engines.tflm import target
    from mcofa.report.front import page_front
    from mcofa.report.page import report_page

    searched = manifest.search
    # A search without a board is drawn for a core that can hold its networks.
    tflm = searched.board_definition.tflm_version if searched.board_definition else None
    on = target(searched.core or "cortex-m7", searched.kernels or "cmsis-nn", tflm)
    memory = load_engine(run.engine).timeline(graph, on, streams_input=searched.streams_input)
    front = page_front(run)
    return report_page(run.folder, manifest, run.arch, graph, memory, front, run.known_space, arenas)


def _graph(run: Run, manifest: Manifest) -> Graph:
    """The network as it was exported; before that, as the search knows it."""
    if manifest.export:
        from export.tflite.parse import parse_tflite

        artefact = manifest.export.tflite
        return parse_tflite(run.read(artefact), str(run.folder / artefact.file))
    from mcofa.lowering import lower

    return lower(run.space, run.arch)

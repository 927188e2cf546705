"""`mcofa report`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.output import json_option, open_run, print_json, print_table, run_argument, table_of


@click.command()
@run_argument
@json_option
def report(run_folder: Path | None, as_json: bool) -> None:
    """Show what the run found, predicted and measured, in one table."""
    run = open_run(run_folder)
    manifest = run.manifest
    if as_json:
        print_json({"run": str(run.folder), **manifest})
        return
    from mcofa.report import report_rows

    table = table_of(str(run.folder), "")
    for what, value in report_rows(run.folder, manifest):
        table.add_row(what, value)
    print_table(table)

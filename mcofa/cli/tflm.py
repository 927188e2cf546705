"""`mcofa tflm`."""

from __future__ import annotations

import click

from mcofa.cli.options import json_option
from mcofa.cli.output import print_json, print_table, table_of


@click.group()
def tflm() -> None:
    """Versions of TensorFlow Lite Micro: which are known, and what differs."""


@tflm.command("list")
@json_option
def list_versions(as_json: bool) -> None:
    """List the versions of TFLM that are known: whose copy each is, and what differs from the default."""
    from mcofa.tflm_versions import load_version, version_names

    found = [load_version(name) for name in version_names()]
    if as_json:
        print_json(
            [
                {
                    "name": version.name,
                    "title": version.title,
                    "commit": version.commit,
                    "cmsis_nn": version.cmsis_nn,
                    "verified": version.verified,
                    "differences": version.differences(),
                }
                for version in found
            ]
        )
        return
    table = table_of("version", "what it is", "upstream commit", "verified")
    for version in found:
        table.add_row(version.name, version.title, version.commit, version.verified or "no")
    print_table(table)
    for version in found[1:]:
        differs = "; ".join(version.differences()) or "nothing"
        click.echo(f"{version.name} differs from {found[0].name}: {differs}")

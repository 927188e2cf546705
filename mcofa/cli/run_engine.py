"""Which engine a command works for: the run's own, unless another is named, which is then said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES

if TYPE_CHECKING:
    from mcofa.runs.run import Run

engine_option = click.option(
    "--engine",
    "engine_name",
    type=click.Choice(list(ENGINES)),
    help=f"What runs the network.  [default: what the run was searched for; {DEFAULT_ENGINE} for a file]",
)


def engine_of(run: Run | None, name: str | None) -> str:
    """Return the engine asked for, or the run's own; say so where they differ."""
    if run is None:
        return name or DEFAULT_ENGINE
    if name is not None and name != run.engine:
        click.echo(f"note: {run.folder} was searched for engine {run.engine}; this is for {name}", err=True)
    return name or run.engine

"""Which engine a command works for: the run's own, unless another is named, which is then said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, load_engine

if TYPE_CHECKING:
    from mcofa.runs.run import Run

engine_option = click.option(
    "--engine",
    "engine_name",
    type=click.Choice(list(ENGINES)),
    help=f"What runs the network.  [default: what the run was searched for; {DEFAULT_ENGINE} for a file]",
)

stream_option = click.option(
    "--stream-input",
    "streams_input",
    is_flag=True,
    help="The image arrives row by row and is never in the arena as a whole (engine aot).",
)


def engine_of(run: Run | None, name: str | None) -> str:
    """Return the engine asked for, or the run's own; say so where they differ."""
    if run is None:
        return name or DEFAULT_ENGINE
    if name is not None and name != run.engine:
        click.echo(f"note: {run.folder} was searched for engine {run.engine}; this is for {name}", err=True)
    return name or run.engine


def tell_what_the_host_runs(run: Run) -> None:
    """Say on stderr where the run's engine is none of the runtimes that run its model file on the host."""
    if not load_engine(run.engine).keeps_model_file:
        click.echo(
            f"note: the host runs the .tflite file; that engine {run.engine} answers the same, byte for "
            "byte, is checked on an emulated board by `mcofa firmware --emulate`",
            err=True,
        )

"""How a command is to run the network: as the run was searched for, unless told otherwise, which is said."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import click

from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, load_engine

if TYPE_CHECKING:
    from mcofa.runs.run import Run

_BY_ROWS_HELP = "The image arrives row by row and is never in the arena as a whole (engine aot)."

stream_option = click.option("--stream-input", "streams_input", is_flag=True, help=_BY_ROWS_HELP)


class HowToRun(NamedTuple):
    """What was typed: the engine, and whether it takes the image row by row; None where nothing was."""

    engine: str | None
    streams_input: bool | None

    def with_run(self, run: Run | None) -> tuple[str, bool]:
        """Return the engine and whether it takes the image row by row: as was typed, else as the run has it.

        Says so where that is not how the run was searched for.

        Raises:
            UsageError: the engine for a file cannot take it so; that a run's own cannot, the engine says.
        """
        if run is None:
            engine = self.engine or DEFAULT_ENGINE
            check_can_stream(engine, self.streams_input)
            return engine, bool(self.streams_input)
        engine = self.engine or run.engine
        by_rows = self.streams_input
        if by_rows is None:
            by_rows = run.streams_input_with(engine)
        differs = by_rows != run.search.streams_input
        if engine != run.engine or differs:
            searched = _words(run.engine, run.search.streams_input, differs)
            wanted = _words(engine, by_rows, differs)
            click.echo(
                f"note: {run.folder} was searched for engine {searched}; this is for {wanted}", err=True
            )
        return engine, by_rows


def how_options(body: Callable[..., None]) -> Callable[..., None]:
    """Take the options for what runs the network of a run or a file, and hand them over as ``how``."""

    @click.option(
        "--engine",
        type=click.Choice(list(ENGINES)),
        help=f"What runs the network.  [default: what the run was searched for; {DEFAULT_ENGINE} for a file]",
    )
    @click.option(
        "--stream-input/--no-stream-input",
        "streams_input",
        default=None,
        help=f"{_BY_ROWS_HELP}  [default: as the run was searched for; no for a file]",
    )
    @functools.wraps(body)
    def command(engine: str | None, streams_input: bool | None, **words: object) -> None:
        if engine is not None:
            check_can_stream(engine, streams_input)
        body(how=HowToRun(engine, streams_input), **words)

    return command


def check_can_stream(engine: str, streams_input: bool | None) -> None:
    """Refuse ``--stream-input`` for an engine that takes the image as a whole.

    Raises:
        UsageError: it does.
    """
    if streams_input and not load_engine(engine).can_stream_input:
        able = " or ".join(f"--engine {name}" for name in ENGINES if load_engine(name).can_stream_input)
        raise click.UsageError(
            f"--stream-input has no effect with engine {engine}, which takes the image as a whole: use {able}"
        )


def _words(engine: str, streams_input: bool, image_too: bool) -> str:
    image = "row by row" if streams_input else "in the arena"
    return f"{engine}, image {image}" if image_too else engine


def tell_what_the_host_runs(run: Run) -> None:
    """Say on stderr where the run's engine is none of the runtimes that run its model file on the host."""
    if not load_engine(run.engine).keeps_model_file:
        click.echo(
            f"note: the host runs the .tflite file; that engine {run.engine} answers the same, byte for "
            "byte, is checked on an emulated board by `mcofa firmware --emulate`",
            err=True,
        )

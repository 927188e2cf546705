"""The command line: parse, call, print.

One module a topic. Everything heavy is imported inside the command that needs it.
Results go to stdout (one JSON document with ``--json``), progress and messages to stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TextIO

import click

from mcofa import __version__
from mcofa.cli import (
    arena,
    boards,
    cost,
    export,
    finetune,
    firmware,
    predict,
    report,
    search,
    spaces,
    tflm,
    train,
)
from mcofa.errors import McofaError, McofaWarning


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mcofa")
def cli() -> None:
    """Find a neural network that fits a microcontroller's memory, and turn it into firmware.

    The usual way: search, export, evaluate, arena-check, firmware. A RUN is the folder
    that `mcofa search` made; without it the newest one in runs/ is taken.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 usage."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _output_open(), _warnings_shown():
            result = cli.main(typed, prog_name="mcofa", standalone_mode=False, obj=typed)
    except McofaError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # Whoever read the output has had enough, as `head` has.
        return 1
    except OSError as error:
        what = error.filename or "the output"
        click.echo(
            f"error: {what}: {error.strerror or error}\n  next: check the disk and permissions", err=True
        )
        return 1
    except ModuleNotFoundError as error:
        from mcofa.files.missing_package import MissingPackageError

        click.echo(f"error: {MissingPackageError(error.name or 'unknown')}", err=True)
        return 1
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _output_open() -> Iterator[None]:
    """Have all output written when a command ends; where it is closed, or fails, drop what is left of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(os.dup(nowhere), "w"))
        yield
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, sys.stdout.fileno())
        raise
    finally:
        os.close(nowhere)


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print our own warnings on stderr, each once and by the first process alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", McofaWarning)
        said: set[str] = set()
        show_other = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, McofaWarning):
                show_other(message, category, filename, lineno, file, line)
            elif os.environ.get("RANK", "0") == "0" and str(message) not in said:
                said.add(str(message))
                click.echo(f"warning: {message}", err=True)

        warnings.showwarning = show
        yield


for _command in (
    boards.boards,
    spaces.spaces,
    spaces.design_space,
    train.train,
    predict.measure,
    predict.fit_predictor,
    train.import_ofa,
    cost.cost,
    search.search,
    finetune.finetune,
    export.export,
    export.evaluate,
    export.verify,
    arena.arena,
    arena.arena_check,
    tflm.tflm,
    firmware.firmware,
    report.report,
):
    cli.add_command(_command)

"""What commands do with their words: shared options, runs and files, and the refusal of ignored options.

An option is refused (a usage error) where what it asks for would not be done. That goes by what
was typed, so that the default, typed, is refused too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.engines.engine import DEFAULT_ENGINE, load_engine
from mcofa.tflm_versions.load import DEFAULT_VERSION

if TYPE_CHECKING:
    from mcofa.boards import Board, Kernels
    from mcofa.engines.engine import Engine
    from mcofa.runs.run import Run
    from mcofa.tflm_versions import TflmVersion

_JSON = "mcofa.json"


def _of_the_group_too(context: click.Context, _: click.Parameter, value: bool) -> bool:
    context.meta[_JSON] = value or context.meta.get(_JSON, False)
    return bool(context.meta[_JSON])


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_of_the_group_too, help="Print one JSON document."
)
tflm_option = click.option(
    "--tflm",
    "tflm_name",
    metavar="VERSION",
    help="Version of TFLM: a name of `mcofa tflm list`, or a file.  [default: the run's or the board's]",
)
run_argument = click.argument("run_folder", metavar="[RUN]", required=False, type=click.Path(path_type=Path))


def typed(*parameters: str) -> list[str]:
    """Return those options, of these parameters of the running command, that were typed."""
    context = click.get_current_context()
    return [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in parameters
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]


def refuse_typed(why: str, *parameters: str) -> None:
    """Refuse options that would have no effect here; ``why`` goes on after their names.

    Raises:
        UsageError: one of them was typed.
    """
    if found := typed(*parameters):
        raise click.UsageError(f"{', '.join(found)} {why}")


def open_run(folder: Path | None) -> Run:
    """Return the run in ``folder``, or the newest one."""
    from mcofa.runs.run import Run, newest_run

    if folder is not None:
        return Run(folder, typed_command())
    newest = newest_run().folder
    click.echo(f"using the newest run, {newest}", err=True)
    return Run(newest, [*typed_command(), str(newest)])


def names_file(subject: Path | None, suffix: str) -> bool:
    """Say whether a ``[RUN|FILE]`` argument is a file: by what it is, or if it is not there by its suffix."""
    if subject is None or subject.is_dir():
        return False
    return subject.exists() or subject.suffix.lower() == suffix


def typed_command() -> list[str]:
    """Return the command that is running, word by word."""
    return ["mcofa", *click.get_current_context().obj]


def load_board_with(
    name: str, kernels: Kernels | None, engine: str = DEFAULT_ENGINE, tflm_name: str | None = None
) -> Board:
    """Return a board, by name or from a file, with the kernels and the version that were typed, or its own.

    Raises:
        UsageError: the engine has one set of kernels, or is not TFLM.
    """
    from mcofa.boards import load_board

    return with_tflm(with_kernels(load_board(name), kernels, engine), tflm_name, engine)


def with_tflm(board: Board, tflm_name: str | None, engine: str) -> Board:
    """Return ``board`` with the version of TFLM that was typed, or as it is; say what is then counted alike.

    Raises:
        UsageError: the engine is not TFLM.
    """
    if version := typed_version(tflm_name, engine):
        board = board.with_tflm(version)
    tell_version(board, engine)
    return board


def typed_version(tflm_name: str | None, engine: str) -> TflmVersion | None:
    """Return the version of TFLM that was typed, None where none was.

    Raises:
        UsageError: the engine is not TFLM.
    """
    if tflm_name is None:
        return None
    if not load_engine(engine).has_versions:
        refuse_typed(f"has no effect with engine {engine}, which is not TFLM", "tflm_name")
    from mcofa.tflm_versions import load_version

    return load_version(tflm_name)


def tell_version(board: Board, engine: str) -> None:
    """Say on stderr what is counted as in the default version of TFLM where the board has another one."""
    if load_engine(engine).has_versions and board.tflm is not None:
        click.echo(
            f"note: the arena is that of TFLM {board.tflm_version.name}; its code and the latency are "
            f"counted as in {DEFAULT_VERSION}, where they were measured",
            err=True,
        )


def with_kernels(board: Board, kernels: Kernels | None, engine: str) -> Board:
    """Return ``board`` with the kernels that were typed, or as it is; say which cores stand in for its own.

    Raises:
        UsageError: the engine has one set of kernels.
    """
    if not_measured := board.core_facts.not_measured:
        click.echo(f"note: not all was measured on {board.core}: {not_measured}", err=True)
    if kernels is None:
        return board
    check_has_kernel_sets(load_engine(engine))
    return board.with_kernels(kernels)


def check_has_kernel_sets(engine: Engine) -> None:
    """Refuse ``--kernels`` for an engine that has one set of kernels.

    Raises:
        UsageError: it has.
    """
    if not engine.has_kernel_sets:
        refuse_typed(f"has no effect with engine {engine.name}: it has its own", "kernels")

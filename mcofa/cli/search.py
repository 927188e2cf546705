"""`mcofa search`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from mcofa.cli.finite import FiniteRange
from mcofa.cli.options import (
    json_option,
    load_board_with,
    refuse_typed,
    tflm_option,
    typed_command,
    typed_version,
)
from mcofa.cli.output import print_json, progress
from mcofa.cli.run_board import tell_if_unlike_shipped
from mcofa.cli.run_engine import check_can_stream, stream_option
from mcofa.cost.measures import MEASURES, ON_BOARD
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, load_engine

if TYPE_CHECKING:
    from mcofa.accuracy.predictor import Predictor
    from mcofa.space.search_space import SearchSpace

_DEFAULT_BOARD = "stm32f746"


class Verification(NamedTuple):
    """How the best candidates are to be measured."""

    best: int
    int8: bool
    checkpoint: Path | None
    data: str | None


def _limit_options(body: Callable[..., None]) -> Callable[..., None]:
    """Take the options for limits, and hand them over as ``limits``, by measure; None where there is none."""

    @click.option("--max-arena-bytes", type=click.IntRange(min=1), help="Stay below the board's own budget.")
    @click.option("--max-flash-bytes", type=click.IntRange(min=1), help="Runtime and firmware included.")
    @click.option("--max-model-bytes", type=click.IntRange(min=1), help="The .tflite file alone.")
    @click.option("--max-latency-ms", type=FiniteRange(min=0, min_open=True), help="Of the estimate.")
    @click.option("--max-peak-items", type=click.IntRange(min=1), help="The paper's metric; needs no board.")
    @functools.wraps(body)
    def command(**words: object) -> None:
        limits = {name[4:]: words.pop(name) for name in list(words) if name.startswith("max_")}
        body(limits=limits, **words)

    return command


def _verify_options(body: Callable[..., None]) -> Callable[..., None]:
    """Take the options for measuring, and hand them over as one ``verification``."""

    @click.option(
        "--verify", metavar="K", type=click.IntRange(min=1), help="Measure the best K on validation."
    )
    @click.option("--int8", is_flag=True, help="With --verify: rank by the accuracy of the int8 models.")
    @click.option(
        "--checkpoint", type=click.Path(path_type=Path), help="For --verify. Default: the one in zoo/."
    )
    @click.option("--data", help="For --verify. Default: the data set that the checkpoint was trained on.")
    @functools.wraps(body)
    def command(
        verify: int | None, int8: bool, checkpoint: Path | None, data: str | None, **words: object
    ) -> None:
        if verify is None:
            refuse_typed("needs --verify", "int8", "checkpoint", "data")
        verification = None if verify is None else Verification(verify, int8, checkpoint, data)
        body(verification=verification, **words)

    return command


@click.command()
@click.option("--board", "board_name", help=f"Name, board file, or all.  [default: {_DEFAULT_BOARD}]")
@click.option("--space", "space_name", default="mcofa-micro", show_default=True, help="Name or space file.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default=DEFAULT_ENGINE, show_default=True)
@stream_option
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@tflm_option
@_limit_options
@click.option(
    "--min-top1",
    type=FiniteRange(min=0, max=100, min_open=True),
    help="Find the smallest arena predicted to reach it; without --board, on the smallest board.",
)
@click.option(
    "--pareto", metavar="M1,M2[,M3]", help=f"Also find the front of two or three of {', '.join(MEASURES)}."
)
@click.option("--finetuned", is_flag=True, help="Choose for the accuracy after `mcofa finetune`.")
@_verify_options
@click.option(
    "--time-limit",
    metavar="S",
    type=FiniteRange(min=0, min_open=True),
    help="Seconds for all that is searched; --verify measures after it.",
)
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/BOARD.")
@json_option
def search(
    board_name: str | None,
    space_name: str,
    engine: str,
    streams_input: bool,
    kernels: Literal["reference", "cmsis-nn"] | None,
    tflm_name: str | None,
    limits: dict[str, Any],
    min_top1: float | None,
    pareto: str | None,
    finetuned: bool,
    verification: Verification | None,
    time_limit: float | None,
    predictor: Path | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the subnet with the best predicted accuracy that fits the board.

    `--board all` gives one row a board. With --max-peak-items alone no board is needed.
    """
    # numpy, imported below, multiplies thousands of small matrices: threads would mostly wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if finetuned:
        refuse_typed(
            "has no effect with --finetuned, which takes its own: leave --predictor out", "predictor"
        )
    where = _where(board_name, limits, min_top1)
    measures = _parse_measures(pareto)
    _check_words(where, engine, measures, pareto, min_top1)
    check_can_stream(engine, streams_input)

    from mcofa.cli.search_output import print_answer, print_fleet
    from mcofa.search import Budget, Deadline, SearchRequest, search_each, search_one, search_smallest
    from mcofa.space.search_space import load_space

    space = load_space(space_name)
    known, known_file = _predictor(space, predictor, finetuned)
    request = SearchRequest(
        space=space,
        predictor=known,
        predictor_file=known_file,
        engine=engine,
        streams_input=streams_input,
        kernels=kernels,
        tflm=typed_version(tflm_name, engine),
        limits=Budget(**limits),
        min_top1_percent=min_top1,
        measures=measures,
        keep=verification.best if verification else 1,
        deadline=Deadline(time_limit),
        seed=seed,
        command=tuple(typed_command()),
    )
    verify = None
    if verification:
        from export.checks.verify_search import Verify

        verify = Verify(verification.checkpoint, verification.int8, verification.data)
    if where == "everywhere":
        rows = [result.to_json() for result in search_each(request, out, verify, progress)]
        if as_json:
            print_json({"boards": rows})
        else:
            print_fleet(rows)
        return
    if where == "smallest":
        recorded, too_small = search_smallest(request, out, verify, progress)
        more = {"boards_too_small": too_small}
    else:
        board = None
        if where == "board":
            board = load_board_with(board_name or _DEFAULT_BOARD, kernels, engine, tflm_name)
            tell_if_unlike_shipped(board)
        recorded, more = search_one(request, board, out, verify, progress), {}
    if as_json:
        print_json(recorded.to_json() | more)
    else:
        print_answer(recorded, **more)


def _where(
    board_name: str | None, limits: dict[str, Any], min_top1: float | None
) -> Literal["board", "everywhere", "smallest", "nowhere"]:
    """Return where is searched: on one board, on every one, on the smallest that will do, or on none."""
    if board_name is not None:
        if not board_name.strip():
            raise click.BadParameter(
                f"{board_name!r} names no board; see `mcofa boards`, or leave it out for {_DEFAULT_BOARD}",
                param_hint="--board",
            )
        return "everywhere" if board_name == "all" else "board"
    if limits["peak_items"] is not None:
        return "nowhere"
    return "board" if min_top1 is None else "smallest"


def _check_words(
    where: str, engine: str, measures: tuple[str, ...], pareto: str | None, min_top1: float | None
) -> None:
    """Refuse what would have no effect where is searched."""
    if where == "nowhere":
        refuse_typed(
            "needs --board",
            *("kernels", "tflm_name", "engine", "streams_input"),
            *(f"max_{name}" for name in ON_BOARD),
        )
        if set(ON_BOARD) & set(measures):
            raise click.UsageError(f"--pareto {pareto} needs --board")
    if measures and (where == "everywhere" or min_top1):
        raise click.UsageError("--pareto goes with one board and without --min-top1")
    if not load_engine(engine).keeps_model_file:
        no_file = f"with --engine {engine} there is no .tflite on the device"
        refuse_typed(f"has no effect: {no_file}; use --max-flash-bytes", "max_model_bytes")
        if "model_bytes" in measures:
            raise click.UsageError(f"--pareto {pareto}: {no_file}; use flash_bytes")


def _predictor(space: SearchSpace, file: Path | None, finetuned: bool) -> tuple[Predictor, Path]:
    from mcofa.accuracy.predictor import load_predictor
    from mcofa.search import zoo_predictor

    return zoo_predictor(space, finetuned) if file is None else (load_predictor(file, space), file)


def _parse_measures(pareto: str | None) -> tuple[str, ...]:
    measures = tuple(name.strip() for name in pareto.split(",")) if pareto is not None else ()
    for name in measures:
        if name not in MEASURES:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(MEASURES)}", param_hint="--pareto")
    if pareto is not None and (len(measures) not in (2, 3) or len(set(measures)) < len(measures)):
        raise click.BadParameter(f"{pareto!r}: name two or three different measures", param_hint="--pareto")
    return measures

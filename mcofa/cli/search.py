"""`mcofa search`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from mcofa.cli.finite import FiniteRange
from mcofa.cli.options import json_option, refuse_typed

_DEFAULT_BOARD = "stm32f746"
_MEASURES = ("arena_bytes", "flash_bytes", "model_bytes", "latency_ms", "macs", "peak_items", "top1_percent")
_BOARD_LIMITS = ("max_arena_bytes", "max_flash_bytes", "max_model_bytes", "max_latency_ms")
_BOARD_MEASURES = frozenset({"arena_bytes", "flash_bytes", "model_bytes", "latency_ms"})


@click.command()
@click.option("--board", "board_name", help=f"Name, board file, or all.  [default: {_DEFAULT_BOARD}]")
@click.option("--space", "space_name", default="mcofa-micro", show_default=True, help="Name or space file.")
@click.option("--engine", type=click.Choice(["tflm", "aot"]), default="tflm", show_default=True)
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@click.option("--max-arena-bytes", type=click.IntRange(min=1), help="Stay below the board's own budget.")
@click.option("--max-flash-bytes", type=click.IntRange(min=1), help="Runtime and firmware included.")
@click.option("--max-model-bytes", type=click.IntRange(min=1), help="The .tflite file alone.")
@click.option("--max-latency-ms", type=FiniteRange(min=0, min_open=True), help="Of the estimate.")
@click.option("--max-peak-items", type=click.IntRange(min=1), help="The paper's metric; needs no board.")
@click.option(
    "--min-top1",
    type=FiniteRange(min=0, max=100, min_open=True),
    help="Find the smallest arena predicted to reach it; without --board, on the smallest board.",
)
@click.option(
    "--pareto", metavar="M1,M2[,M3]", help=f"Also find the front of two or three of {', '.join(_MEASURES)}."
)
@click.option("--finetuned", is_flag=True, help="Choose for the accuracy after `mcofa finetune`.")
@click.option("--verify", metavar="K", type=click.IntRange(min=1), help="Measure the best K on validation.")
@click.option("--int8", is_flag=True, help="With --verify: rank by the accuracy of the int8 models.")
@click.option(
    "--time-limit",
    metavar="S",
    type=FiniteRange(min=0, min_open=True),
    help="Seconds for all that is searched; --verify measures after it.",
)
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="For --verify. Default: the one in zoo/.")
@click.option("--data", help="For --verify. Default: the data set that the checkpoint was trained on.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/BOARD.")
@json_option
def search(
    board_name: str | None,
    space_name: str,
    engine: Literal["tflm", "aot"],
    kernels: Literal["reference", "cmsis-nn"] | None,
    max_arena_bytes: int | None,
    max_flash_bytes: int | None,
    max_model_bytes: int | None,
    max_latency_ms: float | None,
    max_peak_items: int | None,
    min_top1: float | None,
    pareto: str | None,
    finetuned: bool,
    verify: int | None,
    int8: bool,
    time_limit: float | None,
    predictor: Path | None,
    checkpoint: Path | None,
    data: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the subnet with the best predicted accuracy that fits the board.

    `--board all` gives one row a board. With --max-peak-items alone no board is needed.
    """
    if not verify:
        refuse_typed("needs --verify", "int8", "checkpoint", "data")
    if finetuned and predictor:
        raise click.UsageError("--finetuned takes a predictor of its own: leave --predictor out")
    if board_name is not None and not board_name.strip():
        raise click.BadParameter(
            f"{board_name!r} names no board; see `mcofa boards`, or leave it out for {_DEFAULT_BOARD}",
            param_hint="--board",
        )
    every_board = board_name == "all"
    smallest_board = board_name is None and max_peak_items is None and min_top1 is not None
    anywhere = board_name is None and max_peak_items is not None
    if anywhere:
        refuse_typed("needs --board", "kernels", "engine", *_BOARD_LIMITS)
    measures = _parse_measures(pareto)
    if measures and (every_board or min_top1):
        raise click.UsageError("--pareto goes with one board and without --min-top1")
    if anywhere and _BOARD_MEASURES & set(measures):
        raise click.UsageError(f"--pareto {pareto} needs --board")
    if engine == "aot":
        no_file = "with --engine aot there is no .tflite on the device"
        refuse_typed(f"has no effect: {no_file}; use --max-flash-bytes", "max_model_bytes")
        if "model_bytes" in measures:
            raise click.UsageError(f"--pareto {pareto}: {no_file}; use flash_bytes")

    # numpy, imported below, multiplies thousands of small matrices: threads would mostly wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mcofa.accuracy.predictor import load_predictor
    from mcofa.cli.search_runs import Request, check_request, search_each, search_one, search_smallest
    from mcofa.files.resources import data_folder
    from mcofa.search.deadline import Deadline
    from mcofa.space.search_space import load_space

    space = load_space(space_name)
    zoo_name = f"{space.name}-finetuned" if finetuned else space.name
    predictor_file = predictor or data_folder("zoo") / f"{zoo_name}.npz"
    request = Request(
        space=space,
        predictor=load_predictor(predictor_file, space),
        predictor_file=predictor_file,
        checkpoint=checkpoint or data_folder("zoo") / f"{space.name}.safetensors",
        data=data,
        engine=engine,
        kernels=kernels,
        max_arena_bytes=max_arena_bytes,
        max_flash_bytes=max_flash_bytes,
        max_model_bytes=max_model_bytes,
        max_latency_ms=max_latency_ms,
        max_peak_items=max_peak_items,
        min_top1_percent=min_top1,
        measures=measures,
        verify=verify,
        int8=int8,
        deadline=Deadline(time_limit),
        seed=seed,
    )
    check_request(request)
    if every_board:
        search_each(request, out, as_json)
    elif smallest_board:
        search_smallest(request, out, as_json)
    else:
        search_one(request, None if anywhere else board_name or _DEFAULT_BOARD, out, as_json)


def _parse_measures(pareto: str | None) -> tuple[str, ...]:
    measures = tuple(name.strip() for name in pareto.split(",")) if pareto is not None else ()
    for name in measures:
        if name not in _MEASURES:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(_MEASURES)}", param_hint="--pareto")
    if pareto is not None and (len(measures) not in (2, 3) or len(set(measures)) < len(measures)):
        raise click.BadParameter(f"{pareto!r}: name two or three different measures", param_hint="--pareto")
    return measures

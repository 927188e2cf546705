"""`mcofa cost`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mcofa.cli.options import json_option, load_board_with, refuse_typed, tflm_option
from mcofa.cli.output import in_bytes, print_json, print_table, progress, read_text, table_of
from mcofa.cli.run_engine import check_can_stream, stream_option
from mcofa.cost.measures import MEASURES, ON_BOARD
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES

if TYPE_CHECKING:
    from mcofa.cost.table import Columns
    from mcofa.space.search_space import Genomes, SearchSpace


@click.command()
@click.option("--space", "space_name", required=True, help="Name or space file.")
@click.option("--arch", "arch_file", type=click.Path(path_type=Path), help="One arch, as JSON.")
@click.option("--archs", "archs_file", type=click.Path(path_type=Path), help="CSV of archs; prints CSV.")
@click.option("--board", "board_name", help="Name or board file; adds arena, flash and latency.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default=DEFAULT_ENGINE, show_default=True)
@stream_option
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@tflm_option
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/, if any.")
@json_option
def cost(
    space_name: str,
    arch_file: Path | None,
    archs_file: Path | None,
    board_name: str | None,
    engine: str,
    streams_input: bool,
    kernels: Literal["reference", "cmsis-nn"] | None,
    tflm_name: str | None,
    predictor: Path | None,
    as_json: bool,
) -> None:
    """Show what archs cost: peak items, MACs and weights; on a board also arena, flash and latency.

    Where there is a predictor for the space, its accuracy is shown too.
    """
    if (arch_file is None) == (archs_file is None):
        raise click.UsageError("give either --arch or --archs")
    if board_name is None:
        refuse_typed("needs --board", "kernels", "tflm_name", "engine", "streams_input")
    check_can_stream(engine, streams_input)
    from mcofa.cost.table import add_costs, arch_cost, arch_costs
    from mcofa.space.search_space import load_space

    space = load_space(space_name)
    board = None if board_name is None else load_board_with(board_name, kernels, engine, tflm_name)
    how: dict[str, Any] = {"engine": engine, "streams_input": streams_input}
    on_board = {"board": board.name, "kernels": board.kernels, **how} if board else {}
    if archs_file is not None:
        from mcofa.space.arch_table import read_archs

        rows, genomes = read_archs(archs_file, space)
        # Only the costs on a board take long enough to watch.
        bar = progress("costs") if board else contextlib.nullcontext(lambda done, total, text: None)
        with bar as update:
            costs = arch_costs(space, genomes, board, lambda done: update(done, len(genomes), ""), **how)
        costs |= _predictions(space, genomes, predictor)
        table = add_costs(rows, costs)
        for name, count in table.differing.items():
            click.echo(f"{name}: recomputed, {count:,} of {len(rows):,} rows differ from the file", err=True)
        if as_json:
            print_json({"space": space.name, **on_board, "archs": table.rows})
        else:
            click.echo(table.to_csv(), nl=False)
        return
    assert arch_file is not None
    from mcofa.accuracy.predictor import OUTSIDE, after_finetuning
    from mcofa.space.arch import parse_arch

    arch = parse_arch(read_text(arch_file, "arch"), str(arch_file))
    found = arch_cost(space, arch, board, **how)
    found |= {
        name: values[0] for name, values in _predictions(space, space.encode([arch]), predictor).items()
    }
    if as_json:
        print_json({"space": space.name, "arch": arch.to_json(), "arch_text": str(arch), **on_board, **found})
        return
    click.echo(str(arch))
    numbers = table_of("cost", "", right=(1,))
    for name in ("peak_items", "macs", "params"):
        numbers.add_row(name, f"{found[name]:,}")
    for name in ON_BOARD if board else ():
        measure = MEASURES[name]
        amount = in_bytes(found[name]) if measure.unit == "B" else f"{found[name]:,}"
        numbers.add_row(f"{name} ({measure.note})" if measure.note else name, amount)
    for name in ("arena_bytes_resident", "arena_bytes_by_rows"):
        if (arena_bytes := found.get("arena", {}).get(name)) is not None:
            numbers.add_row(name, in_bytes(arena_bytes))
    if "predicted_top1_percent" in found:
        accuracy = f"{found['predicted_top1_percent']:.2f} ± {found['predicted_top1_std_points']:.2f}"
        accuracy += after_finetuning(int(found["predictor_finetune_epochs"]))
        accuracy += f", {OUTSIDE}" if found["outside_measured_range"] else ""
        numbers.add_row("predicted_top1_percent", accuracy)
    print_table(numbers)


def _predictions(space: SearchSpace, genomes: Genomes, file: Path | None) -> Columns:
    """Accuracy, its standard deviation, and what both hold for, (archs,) each; nothing without predictor."""
    from mcofa.accuracy.predictor import OtherSpaceError, load_predictor
    from mcofa.errors import MissingFileError
    from mcofa.files.resources import data_folder

    try:
        predictor = load_predictor(file or data_folder("zoo") / f"{space.name}.npz", space)
    except (MissingFileError, OtherSpaceError):
        if file is None:
            return {}
        raise
    found = predictor.predict(space, genomes)
    return {
        "predicted_top1_percent": found.top1_percent.round(3).tolist(),
        "predicted_top1_std_points": found.std_points.round(3).tolist(),
        "outside_measured_range": found.extrapolates.tolist(),
        "predictor_finetune_epochs": [predictor.provenance.finetune_epochs] * len(genomes),
    }

"""`mcofa cost`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from mcofa.cli.options import json_option, load_board_with, refuse_typed
from mcofa.cli.output import in_bytes, print_json, print_table, progress, read_text, table_of
from mcofa.cost.measures import MEASURES, ON_BOARD
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES

if TYPE_CHECKING:
    from mcofa.boards import Board
    from mcofa.space.search_space import SearchSpace


@click.command()
@click.option("--space", "space_name", required=True, help="Name or space file.")
@click.option("--arch", "arch_file", type=click.Path(path_type=Path), help="One arch, as JSON.")
@click.option("--archs", "archs_file", type=click.Path(path_type=Path), help="CSV of archs; prints CSV.")
@click.option("--board", "board_name", help="Name or board file; adds arena, flash and latency.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default=DEFAULT_ENGINE, show_default=True)
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/, if any.")
@json_option
def cost(
    space_name: str,
    arch_file: Path | None,
    archs_file: Path | None,
    board_name: str | None,
    engine: str,
    kernels: Literal["reference", "cmsis-nn"] | None,
    predictor: Path | None,
    as_json: bool,
) -> None:
    """Show what archs cost: peak items, MACs and weights; on a board also arena, flash and latency.

    Where there is a predictor for the space, its accuracy is shown too.
    """
    if (arch_file is None) == (archs_file is None):
        raise click.UsageError("give either --arch or --archs")
    if board_name is None:
        refuse_typed("needs --board", "kernels", "engine")
    from mcofa.space.search_space import load_space

    space = load_space(space_name)
    board = None if board_name is None else load_board_with(board_name, kernels, engine)
    asked = _Asked(space, board, engine, predictor, as_json)
    if archs_file is not None:
        _cost_of_table(archs_file, asked)
    elif arch_file is not None:
        _cost_of_arch(arch_file, asked)


class _Asked(NamedTuple):
    """What costs are asked for."""

    space: SearchSpace
    board: Board | None
    engine: str
    predictor: Path | None
    as_json: bool

    @property
    def on_board(self) -> dict[str, str]:
        """What a JSON answer says of the board."""
        board = self.board
        return {} if board is None else {"board": board.name, "kernels": board.kernels, "engine": self.engine}


def _cost_of_table(file: Path, asked: _Asked) -> None:
    from mcofa.accuracy.known import known_of_archs
    from mcofa.cost.table import add_costs
    from mcofa.space.arch_table import read_archs

    rows, genomes = read_archs(file, asked.space)
    # Only the costs on a board take long enough to watch.
    bar = progress("costs") if asked.board else contextlib.nullcontext(lambda done, total, text: None)
    with bar as update:
        known = known_of_archs(
            asked.space,
            genomes,
            asked.board,
            asked.engine,
            asked.predictor,
            lambda done: update(done, len(genomes), ""),
        )
    table = add_costs(rows, known)
    for name, count in table.differing.items():
        click.echo(f"{name}: recomputed, {count:,} of {len(rows):,} rows differ from the file", err=True)
    if asked.as_json:
        print_json({"space": asked.space.name, **asked.on_board, "archs": table.rows})
    else:
        click.echo(table.to_csv(), nl=False)


def _cost_of_arch(file: Path, asked: _Asked) -> None:
    from mcofa.accuracy.known import known_of_arch
    from mcofa.accuracy.predictor import OUTSIDE, after_finetuning
    from mcofa.space.arch import parse_arch

    arch = parse_arch(read_text(file, "arch"), str(file))
    found = known_of_arch(asked.space, arch, asked.board, asked.engine, asked.predictor)
    if asked.as_json:
        print_json(
            {
                "space": asked.space.name,
                "arch": arch.to_json(),
                "arch_text": str(arch),
                **asked.on_board,
                **found,
            }
        )
        return
    click.echo(str(arch))
    numbers = table_of("cost", "", right=(1,))
    for name in ("peak_items", "macs", "params"):
        numbers.add_row(name, f"{found[name]:,}")
    for name in ON_BOARD if asked.board else ():
        measure = MEASURES[name]
        amount = in_bytes(found[name]) if measure.unit == "B" else f"{found[name]:,}"
        numbers.add_row(f"{name} ({measure.note})" if measure.note else name, amount)
    if "predicted_top1_percent" in found:
        accuracy = f"{found['predicted_top1_percent']:.2f} ± {found['predicted_top1_std_points']:.2f}"
        accuracy += after_finetuning(int(found["predictor_finetune_epochs"]))
        accuracy += f", {OUTSIDE}" if found["outside_measured_range"] else ""
        numbers.add_row("predicted_top1_percent", accuracy)
    print_table(numbers)

"""`mcofa cost`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

import click

from mcofa.cli.output import (
    in_bytes,
    json_option,
    print_json,
    print_table,
    progress,
    read_text,
    table_of,
)


@click.command()
@click.option("--space", "space_name", required=True, help="Name or space file.")
@click.option("--arch", "arch_file", type=click.Path(path_type=Path), help="One arch, as JSON.")
@click.option("--archs", "archs_file", type=click.Path(path_type=Path), help="CSV of archs; prints CSV.")
@click.option("--board", "board_name", help="Name or board file; adds arena and flash.")
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@json_option
def cost(
    space_name: str,
    arch_file: Path | None,
    archs_file: Path | None,
    board_name: str | None,
    kernels: Literal["reference", "cmsis-nn"] | None,
    as_json: bool,
) -> None:
    """Show what archs cost: peak items, MACs and weights; on a board also arena and flash."""
    if (arch_file is None) == (archs_file is None):
        raise click.UsageError("give either --arch or --archs")
    if kernels and not board_name:
        raise click.UsageError("--kernels needs --board")
    from dataclasses import replace

    from mcofa.boards import load_board
    from mcofa.cost_table import add_costs, arch_cost, arch_costs
    from mcofa.space import load_space

    space, board = load_space(space_name), load_board(board_name) if board_name else None
    if board and kernels:
        board = replace(board, kernels=kernels)
    on_board = {"board": board.name, "kernels": board.kernels} if board else {}
    if archs_file is not None:
        from mcofa.arch_table import read_archs

        rows, genomes = read_archs(archs_file, space)
        # Only the costs on a board take long enough to watch.
        bar = progress("costs") if board else contextlib.nullcontext(lambda done, total, text: None)
        with bar as update:
            costs = arch_costs(space, genomes, board, lambda done: update(done, len(genomes), ""))
        table = add_costs(rows, costs)
        for name, count in table.differing.items():
            click.echo(f"{name}: recomputed, {count:,} of {len(rows):,} rows differ from the file", err=True)
        if as_json:
            print_json({"space": space.name, **on_board, "archs": table.rows})
        else:
            click.echo(table.to_csv(), nl=False)
        return
    assert arch_file is not None
    from mcofa.arch import parse_arch

    arch = parse_arch(read_text(arch_file, "arch"), str(arch_file))
    found = arch_cost(space, arch, board)
    if as_json:
        print_json({"space": space.name, "arch": arch.to_json(), "arch_text": str(arch), **on_board, **found})
        return
    click.echo(str(arch))
    numbers = table_of("cost", "", right=(1,))
    for name in ("peak_items", "macs", "params"):
        numbers.add_row(name, f"{found[name]:,}")
    for name in ("arena_bytes", "model_bytes", "flash_bytes") if board else ():
        numbers.add_row(name, in_bytes(found[name]))
    print_table(numbers)

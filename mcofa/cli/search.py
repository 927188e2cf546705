"""`mcofa search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.cli.output import json_option, of_budget, print_json, progress

if TYPE_CHECKING:
    from mcofa.latency import LatencyEstimate


@click.command()
@click.option("--board", "board_name", default="stm32f746", show_default=True, help="Name or board file.")
@click.option("--space", "space_name", default="mcofa-micro", show_default=True, help="Name or space file.")
@click.option("--max-arena-bytes", type=click.IntRange(min=1), help="Stay below the board's own budget.")
@click.option("--max-flash-bytes", type=click.IntRange(min=1), help="Runtime and firmware included.")
@click.option("--max-latency-ms", type=click.FloatRange(min=0, min_open=True), help="Of the estimate.")
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/BOARD.")
@json_option
def search(
    board_name: str,
    space_name: str,
    max_arena_bytes: int | None,
    max_flash_bytes: int | None,
    max_latency_ms: float | None,
    predictor: Path | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the subnet with the best predicted accuracy that fits the board."""
    from mcofa.boards import load_board
    from mcofa.predictor import load_predictor
    from mcofa.resources import data_folder
    from mcofa.run import DEFAULT_FOLDER, Run
    from mcofa.search import Generation, board_budget
    from mcofa.search import search as search_space
    from mcofa.space import load_space

    board, space = load_board(board_name), load_space(space_name)
    budget = board_budget(board, max_arena_bytes, max_flash_bytes, max_latency_ms)
    loaded = load_predictor(predictor or data_folder("zoo") / f"{space.name}.npz", space)
    with progress("searching") as update:

        def report(generation: Generation) -> None:
            best = generation.best_top1_percent
            update(generation.number, generation.of, "" if best is None else f"best {best:.2f} %")

        found = search_space(space, board, budget, loaded, seed, report)
    run = Run(out or DEFAULT_FOLDER / board.name)
    section = found.to_json(space, board, budget, seed)
    run.record("search", section)
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    click.echo(f"{found.arch}")
    click.echo(
        f"arena    {of_budget(found.cost.arena_bytes, budget.arena_bytes)} (predicted minimum, {board.core})"
    )
    click.echo(
        f"flash    {of_budget(found.cost.flash_bytes, budget.flash_bytes)} (model and runtime, predicted)"
    )
    click.echo(f"MACs     {found.cost.macs / 1e6:.2f} M")
    click.echo(f"latency  {_latency_words(found.cost.latency)}")
    click.echo(f"accuracy {found.top1_percent:.1f} ± {found.std_points:.1f} % top-1 (predicted)")
    click.echo(f"written to {run.folder}; next: mcofa export {run.folder}")


def _latency_words(found: LatencyEstimate) -> str:
    error = f"± {100 * found.relative_error:.0f} % in instructions, at one a cycle"
    return f"{found.latency_ms:.1f} ms (estimate, {error})"

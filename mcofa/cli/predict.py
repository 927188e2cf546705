"""`mcofa measure` and `fit-predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.cli.options import json_option
from mcofa.cli.output import print_json, progress

if TYPE_CHECKING:
    from mcofa.accuracy.fit import Quality
    from mcofa.accuracy.predictor import Provenance


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--count", default=200, show_default=True, type=click.IntRange(min=1), help="Archs to measure.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--board",
    "board_name",
    default="stm32f746",
    show_default=True,
    help="Whose arenas archs are spread over.",
)
@click.option("--data", help="Default: the data set that the checkpoint was trained on.")
@click.option(
    "--finetune-epochs",
    metavar="N",
    default=0,
    type=click.IntRange(min=0),
    help="Fine-tune each subnet for so long before, to choose what will be fine-tuned.",
)
@click.option("--out", type=click.Path(path_type=Path), help="CSV; default in runs/measure.")
@json_option
def measure(
    checkpoint: Path,
    count: int,
    seed: int,
    board_name: str,
    data: str | None,
    finetune_epochs: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the validation accuracy of subnets of CHECKPOINT, from the smallest arenas to the largest.

    The same command again goes on where it stopped. Several processes share the work when torchrun
    starts them: torchrun --nproc-per-node 4 --no-python mcofa measure CHECKPOINT.
    """
    from mcofa.boards import load_board
    from mcofa.supernet.measure.measure import measure as measure_subnets

    suffix = f"-finetuned-{finetune_epochs}" if finetune_epochs else ""
    table = out or Path("runs/measure") / f"{checkpoint.stem}{suffix}.csv"
    board = load_board(board_name)
    with progress("measuring") as update:

        def report(done: int, of: int) -> None:
            update(done, of, "")

        measured = measure_subnets(checkpoint, count, seed, board, table, data, finetune_epochs, report)
    if measured is None:
        click.echo("done; the last process to finish writes the table", err=True)
        return
    accuracies = measured.top1_percent.tolist()
    summary = {
        "csv": str(table),
        "archs": len(measured),
        "finetune_epochs": measured.finetune_epochs,
        "lowest_top1_percent": min(accuracies),
        "highest_top1_percent": max(accuracies),
    }
    if as_json:
        print_json(summary)
        return
    click.echo(f"{table}: {len(measured)} archs, {min(accuracies):.2f} to {max(accuracies):.2f} % top-1")


@click.command("fit-predictor")
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--space", "space_name", default="mcofa-micro", show_default=True, help="Name or space file.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .npz file to write.")
@click.option("--note", default="", help="On which checkpoint and data the archs were measured.")
@click.option(
    "--held-out",
    "held_out",
    type=click.Path(path_type=Path),
    help="CSV of further measured archs, to try the predictor on.",
)
@json_option
def fit_predictor(
    table: Path, space_name: str, out: Path, note: str, held_out: Path | None, as_json: bool
) -> None:
    """Fit an accuracy predictor on the measured archs in CSV.

    From 30 archs on it tells what each option is worth; 6 to 29 archs are told apart by their MACs and
    parameters alone, which serves for archs that were fine-tuned.

    A column measurement_batch tells archs apart that were measured on different images. The columns
    space_fingerprint, data and finetune_epochs, which `mcofa measure` writes, keep spaces, data sets and
    accuracies before and after fine-tuning apart.
    """
    from dataclasses import asdict

    from mcofa.accuracy.fit_table import fit_table
    from mcofa.space.search_space import load_space

    known, tried = fit_table(table, load_space(space_name), out, note, held_out)
    if as_json:
        of_tried = {} if tried is None else {"held_out": tried.to_json()}
        print_json({"predictor": str(out), **asdict(known), **of_tried})
        return
    _print_fit(out, known)
    if tried is not None:
        click.echo(f"{held_out}: {tried.archs} archs; {_quality_words(tried.anywhere)}")
        if tried.in_batch is not None:
            click.echo(f"in a known batch: {_quality_words(tried.in_batch)}")


def _print_fit(out: Path, known: Provenance) -> None:
    from mcofa.accuracy.features import SIZES
    from mcofa.accuracy.predictor import after_finetuning

    by = " by their MACs and parameters alone" if known.encoding == SIZES else ""
    click.echo(
        f"{out}: {known.measured_archs} archs{after_finetuning(known.finetune_epochs)}{by}; cross-validated: "
        f"RMSE {known.rmse_points:.2f} points, Kendall tau {known.kendall_tau:.2f}"
    )
    if known.batches:
        click.echo(
            f"in a known batch: RMSE {known.rmse_points_in_batch:.2f} points, "
            f"Kendall tau {known.kendall_tau_in_batch:.2f} ({len(known.batches)} batches)"
        )


def _quality_words(found: Quality) -> str:
    return f"RMSE {found.rmse_points:.2f} points, Kendall tau {found.kendall_tau:.2f}"

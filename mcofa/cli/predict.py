"""`mcofa measure` and `fit-predictor`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.options import json_option
from mcofa.cli.output import print_json, progress


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

    from mcofa.accuracy.features import SIZES
    from mcofa.accuracy.fit import fit_predictor as fit
    from mcofa.accuracy.fit import quality
    from mcofa.accuracy.predictor import after_finetuning, save_predictor
    from mcofa.errors import FileFormatError
    from mcofa.space.arch_table import read_measured
    from mcofa.space.search_space import load_space

    space = load_space(space_name)
    measured = read_measured(table, space)
    tried = read_measured(held_out, space) if held_out else None
    if held_out and tried and tried.finetune_epochs != measured.finetune_epochs:
        raise FileFormatError(
            held_out,
            f"was measured after {tried.finetune_epochs} epochs of fine-tuning, "
            f"{table} after {measured.finetune_epochs}",
            "name tables that were measured alike",
        )
    predictor = fit(space, measured, note or table.name)
    save_predictor(out, predictor)
    known = predictor.provenance
    found = {"predictor": str(out), **asdict(known)}
    by = " by their MACs and parameters alone" if known.encoding == SIZES else ""
    lines = [
        f"{out}: {known.measured_archs} archs{after_finetuning(known.finetune_epochs)}{by}; cross-validated: "
        f"RMSE {known.rmse_points:.2f} points, Kendall tau {known.kendall_tau:.2f}"
    ]
    if known.batches:
        lines.append(
            f"in a known batch: RMSE {known.rmse_points_in_batch:.2f} points, "
            f"Kendall tau {known.kendall_tau_in_batch:.2f} ({len(known.batches)} batches)"
        )
    if tried is not None:
        anywhere = quality(predictor.predict(space, tried.genomes).top1_percent, tried.top1_percent)
        found["held_out"] = {"archs": len(tried), **asdict(anywhere)}
        lines.append(
            f"{held_out}: {len(tried)} archs; RMSE {anywhere.rmse_points:.2f} points, "
            f"Kendall tau {anywhere.kendall_tau:.2f}"
        )
        if known.batches and tried.batches:
            predicted = predictor.predict(space, tried.genomes, tried.batches).top1_percent
            in_batch = quality(predicted, tried.top1_percent)
            found["held_out"] |= {f"{name}_in_batch": value for name, value in asdict(in_batch).items()}
            lines.append(
                f"in a known batch: RMSE {in_batch.rmse_points:.2f} points, "
                f"Kendall tau {in_batch.kendall_tau:.2f}"
            )
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(lines))

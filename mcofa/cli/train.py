"""`mcofa train`, `measure`, `fit-predictor` and `import-ofa`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.output import json_option, print_json, progress


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Checkpoint; default runs/train/CONFIG.safetensors."
)
@json_option
def train(config: Path, out: Path | None, as_json: bool) -> None:
    """Train a supernet as CONFIG says. The same command again resumes an interrupted run."""
    from mcofa.supernet.config import load_config
    from mcofa.supernet.train import Progress
    from mcofa.supernet.train import train as train_supernet

    loaded = load_config(config)
    checkpoint = out or Path("runs/train") / f"{config.stem}.safetensors"
    with progress("training") as update:

        def report(progress: Progress) -> None:
            speed = f"loss {progress.loss:.3f}, {progress.images_per_second:,.0f} images/s"
            update(progress.step, progress.steps, speed)

        try:
            header = train_supernet(loaded, checkpoint, report)
        except KeyboardInterrupt:
            if checkpoint.is_file():
                click.echo(
                    f"interrupted; saved to {checkpoint}, the same command goes on from there", err=True
                )
            raise
    if as_json:
        print_json({"checkpoint": str(checkpoint), **header.model_dump()})
        return
    accuracies = ", ".join(f"{name} {top1:.2f} %" for name, top1 in header.validation_top1_percent.items())
    click.echo(f"{checkpoint}: {header.step} steps, validation top-1: {accuracies}")


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--count", default=200, show_default=True, type=click.IntRange(min=1), help="Archs to measure.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="CSV; default runs/measure/CHECKPOINT.csv.")
@json_option
def measure(checkpoint: Path, count: int, seed: int, out: Path | None, as_json: bool) -> None:
    """Measure the validation accuracy of random subnets of CHECKPOINT; resumable."""
    from mcofa.supernet.measure import measure as measure_subnets

    table = out or Path("runs/measure") / f"{checkpoint.stem}.csv"
    with progress("measuring") as update:
        measured = measure_subnets(checkpoint, count, seed, table, lambda done: update(done, count, ""))
    accuracies = [top1 for _, top1 in measured]
    summary = {
        "csv": str(table),
        "archs": len(measured),
        "lowest_top1_percent": min(accuracies),
        "highest_top1_percent": max(accuracies),
    }
    if as_json:
        print_json(summary)
        return
    click.echo(f"{table}: {len(measured)} archs, {min(accuracies):.2f} to {max(accuracies):.2f} % top-1")


@click.command("fit-predictor")
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--space", "space_name", default="mcofa-micro", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .npz file to write.")
@click.option("--note", default="", help="On which checkpoint and data the archs were measured.")
@json_option
def fit_predictor(table: Path, space_name: str, out: Path, note: str, as_json: bool) -> None:
    """Fit an accuracy predictor on the measured archs in CSV."""
    from dataclasses import asdict

    from mcofa.arch_table import read_measured
    from mcofa.fit_predictor import fit_predictor as fit
    from mcofa.predictor import save_predictor
    from mcofa.space import load_space

    space = load_space(space_name)
    predictor = fit(space, read_measured(table, space), note or table.name)
    save_predictor(out, predictor)
    provenance = predictor.provenance
    if as_json:
        print_json({"predictor": str(out), **asdict(provenance)})
        return
    click.echo(
        f"{out}: {provenance.measured_archs} archs; cross-validated: "
        f"RMSE {provenance.rmse_points:.2f} points, Kendall tau {provenance.kendall_tau:.2f}"
    )


@click.command("import-ofa")
@click.argument("published", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--space", "space_name", default="ofa", show_default=True, help="Name or space file.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Checkpoint; default runs/import/FILE.safetensors."
)
@json_option
def import_ofa(published: Path, space_name: str, out: Path | None, as_json: bool) -> None:
    """Turn published weights of MIT OFA, CompOFA or memory-constant OFA into a checkpoint.

    FILE is a state dict as torch.save wrote it. Every key and shape must fit the space.
    """
    from mcofa.space import load_space
    from mcofa.supernet.import_ofa import import_checkpoint

    checkpoint = out or Path("runs/import") / f"{published.name}.safetensors"
    header = import_checkpoint(published, load_space(space_name), checkpoint)
    if as_json:
        print_json({"checkpoint": str(checkpoint), **header.model_dump()})
        return
    click.echo(f"{checkpoint}: {header.space.name}, {header.space.padding} padding, from {header.origin}")

"""`mcofa finetune`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.finite import FiniteRange
from mcofa.cli.options import json_option, open_run, run_argument
from mcofa.cli.output import print_json, progress


@click.command()
@run_argument
@click.option(
    "--qat", is_flag=True, help="Then tune for int8 (quantization-aware), for a third as many epochs again."
)
@click.option("--epochs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Default: as for mcofa export.")
@click.option("--learning-rate", default=0.05, show_default=True, type=FiniteRange(min=0, min_open=True))
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(min=2))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@json_option
def finetune(
    run_folder: Path | None,
    qat: bool,
    epochs: int,
    checkpoint: Path | None,
    learning_rate: float,
    batch_size: int,
    seed: int,
    as_json: bool,
) -> None:
    """Train the run's subnet alone for a few more epochs; `mcofa export` then takes these weights.

    The best epoch on the validation images is kept, or the weights as they were if none is better.
    """
    run = open_run(run_folder)
    run.section("search")
    from mcofa.supernet.finetune.finetune import FinetuneSettings, Progress
    from mcofa.supernet.finetune.finetune import finetune as finetune_run
    from mcofa.supernet.finetune.searched import default_checkpoint

    source = checkpoint or default_checkpoint(run)
    settings = FinetuneSettings(
        epochs=epochs, qat=qat, learning_rate=learning_rate, batch_size=batch_size, seed=seed
    )
    with progress("fine-tuning") as update:

        def report(at: Progress) -> None:
            text = f"loss {at.loss:.3f}, best validation top-1 {at.validation_top1_percent:.2f} %"
            update(at.step, at.steps, text)

        section = finetune_run(run, source, settings, report)
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    top1, kept = section["validation_top1_percent"], section["kept_epoch"]
    click.echo(
        f"validation top-1 {top1['before']:.2f} → {top1['after']:.2f} % "
        f"({section['validated_as']}, {section['validation_images']:,} images)"
    )
    click.echo(
        f"kept epoch {kept} of {len(top1['epochs'])}"
        if kept
        else "no epoch was better: the weights stay as they were"
    )
    click.echo(f"written to {run.folder / section['weights']['file']}; next: mcofa export {run.folder}")

"""`mcofa train` and `import-ofa`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.cli.options import json_option, refuse_typed
from mcofa.cli.output import print_json, progress
from mcofa.errors import SharedError

if TYPE_CHECKING:
    from mcofa.supernet.training.train import Progress


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--step",
    type=click.Choice(["sandwich", "teacher", "kernel", "depth", "expand"]),
    help="Train only this step; it starts from the one before. Default: all that are left.",
)
@click.option(
    "--phase", default=1, show_default=True, type=click.IntRange(min=1), help="Which phase of --step."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Checkpoint of the last phase, the others lie beside it; default runs/train/CONFIG.safetensors.",
)
@json_option
def train(config: Path, step: str | None, phase: int, out: Path | None, as_json: bool) -> None:
    """Train a supernet as CONFIG says. The same command again resumes an interrupted run.

    Under torchrun (`torchrun --nproc-per-node N train.py CONFIG`) N processes share the work.
    """
    if step is None:
        refuse_typed("needs --step", "phase")
    from mcofa.supernet.training.config import load_config, phase_name
    from mcofa.supernet.training.distributed import joined
    from mcofa.supernet.training.phases import PhaseFiles
    from mcofa.supernet.training.train import train as train_supernet

    checkpoint = out or Path("runs/train") / f"{config.stem}.safetensors"
    chosen = None if step is None else phase_name(step, phase)
    with joined() as world:
        try:
            loaded = world.in_each(lambda: load_config(config))
            with _shown(checkpoint.parent) if world.first else contextlib.nullcontext(_nothing) as report:
                header = train_supernet(loaded, checkpoint, report, chosen, world)
        except SharedError as error:
            if world.first:
                raise
            raise click.exceptions.Exit(1) from error
    if not world.first:
        return
    path = PhaseFiles(loaded, header.space, checkpoint).path(loaded.phase_names.index(header.phase))
    if as_json:
        print_json({"checkpoint": str(path), **header.model_dump()})
        return
    accuracies = ", ".join(f"{name} {top1:.2f} %" for name, top1 in header.validation_top1_percent.items())
    click.echo(f"{path}: {header.step} steps, validation top-1: {accuracies}")


@contextlib.contextmanager
def _shown(folder: Path) -> Iterator[Callable[[Progress], None]]:
    """Show what is reported; after an interrupt, say that it is saved in ``folder``."""
    reported = False
    with progress("training") as update:

        def report(now: Progress) -> None:
            nonlocal reported
            reported = True
            seen = f"loss {now.loss:.3f}, accuracy {now.top1_percent:.1f} %"
            update(now.step, now.steps, f"{now.phase}: {seen}, {now.images_per_second:,.0f} images/s")

        try:
            yield report
        except KeyboardInterrupt:
            if reported:
                click.echo(f"interrupted; saved in {folder}, the same command goes on from there", err=True)
            raise


def _nothing(_: Progress) -> None:
    """Show nothing."""


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
    from mcofa.space.search_space import load_space
    from mcofa.supernet.network.import_ofa import import_checkpoint

    checkpoint = out or Path("runs/import") / f"{published.name}.safetensors"
    header = import_checkpoint(published, load_space(space_name), checkpoint)
    if as_json:
        print_json({"checkpoint": str(checkpoint), **header.model_dump()})
        return
    click.echo(f"{checkpoint}: {header.space.name}, {header.space.padding} padding, from {header.origin}")

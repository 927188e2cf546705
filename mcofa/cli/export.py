"""`mcofa export` and `mcofa evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcofa.cli.output import in_bytes, json_option, open_run, print_json, print_table, run_argument, table_of


@click.command()
@run_argument
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@json_option
def export(run_folder: Path | None, checkpoint: Path | None, as_json: bool) -> None:
    """Turn the run's arch into ONNX, an int8 .tflite and C arrays."""
    run = open_run(run_folder)
    space = run.section("search")["space"]
    from export.deploy import export_run
    from mcofa.resources import data_folder

    section = export_run(run, checkpoint or data_folder("zoo") / f"{space}.safetensors")
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    for artefact in (section["onnx"], section["tflite"], *section["c_arrays"]):
        click.echo(f"{run.folder / artefact['file']}  {in_bytes(artefact['bytes'])}")
    click.echo(f"minimum arena {in_bytes(section['arena_bytes'])}; {_plan_words(section['offline_plan'])}")


@click.command()
@click.argument("subject", metavar="[RUN|CHECKPOINT]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--arch",
    default="largest",
    show_default=True,
    help="Of a CHECKPOINT: largest, smallest, random or a file with the arch as JSON.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="For --arch random.")
@click.option("--data", help="Of a CHECKPOINT: a data set other than the one it was trained on.")
@json_option
def evaluate(subject: Path | None, arch: str, seed: int, data: str | None, as_json: bool) -> None:
    """Measure accuracy on the test images: of a run's models, or of a subnet of a CHECKPOINT."""
    if subject is not None and (subject.is_file() or subject.suffix == ".safetensors"):
        from mcofa.supernet.evaluate_checkpoint import evaluate_checkpoint

        result = evaluate_checkpoint(subject, arch, seed, data)
        if as_json:
            print_json(result)
            return
        click.echo(f"{result['arch_text']}: {result['float_top1_percent']:.2f} % top-1 of ", nl=False)
        click.echo(f"{result['test_images']:,} test images (float), {result['macs'] / 1e6:.2f} M MACs")
        return
    run = open_run(subject)
    run.section("export")
    from export.evaluate import evaluate_run

    section = evaluate_run(run, lambda what: click.echo(what, err=True))
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    table = table_of("model", "runtime", "images", "top-1", right=(2, 3))
    for model, runtime, images, key in (
        ("float", "onnxruntime", section["test_images"], "float_top1_percent"),
        ("int8", "LiteRT reference", section["test_images"], "int8_top1_percent"),
        ("int8", "TFLM x86-64", section["tflm_images"], "tflm_top1_percent"),
    ):
        table.add_row(model, runtime, f"{images:,}", f"{section[key]:.2f} %")
    print_table(table)
    differing = section["tflm_images_that_differ_from_litert"]
    click.echo(
        f"outputs that differ between LiteRT and TFLM: {differing} of {section['tflm_images']:,} images"
    )


def _plan_words(plan: dict[str, Any]) -> str:
    if plan["used"]:
        saved, growth = in_bytes(plan["saved_bytes"]), in_bytes(plan["growth_bytes"])
        return f"the file carries a memory plan that saves {saved} of arena and takes {growth} of flash"
    return "TFLM's own memory plan is kept, as none that fits the flash saves arena"

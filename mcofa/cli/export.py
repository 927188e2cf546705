"""`mcofa export`, `mcofa evaluate` and `mcofa verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcofa.cli.options import json_option, names_file, open_run, refuse_typed, run_argument
from mcofa.cli.output import in_bytes, print_json, print_table, table_of
from mcofa.cli.run_board import board_of_run
from mcofa.cli.run_engine import HowToRun, how_options, tell_what_the_host_runs


@click.command()
@run_argument
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Default: the one that the run was fine-tuned from, or searched with (--verify), or that in zoo/.",
)
@click.option(
    "--converter",
    type=click.Choice(["mcofa", "tensorflow"]),
    default="mcofa",
    show_default=True,
    help="tensorflow: let TensorFlow convert the network too, and compare the two files.",
)
@how_options
@json_option
def export(
    run_folder: Path | None,
    checkpoint: Path | None,
    converter: str,
    how: HowToRun,
    as_json: bool,
) -> None:
    """Turn the run's arch into ONNX, an int8 .tflite and C arrays."""
    run = open_run(run_folder)
    board_of_run(run, None)
    engine, by_rows = how.with_run(run)
    from export.convert.deploy import export_run
    from mcofa.supernet.finetune.searched import default_checkpoint

    if converter == "tensorflow":
        from export.checks.second_opinion import second_opinion

        export_run(run, checkpoint or default_checkpoint(run), engine, by_rows)
        section = second_opinion(run)
    else:
        section = export_run(run, checkpoint or default_checkpoint(run), engine, by_rows)
    if by_rows and section["input"]["rotate_180"]:
        click.echo(
            "note: the network reads images turned by 180 degrees: their last row comes first", err=True
        )
    if as_json:
        print_json({"run": str(run.folder), **section})
        return
    for artefact in (section["onnx"], section["tflite"], *section["c_arrays"]):
        click.echo(f"{run.folder / artefact['file']}  {in_bytes(artefact['bytes'])}")
    runs_on = f"engine {engine}{', image row by row' if by_rows else ''}"
    click.echo(f"minimum arena {in_bytes(section['arena_bytes'])}, {runs_on}; {_plan_words(section)}")
    if "second_opinion" in section:
        click.echo(_comparison_words(section["second_opinion"]))


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
    if subject is not None and names_file(subject, ".safetensors"):
        if arch != "random":
            refuse_typed("is for --arch random", "seed")
        from mcofa.supernet.measure.evaluate_checkpoint import evaluate_checkpoint

        result = evaluate_checkpoint(subject, arch, seed, data)
        if as_json:
            print_json(result)
            return
        click.echo(f"{result['arch_text']}: {result['float_top1_percent']:.2f} % top-1 of ", nl=False)
        click.echo(f"{result['test_images']:,} test images (float), {result['macs'] / 1e6:.2f} M MACs")
        return
    refuse_typed("is for a CHECKPOINT: a run has its own arch and data set", "arch", "seed", "data")
    run = open_run(subject)
    run.section("export")
    tell_what_the_host_runs(run)
    from export.checks.evaluate import evaluate_run

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


@click.command()
@run_argument
@click.option(
    "--images",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Validation images, spread over the split.",
)
@click.option("--ops", "list_ops", is_flag=True, help="List every op.")
@json_option
def verify(run_folder: Path | None, images: int, list_ops: bool, as_json: bool) -> None:
    """Compare PyTorch, ONNX, LiteRT and TFLM on the same images; fail when LiteRT and TFLM differ."""
    run = open_run(run_folder)
    run.section("export")
    tell_what_the_host_runs(run)
    from export.checks.verify import enforce, verify_run

    section = verify_run(run, images, lambda what: click.echo(what, err=True))
    if as_json:
        print_json({"run": str(run.folder), **section})
    else:
        _print_verification(section, list_ops)
    enforce(section)


def _print_verification(section: dict[str, Any], list_ops: bool) -> None:
    accuracies = section["top1_percent"]
    click.echo(f"{section['images']:,} {section['split']} images of {section['data']}")
    table = table_of("", "largest difference", "same class", "top-1", right=(1, 2, 3))
    first = section["steps"][0]["first"]
    table.add_row(first, "", "", f"{accuracies[first]:.2f} %")
    for step in section["steps"]:
        table.add_row(
            f"{step['first']} → {step['second']}",
            f"{step['max_difference']:.3g} {step['unit']}{'s' * (step['max_difference'] != 1)}",
            f"{step['top1_agreement_percent']:.2f} %",
            f"{accuracies[step['second']]:.2f} %",
        )
    print_table(table)
    ops = section["ops"]
    if list_ops:
        columns = ("op", "kind", "output", "mean error", "largest", "signal to noise", "LiteRT ≠ TFLM")
        table = table_of(*columns, right=(0, 3, 4, 5, 6))
        for op in ops:
            table.add_row(
                str(op["op"]),
                op["kind"],
                "×".join(map(str, op["shape"][1:])),
                f"{op['mean_error_steps']:.2f}",
                f"{op['max_error_steps']:.1f}",
                f"{op['signal_to_noise_db']:.1f} dB",
                str(op["tflm_max_difference_steps"]),
            )
        click.echo("\nint8 (LiteRT) against float (ONNX), in steps of int8, and the largest step to TFLM")
        print_table(table)
    noisiest = min(ops, key=lambda op: op["signal_to_noise_db"])
    same = sum(not op["tflm_max_difference_steps"] for op in ops)
    click.echo(
        f"ops that are identical in LiteRT and TFLM: {same} of {len(ops)}; farthest from float: op "
        f"{noisiest['op']}, {noisiest['kind']}, {noisiest['signal_to_noise_db']:.1f} dB"
    )


def _plan_words(section: dict[str, Any]) -> str:
    plan = section["offline_plan"]
    if plan is None:
        return "the memory plan is part of the generated program"
    if plan["used"]:
        saved, growth = in_bytes(plan["saved_bytes"]), in_bytes(plan["growth_bytes"])
        return f"the file carries a memory plan that saves {saved} of arena and takes {growth} of flash"
    return "TFLM's own memory plan is kept, as none within the budget saves arena"


def _comparison_words(found: dict[str, Any]) -> str:
    theirs = found["tflite"]
    return (
        f"{theirs['file']}, by tensorflow {found['tensorflow']}: the same {found['ops']} ops, "
        f"{in_bytes(theirs['bytes'])} (ours is {found['own_smaller_percent']} % smaller); top-1 of "
        f"{found['validation_images']:,} validation images {found['tensorflow_top1_percent']:.2f} %, "
        f"ours {found['own_top1_percent']:.2f} %; same answer for {found['agreement_percent']:.2f} %"
    )

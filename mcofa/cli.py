"""The command line: parse, call, print.

Everything heavy is imported inside the command that needs it. Results go to stdout
(one JSON document with ``--json``), progress and messages to stderr.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mcofa import __version__
from mcofa.errors import McofaError

if TYPE_CHECKING:
    from rich.table import Table

    from mcofa.latency import LatencyEstimate
    from mcofa.run import Run

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_run_argument = click.argument("run_folder", metavar="[RUN]", required=False, type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mcofa")
def cli() -> None:
    """Find a neural network that fits a microcontroller's memory, and turn it into firmware.

    The usual way: search, export, evaluate, arena-check, firmware. A RUN is the folder
    that `mcofa search` made; without it the newest one in runs/ is taken.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 usage."""
    try:
        result = cli.main(arguments, prog_name="mcofa", standalone_mode=False)
    except McofaError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except ModuleNotFoundError as error:
        click.echo(
            f"error: the Python package {error.name} is not installed\n  next: run `make setup`", err=True
        )
        return 1
    return result if isinstance(result, int) else 0


# Boards and search spaces


@cli.group(invoke_without_command=True)
@_json_option
@click.pass_context
def boards(context: click.Context, as_json: bool) -> None:
    """List the boards, or show one: `mcofa boards show NAME`."""
    if context.invoked_subcommand is None:
        from mcofa.boards import board_names, load_board

        found = [load_board(name) for name in board_names()]
        if as_json:
            _print_json(
                [
                    {
                        "name": board.name,
                        "title": board.title,
                        "core": board.core,
                        "arena_budget_bytes": board.arena_budget_bytes,
                        "flash_budget_bytes": board.flash_budget_bytes,
                        "verified": board.verified,
                    }
                    for board in found
                ]
            )
            return
        table = _table("board", "core", "arena budget", "model budget", "verified", "", right=(2, 3))
        for board in found:
            table.add_row(
                board.name,
                board.core,
                _bytes(board.arena_budget_bytes),
                _bytes(board.flash_budget_bytes),
                "yes" if board.verified else "no",
                board.title,
            )
        _print(table)


@boards.command("show")
@click.argument("name")
@_json_option
def boards_show(name: str, as_json: bool) -> None:
    """Show the board NAME (or a board file): memories, reserves, sources."""
    from dataclasses import asdict

    from mcofa.boards import load_board

    board = load_board(name)
    if as_json:
        _print_json(
            {
                **asdict(board),
                "arena_budget_bytes": board.arena_budget_bytes,
                "flash_budget_bytes": board.flash_budget_bytes,
            }
        )
        return
    click.echo(f"{board.name}: {board.title}, {board.core} at {board.clock_hz / 1e6:g} MHz, FPU {board.fpu}")
    table = _table("memory", "kind", "address", "bytes", "holds", right=(3,))
    for region in board.memories:
        table.add_row(
            region.name,
            region.kind,
            f"{region.address:#010x}",
            _bytes(region.bytes),
            ", ".join(region.good_for),
        )
    _print(table)
    click.echo(f"left for a network: arena {_bytes(board.arena_budget_bytes)}", nl=False)
    click.echo(f", model {_bytes(board.flash_budget_bytes)}")
    click.echo(f"verified: {'yes' if board.verified else 'no'}. {board.notes}")
    for source in board.sources:
        commit = f" at {source.commit[:12]}" if source.commit else ""
        click.echo(f"  source: {source.document}{commit}: {source.location}")


@cli.group(invoke_without_command=True)
@_json_option
@click.pass_context
def spaces(context: click.Context, as_json: bool) -> None:
    """List the search spaces, or show one: `mcofa spaces show NAME`."""
    if context.invoked_subcommand is None:
        from mcofa.space import load_space, space_names

        found = [load_space(name) for name in space_names()]
        if as_json:
            _print_json([{"name": s.name, "title": s.title, "archs": s.count()} for s in found])
            return
        table = _table("space", "archs", "", right=(1,))
        for space in found:
            table.add_row(space.name, f"{space.count():,}", space.title)
        _print(table)


@spaces.command("show")
@click.argument("name")
@_json_option
def spaces_show(name: str, as_json: bool) -> None:
    """Show the stage table and the options of the space NAME (or of a space file)."""
    from dataclasses import asdict

    from mcofa.space import load_space
    from mcofa.stage_memory import memory_profile, text_bars

    space = load_space(name)
    profile = memory_profile(space)
    if as_json:
        _print_json({**space.model_dump(), "archs": space.count(), "stage_memory": asdict(profile)})
        return
    click.echo(f"{space.name}: {space.title}; {space.count():,} archs")
    click.echo(
        f"resolutions {_numbers(space.resolutions)}, kernel sizes {_numbers(space.kernel_sizes)}, ", nl=False
    )
    click.echo(f"expand ratios {_numbers(space.expand_ratios)}, depths {_numbers(space.depths)}")
    stem, head = space.stem, space.head
    table = _table("part", "width", "stride", "activation", "squeeze-excite", right=(1, 2))
    table.add_row("stem 3×3", str(stem.width), str(stem.stride), stem.activation, "")
    table.add_row("first block", str(stem.first_block_width), "1", stem.first_block_activation, "")
    for number, stage in enumerate(space.stages, 1):
        squeeze = "yes" if stage.squeeze_excite else ""
        table.add_row(f"stage {number}", str(stage.width), str(stage.stride), stage.activation, squeeze)
    table.add_row("final expand", str(head.final_expand_width), "1", head.activation, "")
    table.add_row("feature mix", str(head.feature_width), "", head.activation, "")
    table.add_row("classifier", str(space.classes), "", "", "")
    _print(table)
    click.echo(f"{profile.measure}; the fullest stage has {profile.levelness:.2f} times the emptiest")
    bars = _table("part", profile.unit, "", right=(1,))
    for row, bar in zip(profile.rows, text_bars(profile), strict=True):
        bars.add_row(row.name, f"{row.total:,}", bar)
    _print(bars)


@spaces.command("draw")
@click.argument("names", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .svg file to write.")
@_json_option
def spaces_draw(names: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Draw the memory of each stage of the spaces NAMES (or space files), to compare them."""
    from mcofa.files import write_atomic
    from mcofa.space import load_space
    from mcofa.stage_memory import as_svg, memory_profile

    profiles = [memory_profile(load_space(name)) for name in names]
    write_atomic(out, as_svg(profiles).encode())
    if as_json:
        _print_json({"svg": str(out)})
        return
    click.echo(str(out))


@cli.command("design-space")
@click.option("--board", "board_name", required=True, help="Name or board file.")
@click.option("--data-shape", required=True, metavar="ROWSxCOLUMNSxCHANNELS", help="Such as 28x28x1.")
@click.option("--classes", required=True, type=click.IntRange(min=2))
@click.option(
    "--resolution",
    "resolutions",
    multiple=True,
    type=click.IntRange(min=1),
    help="Side that the networks read; may be repeated. Default: the images' shorter side.",
)
@click.option("--name", help="Default: mcofa-BOARD-RESOLUTION.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .yaml file to write.")
@_json_option
def design_space(
    board_name: str,
    data_shape: str,
    classes: int,
    resolutions: tuple[int, ...],
    name: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Derive a space whose stages take equal shares of a board's arena, and write it to a file."""
    from mcofa.boards import load_board
    from mcofa.design_space import DataShape, write_space
    from mcofa.design_space import design_space as design

    try:
        data = DataShape.parse(data_shape)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--data-shape") from error
    report = design(load_board(board_name), data, classes, resolutions, name)
    write_space(report, out)
    if as_json:
        _print_json({"file": str(out), **report.to_json()})
        return
    for assumption in report.assumptions:
        click.echo(assumption)
    columns = ("stage", "width", "side", "arena", "head", "tail", "flash", "held by")
    table = _table(*columns, right=(1, 2, 3, 4, 5, 6))
    for number, stage in enumerate(report.stages, 1):
        sizes = (stage.arena_bytes, stage.head_bytes, stage.tail_bytes, stage.flash_bytes)
        table.add_row(str(number), str(stage.width), str(stage.side), *map(_bytes, sizes), stage.limit)
    _print(table)
    for which, found in (("smallest", report.smallest), ("largest", report.largest)):
        click.echo(
            f"{which:8} subnet: arena {_of_budget(found.arena_bytes, report.arena_budget_bytes)}, model "
            f"{_of_budget(found.model_bytes, report.flash_budget_bytes)}, {found.macs / 1e6:.2f} M MACs"
        )
    click.echo(f"{report.fitting_fraction:.0%} of random archs fit {report.board}")
    click.echo(f"written to {out}; next: name it as `space` in a training config, or mcofa spaces show {out}")


# Training, measuring, predicting


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Checkpoint; default runs/train/CONFIG.safetensors."
)
@_json_option
def train(config: Path, out: Path | None, as_json: bool) -> None:
    """Train a supernet as CONFIG says. The same command again resumes an interrupted run."""
    from mcofa.supernet.config import load_config
    from mcofa.supernet.train import Progress
    from mcofa.supernet.train import train as train_supernet

    loaded = load_config(config)
    checkpoint = out or Path("runs/train") / f"{config.stem}.safetensors"
    with _progress("training") as update:

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
        _print_json({"checkpoint": str(checkpoint), **header.model_dump()})
        return
    accuracies = ", ".join(f"{name} {top1:.2f} %" for name, top1 in header.validation_top1_percent.items())
    click.echo(f"{checkpoint}: {header.step} steps, validation top-1: {accuracies}")


@cli.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--count", default=200, show_default=True, type=click.IntRange(min=1), help="Archs to measure.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="CSV; default runs/measure/CHECKPOINT.csv.")
@_json_option
def measure(checkpoint: Path, count: int, seed: int, out: Path | None, as_json: bool) -> None:
    """Measure the validation accuracy of random subnets of CHECKPOINT; resumable."""
    from mcofa.supernet.measure import measure as measure_subnets

    table = out or Path("runs/measure") / f"{checkpoint.stem}.csv"
    with _progress("measuring") as update:
        measured = measure_subnets(checkpoint, count, seed, table, lambda done: update(done, count, ""))
    accuracies = [top1 for _, top1 in measured]
    summary = {
        "csv": str(table),
        "archs": len(measured),
        "lowest_top1_percent": min(accuracies),
        "highest_top1_percent": max(accuracies),
    }
    if as_json:
        _print_json(summary)
        return
    click.echo(f"{table}: {len(measured)} archs, {min(accuracies):.2f} to {max(accuracies):.2f} % top-1")


@cli.command("fit-predictor")
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--space", "space_name", default="mcofa-micro", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .npz file to write.")
@click.option("--note", default="", help="On which checkpoint and data the archs were measured.")
@_json_option
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
        _print_json({"predictor": str(out), **asdict(provenance)})
        return
    click.echo(
        f"{out}: {provenance.measured_archs} archs; cross-validated: "
        f"RMSE {provenance.rmse_points:.2f} points, Kendall tau {provenance.kendall_tau:.2f}"
    )


@cli.command("import-ofa")
@click.argument("published", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--space", "space_name", default="ofa", show_default=True, help="Name or space file.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Checkpoint; default runs/import/FILE.safetensors."
)
@_json_option
def import_ofa(published: Path, space_name: str, out: Path | None, as_json: bool) -> None:
    """Turn published weights of MIT OFA, CompOFA or memory-constant OFA into a checkpoint.

    FILE is a state dict as torch.save wrote it. Every key and shape must fit the space.
    """
    from mcofa.space import load_space
    from mcofa.supernet.import_ofa import import_checkpoint

    checkpoint = out or Path("runs/import") / f"{published.name}.safetensors"
    header = import_checkpoint(published, load_space(space_name), checkpoint)
    if as_json:
        _print_json({"checkpoint": str(checkpoint), **header.model_dump()})
        return
    click.echo(f"{checkpoint}: {header.space.name}, {header.space.padding} padding, from {header.origin}")


# The chain


@cli.command()
@click.option("--space", "space_name", required=True, help="Name or space file.")
@click.option("--arch", "arch_file", type=click.Path(path_type=Path), help="One arch, as JSON.")
@click.option("--archs", "archs_file", type=click.Path(path_type=Path), help="CSV of archs; prints CSV.")
@click.option("--board", "board_name", help="Name or board file; adds arena and flash.")
@click.option("--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: the board's.")
@_json_option
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
        bar = _progress("costs") if board else contextlib.nullcontext(lambda done, total, text: None)
        with bar as update:
            costs = arch_costs(space, genomes, board, lambda done: update(done, len(genomes), ""))
        table = add_costs(rows, costs)
        for name, count in table.differing.items():
            click.echo(f"{name}: recomputed, {count:,} of {len(rows):,} rows differ from the file", err=True)
        if as_json:
            _print_json({"space": space.name, **on_board, "archs": table.rows})
        else:
            click.echo(table.to_csv(), nl=False)
        return
    assert arch_file is not None
    from mcofa.arch import parse_arch

    arch = parse_arch(_read_text(arch_file, "arch"), str(arch_file))
    found = arch_cost(space, arch, board)
    if as_json:
        _print_json(
            {"space": space.name, "arch": arch.to_json(), "arch_text": str(arch), **on_board, **found}
        )
        return
    click.echo(str(arch))
    numbers = _table("cost", "", right=(1,))
    for name in ("peak_items", "macs", "params"):
        numbers.add_row(name, f"{found[name]:,}")
    for name in ("arena_bytes", "model_bytes", "flash_bytes") if board else ():
        numbers.add_row(name, _bytes(found[name]))
    _print(numbers)


@cli.command()
@click.option("--board", "board_name", default="stm32f746", show_default=True, help="Name or board file.")
@click.option("--space", "space_name", default="mcofa-micro", show_default=True, help="Name or space file.")
@click.option("--max-arena-bytes", type=click.IntRange(min=1), help="Stay below the board's own budget.")
@click.option("--max-flash-bytes", type=click.IntRange(min=1), help="Runtime and firmware included.")
@click.option("--max-latency-ms", type=click.FloatRange(min=0, min_open=True), help="Of the estimate.")
@click.option("--predictor", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/BOARD.")
@_json_option
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
    with _progress("searching") as update:

        def report(generation: Generation) -> None:
            best = generation.best_top1_percent
            update(generation.number, generation.of, "" if best is None else f"best {best:.2f} %")

        found = search_space(space, board, budget, loaded, seed, report)
    run = Run(out or DEFAULT_FOLDER / board.name)
    section = found.to_json(space, board, budget, seed)
    run.record("search", section)
    if as_json:
        _print_json({"run": str(run.folder), **section})
        return
    click.echo(f"{found.arch}")
    click.echo(
        f"arena    {_of_budget(found.cost.arena_bytes, budget.arena_bytes)} (predicted minimum, {board.core})"
    )
    click.echo(
        f"flash    {_of_budget(found.cost.flash_bytes, budget.flash_bytes)} (model and runtime, predicted)"
    )
    click.echo(f"MACs     {found.cost.macs / 1e6:.2f} M")
    click.echo(f"latency  {_latency(found.cost.latency)}")
    click.echo(f"accuracy {found.top1_percent:.1f} ± {found.std_points:.1f} % top-1 (predicted)")
    click.echo(f"written to {run.folder}; next: mcofa export {run.folder}")


@cli.command()
@_run_argument
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Default: the one in zoo/.")
@_json_option
def export(run_folder: Path | None, checkpoint: Path | None, as_json: bool) -> None:
    """Turn the run's arch into ONNX, an int8 .tflite and C arrays."""
    run = _run(run_folder)
    space = run.section("search")["space"]
    from export.deploy import export_run
    from mcofa.resources import data_folder

    section = export_run(run, checkpoint or data_folder("zoo") / f"{space}.safetensors")
    if as_json:
        _print_json({"run": str(run.folder), **section})
        return
    for artefact in (section["onnx"], section["tflite"], *section["c_arrays"]):
        click.echo(f"{run.folder / artefact['file']}  {_bytes(artefact['bytes'])}")
    click.echo(f"minimum arena {_bytes(section['arena_bytes'])}; {_plan_words(section['offline_plan'])}")


@cli.command()
@click.argument("subject", metavar="[RUN|CHECKPOINT]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--arch",
    default="largest",
    show_default=True,
    help="Of a CHECKPOINT: largest, smallest, random or a file with the arch as JSON.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="For --arch random.")
@click.option("--data", help="Of a CHECKPOINT: a data set other than the one it was trained on.")
@_json_option
def evaluate(subject: Path | None, arch: str, seed: int, data: str | None, as_json: bool) -> None:
    """Measure accuracy on the test images: of a run's models, or of a subnet of a CHECKPOINT."""
    if subject is not None and (subject.is_file() or subject.suffix == ".safetensors"):
        from mcofa.supernet.evaluate_checkpoint import evaluate_checkpoint

        result = evaluate_checkpoint(subject, arch, seed, data)
        if as_json:
            _print_json(result)
            return
        click.echo(f"{result['arch_text']}: {result['float_top1_percent']:.2f} % top-1 of ", nl=False)
        click.echo(f"{result['test_images']:,} test images (float), {result['macs'] / 1e6:.2f} M MACs")
        return
    run = _run(subject)
    run.section("export")
    from export.evaluate import evaluate_run

    section = evaluate_run(run, lambda what: click.echo(what, err=True))
    if as_json:
        _print_json({"run": str(run.folder), **section})
        return
    table = _table("model", "runtime", "images", "top-1", right=(2, 3))
    for model, runtime, images, key in (
        ("float", "onnxruntime", section["test_images"], "float_top1_percent"),
        ("int8", "LiteRT reference", section["test_images"], "int8_top1_percent"),
        ("int8", "TFLM x86-64", section["tflm_images"], "tflm_top1_percent"),
    ):
        table.add_row(model, runtime, f"{images:,}", f"{section[key]:.2f} %")
    _print(table)
    differing = section["tflm_images_that_differ_from_litert"]
    click.echo(
        f"outputs that differ between LiteRT and TFLM: {differing} of {section['tflm_images']:,} images"
    )


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target", "target_name", default="x86-64", show_default=True, help="x86-64 or a Cortex-M core."
)
@click.option(
    "--kernels", type=click.Choice(["reference", "cmsis-nn"]), help="Default: what fits the target."
)
@click.option("--measure", "measured", is_flag=True, help="Also let TFLM measure it (x86-64).")
@click.option("--svg", type=click.Path(path_type=Path), help="Also draw the memory over time into this file.")
@_json_option
def arena(
    model: Path, target_name: str, kernels: str | None, measured: bool, svg: Path | None, as_json: bool
) -> None:
    """Predict the tensor arena that TFLM needs for the .tflite file MODEL, and show it over time."""
    from export.parse_tflite import parse_tflite
    from mcofa.tflm import target
    from mcofa.timeline import as_svg, as_text, timeline

    on_host = target_name == "x86-64"
    if measured and not on_host:
        raise click.UsageError("--measure works on x86-64 only")
    data = _read(model)
    on = target(target_name, kernels or ("reference" if on_host else "cmsis-nn"))
    shown = timeline(parse_tflite(data, str(model)), on)
    predicted = shown.arena
    result: dict[str, Any] = {
        "model": str(model),
        "target": target_name,
        "kernels": str(predicted.target.kernels),
        "head_bytes": predicted.head_bytes,
        "tail_bytes": predicted.tail_bytes,
        "recording_tail_bytes": predicted.recording_tail_bytes,
        "arena_used_bytes": predicted.arena_used_bytes,
        "minimum_bytes": predicted.minimum_bytes,
        "minimum_cause": predicted.minimum_cause and str(predicted.minimum_cause),
        "breakdown": predicted.breakdown,
    }
    if measured:
        from dataclasses import asdict

        from export.arena import measure as measure_arena

        result["measured"] = asdict(measure_arena(data, str(model)))
    if svg is not None:
        from mcofa.files import write_atomic

        write_atomic(svg, as_svg(shown).encode())
    if as_json:
        _print_json(result)
        return
    click.echo(as_text(shown, _terminal_width()))
    for part, size_bytes in result.get("measured", {}).items():
        click.echo(f"measured {part}: {_bytes(size_bytes)}")


@cli.command("arena-check")
@click.argument("subject", metavar="[RUN|MODEL.tflite]", required=False, type=click.Path(path_type=Path))
@click.option("--board", "board_name", required=True, help="Name or board file.")
@_json_option
def arena_check(subject: Path | None, board_name: str, as_json: bool) -> None:
    """CI gate: fail when predicted and measured arena differ or the board's budget is exceeded."""
    from mcofa.boards import load_board

    board = load_board(board_name)
    run = None
    if subject is not None and subject.suffix == ".tflite":
        data, name = _read(subject), str(subject)
    else:
        run = _run(subject)
        data, name = run.read(run.section("export")["tflite"]), str(run.folder)
    from export.arena_check import check_arena, enforce

    check = check_arena(data, board, name)
    if run is not None:
        run.record("arena_check", check.to_json())
    if as_json:
        _print_json(check.to_json())
    else:
        _print(_arena_check_table(check.to_json()))
    enforce(check)
    if not as_json:
        click.echo("passed: predicted equals measured, and the budgets are kept")


@cli.command()
@_run_argument
@click.option("--board", "board_name", required=True, help="Name or board file.")
@_json_option
def firmware(run_folder: Path | None, board_name: str, as_json: bool) -> None:
    """Write a firmware project with the run's network for the board."""
    from mcofa.boards import load_board

    board = load_board(board_name)
    run = _run(run_folder)
    exported = run.section("export")
    tflite = run.read(exported["tflite"])
    from export.arena_check import check_arena, enforce
    from export.deploy import deployed_model
    from export.firmware import render_firmware

    enforce(check_arena(tflite, board, str(run.folder)))
    model = deployed_model(exported, tflite, board)
    folder = run.folder / "firmware" / board.name
    files = [str(path.relative_to(folder.absolute())) for path in render_firmware(board, model, folder)]
    section = {"board": board.name, "folder": str(folder), "arena_bytes": model.arena_bytes, "files": files}
    run.record("firmware", section)
    if as_json:
        _print_json({"run": str(run.folder), **section})
        return
    click.echo(f"{folder}: {len(files)} files for {board.title}, arena {_bytes(model.arena_bytes)}")
    click.echo(f"next: read {folder / 'README.md'}; building needs TFLM (TFLM_DIR)")


@cli.command()
@_run_argument
@_json_option
def report(run_folder: Path | None, as_json: bool) -> None:
    """Show what the run found, predicted and measured, in one table."""
    run = _run(run_folder)
    manifest = run.manifest
    if as_json:
        _print_json({"run": str(run.folder), **manifest})
        return
    from mcofa.report import report_rows

    table = _table(str(run.folder), "")
    for what, value in report_rows(run.folder, manifest):
        table.add_row(what, value)
    _print(table)


# Helpers


def _run(folder: Path | None) -> Run:
    from mcofa.run import Run, newest_run

    if folder is not None:
        return Run(folder)
    run = newest_run()
    click.echo(f"using the newest run, {run.folder}", err=True)
    return run


def _read(path: Path) -> bytes:
    from mcofa.errors import FileFormatError, MissingFileError

    if not path.is_file():
        raise MissingFileError(path, "model", "name a .tflite file, or make one with `mcofa export`")
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileFormatError(
            path, f"cannot be read: {error.strerror}", "check the file's permissions"
        ) from error


def _read_text(path: Path, what: str) -> str:
    from mcofa.errors import FileFormatError, MissingFileError

    if not path.is_file():
        raise MissingFileError(path, what, "write one as JSON: resolution, kernel_sizes, expand_ratios")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileFormatError(
            path, f"cannot be read: {error.strerror}", "check the file's permissions"
        ) from error


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar on stderr; call what is yielded with (done, total, text) to move it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(TextColumn(title), *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


def _table(*columns: str, right: Sequence[int] = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index in right else "left"
        table.add_column(column, justify=justify, no_wrap=index < len(columns) - 1)
    return table


def _arena_check_table(check: dict[str, Any]) -> Table:
    table = _table("", "predicted", "measured", "budget", right=(1, 2, 3))
    for part in ("head", "tail"):
        table.add_row(
            f"x86-64 {part}",
            _bytes(check[f"x86_64_predicted_{part}_bytes"]),
            _bytes(check[f"x86_64_measured_{part}_bytes"]),
            "",
        )
    target = f"{check['core']}, {check['kernels']}"
    budget = _bytes(check["arena_budget_bytes"])
    table.add_row(f"{check['board']} minimum arena ({target})", _bytes(check["arena_bytes"]), "", budget)
    flash = _bytes(check["flash_budget_bytes"])
    table.add_row(f"{check['board']} flash (model and runtime)", _bytes(check["flash_bytes"]), "", flash)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console(file=sys.stdout, width=_terminal_width()).print(table)


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 140


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2))


def _bytes(count: int) -> str:
    return f"{count:,} B"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _plan_words(plan: dict[str, Any]) -> str:
    if plan["used"]:
        saved, growth = _bytes(plan["saved_bytes"]), _bytes(plan["growth_bytes"])
        return f"the file carries a memory plan that saves {saved} of arena and takes {growth} of flash"
    return "TFLM's own memory plan is kept, as none that fits the flash saves arena"


def _latency(found: LatencyEstimate) -> str:
    error = f"± {100 * found.relative_error:.0f} % in instructions, at one a cycle"
    return f"{found.latency_ms:.1f} ms (estimate, {error})"


def _of_budget(used_bytes: int, budget_bytes: int) -> str:
    return f"{used_bytes:,} of {budget_bytes:,} B"

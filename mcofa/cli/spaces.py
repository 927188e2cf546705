"""`mcofa spaces` and `mcofa design-space`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcofa.cli.finite import FiniteRange
from mcofa.cli.options import json_option
from mcofa.cli.output import in_bytes, numbers, of_budget, print_json, print_table, table_of
from mcofa.cli.run_engine import check_can_stream, stream_option
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES

if TYPE_CHECKING:
    from mcofa.cost.stages import MemoryProfile
    from mcofa.space.search_space import SearchSpace


def _stage_memory_options(body: Callable[..., None]) -> Callable[..., None]:
    """Take the options for whose memory of stages is shown, and hand over what measures a space's."""

    @click.option("--board", "board_name", help="Name or board file: the arena on it.  [default: Cortex-M7]")
    @click.option(
        "--engine",
        type=click.Choice(list(ENGINES)),
        help=f"The arena with this engine.  [default: {DEFAULT_ENGINE}; peak items for the paper's spaces]",
    )
    @stream_option
    @functools.wraps(body)
    def command(board_name: str | None, engine: str | None, streams_input: bool, **words: object) -> None:
        check_can_stream(engine or DEFAULT_ENGINE, streams_input)
        from mcofa.boards import load_board
        from mcofa.cost.stages import memory_profile

        board = None if board_name is None else load_board(board_name)

        def measured(space: SearchSpace) -> MemoryProfile:
            return memory_profile(space, board, engine, streams_input)

        body(measured=measured, **words)

    return command


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def spaces(context: click.Context, as_json: bool) -> None:
    """List the search spaces, or show one: `mcofa spaces show NAME`."""
    if context.invoked_subcommand is None:
        from mcofa.space.search_space import load_space, space_names

        found = [load_space(name) for name in space_names()]
        if as_json:
            print_json([{"name": s.name, "title": s.title, "archs": s.count()} for s in found])
            return
        table = table_of("space", "archs", "", right=(1,))
        for space in found:
            table.add_row(space.name, f"{space.count():,}", space.title)
        print_table(table)


@spaces.command("show")
@click.argument("name")
@_stage_memory_options
@json_option
def spaces_show(name: str, measured: Callable[[SearchSpace], MemoryProfile], as_json: bool) -> None:
    """Show stage table, options and memory of each stage of the space NAME (or of a space file)."""
    from dataclasses import asdict

    from mcofa.draw.stages import text_bars
    from mcofa.space.resolution import resolution_text
    from mcofa.space.search_space import load_space
    from mcofa.space.topology import FIRST_BLOCK

    space = load_space(name)
    profile = measured(space)
    if as_json:
        print_json({**space.model_dump(), "archs": space.count(), "stage_memory": asdict(profile)})
        return
    click.echo(f"{space.name}: {space.title}; {space.count():,} archs")
    click.echo(
        f"resolutions {', '.join(map(resolution_text, space.resolutions))}, "
        f"kernel sizes {numbers(space.kernel_sizes)}, ",
        nl=False,
    )
    click.echo(f"expand ratios {numbers(space.expand_ratios)}, depths {numbers(space.depths)}")
    stem, head = space.stem, space.head
    table = table_of("part", "block", "width", "stride", "activation", "squeeze-excite", right=(2, 3))
    table.add_row("stem 3×3", "", str(stem.width), str(stem.stride), stem.activation, "")
    if stem.first_block_width is not None:
        table.add_row(
            "first block",
            FIRST_BLOCK,
            str(stem.first_block_width),
            "1",
            stem.first_block_activation,
            "",
        )
    for number, stage in enumerate(space.stages, 1):
        squeeze = "yes" if stage.squeeze_excite else ""
        widths = (str(stage.width), str(stage.stride), stage.activation, squeeze)
        table.add_row(f"stage {number}", stage.block, *widths)
    if head.final_expand_width is not None:
        table.add_row("final expand", "", str(head.final_expand_width), "1", head.activation, "")
    if head.feature_width is not None:
        table.add_row("feature mix", "", str(head.feature_width), "", head.activation, "")
    table.add_row("classifier", "", str(space.classes), "", "", "")
    print_table(table)
    click.echo(f"{profile.measure}; the fullest stage has {profile.levelness:.2f} times the emptiest")
    bars = table_of("part", profile.unit, "", right=(1,))
    for row, bar in zip(profile.rows, text_bars(profile), strict=True):
        bars.add_row(row.name, f"{row.total:,}", bar)
    print_table(bars)


@spaces.command("draw")
@click.argument("names", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .svg file to write.")
@_stage_memory_options
@json_option
def spaces_draw(
    names: tuple[str, ...], out: Path, measured: Callable[[SearchSpace], MemoryProfile], as_json: bool
) -> None:
    """Draw the memory of each stage of the spaces NAMES (or space files), to compare them."""
    from mcofa.draw.stages import stages_svg
    from mcofa.files.atomic import write_atomic
    from mcofa.space.search_space import load_space

    profiles = [measured(load_space(name)) for name in names]
    write_atomic(out, stages_svg(profiles).encode())
    if as_json:
        print_json({"svg": str(out)})
        return
    click.echo(str(out))


@click.command("design-space")
@click.option("--board", "board_name", required=True, help="Name or board file.")
@click.option("--data-shape", required=True, metavar="ROWSxCOLUMNSxCHANNELS", help="Such as 28x28x1.")
@click.option("--classes", required=True, type=click.IntRange(min=2))
@click.option(
    "--resolution",
    "resolutions",
    multiple=True,
    metavar="SIDE|HEIGHTxWIDTH",
    help="Images that the networks read; may be repeated. Default: squares of the images' shorter side.",
)
@click.option("--engine", type=click.Choice(list(ENGINES)), default=DEFAULT_ENGINE, show_default=True)
@stream_option
@click.option(
    "--max-latency-ms",
    type=FiniteRange(min=0, min_open=True),
    help="Of the estimate: as large as the subnets are that a search may choose.",
)
@click.option("--name", help="Default: mcofa-BOARD-RESOLUTION, with -ENGINE behind BOARD for generated C.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .yaml file to write.")
@json_option
def design_space(
    board_name: str,
    data_shape: str,
    classes: int,
    resolutions: tuple[str, ...],
    engine: str,
    streams_input: bool,
    max_latency_ms: float | None,
    name: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Derive a space whose stages take equal shares of a board's arena, and write it to a file.

    What a stage takes is counted under the engine; where flash or latency keeps stages narrower than the
    arena would, that is said.
    """
    check_can_stream(engine, streams_input)
    from mcofa.boards import load_board
    from mcofa.design.designer import design_space as design
    from mcofa.design.skeleton import DataShape
    from mcofa.design.space_file import write_space
    from mcofa.space.resolution import parse_resolution, resolution_text

    try:
        data = DataShape.parse(data_shape)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--data-shape") from error
    try:
        sizes = [parse_resolution(resolution) for resolution in resolutions]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--resolution") from error
    report = design(load_board(board_name), data, classes, sizes, name, engine, streams_input, max_latency_ms)
    write_space(report, out)
    if as_json:
        print_json({"file": str(out), **report.to_json()})
        return
    for assumption in report.assumptions:
        click.echo(assumption)
    has_tail = any(stage.tail_bytes for stage in report.stages)
    memory = ("arena", *(("head", "tail") if has_tail else ()), "flash")
    table = table_of("stage", "width", "side", *memory, "held by", right=tuple(range(1, 3 + len(memory))))
    for number, stage in enumerate(report.stages, 1):
        taken = [getattr(stage, f"{name}_bytes") for name in memory]
        shape = (str(stage.width), resolution_text(stage.side))
        table.add_row(str(number), *shape, *map(in_bytes, taken), stage.limit)
    print_table(table)
    for which, found in (("smallest", report.smallest), ("largest", report.largest)):
        click.echo(
            f"{which:8} subnet: arena {of_budget(found.arena_bytes, report.arena_budget_bytes)}, "
            f"{report.conditions.network} "
            f"{of_budget(found.needs.flash.data_bytes, report.model_budget_bytes)}, "
            f"{found.macs / 1e6:.2f} M MACs, {found.latency_ms:,.1f} ms (estimate)"
        )
    for limit in report.limits:
        click.echo(limit)
    click.echo(f"{report.fitting_fraction:.0%} of random archs fit {report.conditions.board.name}")
    how = f"--board {board_name} --engine {engine}" + " --stream-input" * streams_input
    click.echo(
        f"written to {out}; next: name it as `space` in a training config, or mcofa spaces show {out} {how}"
    )

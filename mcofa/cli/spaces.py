"""`mcofa spaces` and `mcofa design-space`."""

from __future__ import annotations

from pathlib import Path

import click

from mcofa.cli.options import json_option
from mcofa.cli.output import in_bytes, numbers, of_budget, print_json, print_table, table_of


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
@json_option
def spaces_show(name: str, as_json: bool) -> None:
    """Show the stage table and the options of the space NAME (or of a space file)."""
    from dataclasses import asdict

    from mcofa.cost.stages import memory_profile
    from mcofa.draw.stages import text_bars
    from mcofa.space.resolution import resolution_text
    from mcofa.space.search_space import load_space
    from mcofa.space.topology import FIRST_BLOCK

    space = load_space(name)
    profile = memory_profile(space)
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
@json_option
def spaces_draw(names: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Draw the memory of each stage of the spaces NAMES (or space files), to compare them."""
    from mcofa.cost.stages import memory_profile
    from mcofa.draw.stages import stages_svg
    from mcofa.files.atomic import write_atomic
    from mcofa.space.search_space import load_space

    profiles = [memory_profile(load_space(name)) for name in names]
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
@click.option("--name", help="Default: mcofa-BOARD-RESOLUTION.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .yaml file to write.")
@json_option
def design_space(
    board_name: str,
    data_shape: str,
    classes: int,
    resolutions: tuple[str, ...],
    name: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Derive a space whose stages take equal shares of a board's arena, and write it to a file."""
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
    report = design(load_board(board_name), data, classes, sizes, name)
    write_space(report, out)
    if as_json:
        print_json({"file": str(out), **report.to_json()})
        return
    for assumption in report.assumptions:
        click.echo(assumption)
    columns = ("stage", "width", "side", "arena", "head", "tail", "flash", "held by")
    table = table_of(*columns, right=(1, 2, 3, 4, 5, 6))
    for number, stage in enumerate(report.stages, 1):
        taken = (stage.arena_bytes, stage.head_bytes, stage.tail_bytes, stage.flash_bytes)
        shape = (str(stage.width), resolution_text(stage.side))
        table.add_row(str(number), *shape, *map(in_bytes, taken), stage.limit)
    print_table(table)
    for which, found in (("smallest", report.smallest), ("largest", report.largest)):
        click.echo(
            f"{which:8} subnet: arena {of_budget(found.arena_bytes, report.arena_budget_bytes)}, model "
            f"{of_budget(found.model_bytes, report.model_budget_bytes)}, {found.macs / 1e6:.2f} M MACs"
        )
    click.echo(f"{report.fitting_fraction:.0%} of random archs fit {report.board}")
    click.echo(f"written to {out}; next: name it as `space` in a training config, or mcofa spaces show {out}")

"""`mcofa boards`."""

from __future__ import annotations

import click

from mcofa.cli.options import json_option
from mcofa.cli.output import in_bytes, print_json, print_table, table_of


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def boards(context: click.Context, as_json: bool) -> None:
    """List the boards, or show one: `mcofa boards show NAME`."""
    if context.invoked_subcommand is None:
        from mcofa.boards import board_names, load_board

        found = [load_board(name) for name in board_names()]
        if as_json:
            print_json(
                [
                    {
                        "name": board.name,
                        "title": board.title,
                        "core": board.core,
                        "extension": board.extension,
                        "emulated": board.emulate is not None,
                        "arena_budget_bytes": board.arena_budget_bytes,
                        "flash_budget_bytes": board.flash_budget_bytes,
                        "verified": board.verified,
                    }
                    for board in found
                ]
            )
            return
        table = table_of("board", "core", "arena budget", "flash budget", "verified", "", right=(2, 3))
        for board in found:
            table.add_row(
                board.name,
                board.core,
                in_bytes(board.arena_budget_bytes),
                in_bytes(board.flash_budget_bytes),
                "yes" if board.verified else "no",
                board.title,
            )
        print_table(table)


@boards.command("show")
@click.argument("name")
@json_option
def boards_show(name: str, as_json: bool) -> None:
    """Show the board NAME (or a board file): memories, reserves, sources."""
    from dataclasses import asdict

    from mcofa.boards import load_board

    board = load_board(name)
    if as_json:
        print_json(
            {
                **asdict(board),
                "arena_budget_bytes": board.arena_budget_bytes,
                "flash_budget_bytes": board.flash_budget_bytes,
            }
        )
        return
    core = f"{board.core} at {board.clock_hz / 1e6:g} MHz, FPU {board.fpu}, extension {board.extension}"
    click.echo(f"{board.name}: {board.title}, {core}")
    table = table_of("memory", "kind", "address", "bytes", "holds", right=(3,))
    for region in board.memories:
        table.add_row(
            region.name,
            region.kind,
            f"{region.address:#010x}",
            in_bytes(region.bytes),
            ", ".join(region.good_for),
        )
    print_table(table)
    click.echo(f"left for a network: arena {in_bytes(board.arena_budget_bytes)}", nl=False)
    click.echo(f", flash {in_bytes(board.flash_budget_bytes)} for model, runtime and firmware")
    if board.uart:
        click.echo(
            f"text: {board.uart.name}, {board.uart.tx_pin}{'' if board.start else ' (a stub to fill in)'}"
        )
    ways = [board.flash.command[0]] if board.flash else []
    ways += [f"QEMU machine {board.emulate.machine}"] if board.emulate else []
    click.echo(f"runs by: {', '.join(ways)}")
    if board.core_facts.not_measured:
        click.echo(f"not measured on {board.core}: {board.core_facts.not_measured}")
    click.echo(f"verified: {'yes' if board.verified else 'no'}. {board.notes}")
    for source in board.sources:
        commit = f" at {source.commit[:12]}" if source.commit else ""
        click.echo(f"  source: {source.document}{commit}: {source.location}")

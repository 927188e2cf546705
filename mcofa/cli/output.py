"""How commands read files, and print: progress, tables, numbers."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from rich.table import Table


def read_bytes(path: Path) -> bytes:
    """Read a model file."""
    from mcofa.files.read import read_file

    return read_file(path, "model", "name a .tflite file, or make one with `mcofa export`")


def read_text(path: Path, what: str) -> str:
    """Read a text file; ``what`` names it in errors."""
    from mcofa.files.read import read_file

    step = "write one as JSON: resolution, kernel_sizes, expand_ratios"
    return read_file(path, what, step).decode("utf-8", "replace")


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar on stderr; call what is yielded with (done, total, text) to move it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    before = TextColumn("{task.fields[title]}", markup=False)
    after = TextColumn("{task.description}", markup=False)
    columns = (before, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), after)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, title=title)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


def table_of(*columns: str, right: Sequence[int] = ()) -> Table:
    """Return an empty table; the columns in ``right`` are aligned right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index in right else "left"
        table.add_column(column, justify=justify, no_wrap=index < len(columns) - 1)
    return table


def print_table(table: Table) -> None:
    """Print a table to stdout; brackets and colons in its cells are text, not rich's markup."""
    from rich.console import Console

    Console(file=sys.stdout, width=terminal_width(), markup=False, emoji=False, highlight=False).print(table)


def terminal_width() -> int:
    """Return the columns of the terminal; 140 when stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 140


def print_json(document: object) -> None:
    """Print one JSON document to stdout."""
    click.echo(json.dumps(document, indent=2))


def in_bytes(count: int) -> str:
    """Write a count of bytes."""
    return f"{count:,} B"


def numbers(values: Sequence[float]) -> str:
    """Write numbers with slashes between them."""
    return "/".join(f"{value:g}" for value in values)


def of_budget(used_bytes: int, budget_bytes: int) -> str:
    """Write how much of a budget is used."""
    return f"{used_bytes:,} of {budget_bytes:,} B"

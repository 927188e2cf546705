"""How the answers of `mcofa search` are printed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcofa.accuracy.predictor import OUTSIDE, after_finetuning
from mcofa.cli.output import in_bytes, of_budget, print_table, table_of
from mcofa.cost.measures import MEASURES

if TYPE_CHECKING:
    from mcofa.search import Recorded

_STOPPED = "; stopped by the time limit"
_OUTSIDE_MARK = "*"
_OUTSIDE_NOTE = f"{_OUTSIDE_MARK} {OUTSIDE}"


def print_answer(recorded: Recorded, boards_too_small: list[str] | None = None) -> None:
    """Print one search: the arch, what it costs, how accurate it should be, and how it was found.

    ``boards_too_small`` are those that were tried first when the smallest board was asked for.
    """
    folder, section = recorded.folder, recorded.section
    if boards_too_small is not None:
        tried = ", ".join(boards_too_small) or "none"
        click.echo(f"{section['board']} is the smallest board; too small: {tried}")
    predicted, budget = section["predicted"], section["budget"]
    if "pareto" in section:
        _print_front(folder, section["pareto"])
    if "verified" in section:
        _print_verified(section["verified"])
    click.echo(_arch_text(section))
    if section["board"]:
        arena = of_budget(predicted["arena_bytes"], budget["arena_bytes"])
        click.echo(f"arena    {arena} (predicted minimum, {section['core']}{_image_words(section)})")
        flash = of_budget(predicted["flash_bytes"], budget["flash_bytes"])
        click.echo(f"flash    {flash} (model and runtime, predicted)")
    if budget["model_bytes"]:
        click.echo(f"model    {of_budget(predicted['model_bytes'], budget['model_bytes'])} (.tflite file)")
    if budget["peak_items"]:
        click.echo(f"peak     {predicted['peak_items']:,} of {budget['peak_items']:,} items")
    click.echo(f"MACs     {predicted['macs'] / 1e6:.2f} M")
    if section["board"]:
        error = f"± {100 * predicted['latency_relative_error']:.0f} % in instructions, at one a cycle"
        click.echo(f"latency  {predicted['latency_ms_estimate']:.1f} ms (estimate, {error})")
    click.echo(f"accuracy {_accuracy_words(section)}")
    click.echo(f"search   {_search_words(section, recorded.seconds)}")
    epochs = section["predictor_finetune_epochs"]
    command = f"finetune {folder} --epochs {epochs}" if epochs else f"export {folder}"
    next_step = f"; next: mcofa {command}" if section["board"] else ""
    click.echo(f"written to {folder}{next_step}")


def _image_words(section: dict[str, Any]) -> str:
    """Say how the image arrives where there is a choice, and what the arena would be otherwise."""
    others = [one for one in section["arenas"] if one["streams_input"] != section["streams_input"]]
    if not others:
        return ""
    ways = ("in the arena", "row by row")
    way, other_way = ways if not section["streams_input"] else ways[::-1]
    (other,) = others
    amount = other["why_not"] or in_bytes(other["arena_bytes"])
    return f", image {way}; {other_way}: {amount}"


def print_fleet(rows: list[dict[str, Any]]) -> None:
    """Print one row a board; what is missing where nothing fits."""
    table = table_of("board", "arena", "flash", "top-1 predicted", "arch", right=(1, 2, 3))
    for row in rows:
        if "problem" in row:
            table.add_row(row["board"], "–", "–", "–", row["problem"])
            continue
        predicted, budget = row["predicted"], row["budget"]
        table.add_row(
            row["board"],
            of_budget(predicted["arena_bytes"], budget["arena_bytes"]),
            of_budget(predicted["flash_bytes"], budget["flash_bytes"]),
            _top1_text(predicted),
            _arch_text(row),
        )
    print_table(table)
    found = [row for row in rows if "predicted" in row]
    _explain_mark(row["predicted"] for row in found)
    if epochs := max(row["predictor_finetune_epochs"] for row in found):
        click.echo(f"top-1 predicted{after_finetuning(epochs)}; next: mcofa finetune RUN --epochs {epochs}")
    stopped = [row["board"] for row in rows if row.get("stopped_early")]
    if stopped:
        click.echo(f"stopped by the time limit: {', '.join(stopped)}")


def _top1_text(predicted: dict[str, Any]) -> str:
    """Write a predicted accuracy for a table, marked where nothing of the kind was measured."""
    mark = _OUTSIDE_MARK if predicted["outside_measured_range"] else ""
    return f"{predicted['top1_percent']:.2f} ± {predicted['top1_std_points']:.2f} %{mark}"


def _explain_mark(points: Iterable[dict[str, Any]]) -> None:
    if any(point["outside_measured_range"] for point in points):
        click.echo(_OUTSIDE_NOTE)


def _arch_text(section: dict[str, Any]) -> str:
    from mcofa.space.arch import arch_from_json

    return str(arch_from_json(section["arch"], "search"))


def _accuracy_words(section: dict[str, Any]) -> str:
    predicted = section["predicted"]
    words = f"{predicted['top1_percent']:.1f} ± {predicted['top1_std_points']:.1f} % top-1 (predicted"
    words += f"{after_finetuning(section['predictor_finetune_epochs'])}, "
    words += f"{OUTSIDE if predicted['outside_measured_range'] else 'within what was measured'})"
    if "verified" in section:
        best = section["verified"]["candidates"][0]
        by = section["verified"]["ranked_by"]
        images = section["verified"]["images"]
        words += (
            f"; {best[f'{by}_top1_percent']:.2f} ± {best['standard_error_points']:.2f} % "
            f"measured ({by}, {images:,} validation images)"
        )
    return words


def _search_words(section: dict[str, Any], seconds: float) -> str:
    words = f"{section['candidates']:,} candidates in {seconds:.2f} s"
    if section["exhaustive"]:
        return f"{words}: all that can be better within the budget, and none is predicted to be"
    verified = section.get("verified", {"exhaustive": False})
    if verified["exhaustive"]:
        count = len(verified["candidates"])
        return f"{words}: no arch within the budget is predicted to be better than the {count} measured"
    return words + (_STOPPED if section["stopped_early"] else "")


def _print_front(folder: Path, front: dict[str, Any]) -> None:
    shown = [measure for name, measure in MEASURES.items() if name in front["measures"]]
    names = [measure.key for measure in shown]
    table = table_of(*(measure.column for measure in shown), "arch", right=range(len(names)))
    for point in front["table"]:
        cells = (_top1_text(point) if name == "top1_percent" else f"{point[name]:,}" for name in names)
        table.add_row(*cells, point["arch_text"])
    print_table(table)
    if "top1_percent" in names:
        _explain_mark(front["table"])
    reference = ", ".join(f"{name} {value:,.6g}" for name, value in front["reference"].items())
    click.echo(
        f"{len(front['table'])} of {front['points']:,} points; hypervolume {front['hypervolume']:.6g} "
        f"up to {reference}; all in {folder / front['csv']['file']} and {folder / front['svg']['file']}"
        f"{_STOPPED if front['stopped_early'] else ''}"
    )


def _print_verified(verified: dict[str, Any]) -> None:
    by_int8 = verified["ranked_by"] == "int8"
    names = ("predicted", "float", *(["int8"] if by_int8 else []))
    table = table_of("", *names, "arch", right=range(len(names) + 1))
    for rank, one in enumerate(verified["candidates"], 1):
        values = (one[f"{name}_top1_percent"] for name in names)
        table.add_row(str(rank), *(f"{value:.2f} %" for value in values), one["arch_text"])
    print_table(table)

"""The zoo's table as a page and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

from accuracy_chart import Line, Note, accuracy_chart
from zoo_rows import (
    ENGINE_LIMITS,
    LIMITS,
    MORE_LIMITS,
    Limit,
    Pick,
    Refusal,
    Row,
    Rows,
    Settings,
    Supernet,
)

from mcofa.accuracy.predictor import after_finetuning

TITLES = {"ofa-micro": "MIT OFA", "compofa-micro": "CompOFA", "mcofa-micro": "MC-OFA"}


def figure(rows: Rows) -> str:
    """Draw int8 test accuracy by arena budget; each point with one standard error."""
    lines = []
    for number, (name, of_space) in enumerate(rows.items()):
        points, errors = _points(of_space, LIMITS, 0.006 * (number - 1))
        lines.append(Line(TITLES[name], points, errors))
    return _chart(
        "Top-1 on the test images, %, int8 (± one standard error)",
        f"limit on the arena, KB (model file at most {LIMITS[0].model_kb} KB)",
        LIMITS,
        lines,
    )


def engine_figure(rows: Rows) -> str:
    """Draw int8 test accuracy by arena budget and engine; each point with one standard error."""
    lines = []
    for engine, limits in ENGINE_LIMITS.items():
        for number, (name, of_space) in enumerate(rows.items()):
            points, errors = _points(of_space, limits, 0.006 * (number - 1))
            lines.append(Line(TITLES[name], points, errors, hollow=engine == "tflm"))
    limits = ENGINE_LIMITS["tflm"]
    empty = [limit for limit in limits if all(isinstance(row.get(limit), Refusal) for row in rows.values())]
    notes = []
    if empty:
        words = f"TFLM: nothing fits {' and '.join(str(limit.arena_kb) for limit in empty)} KB"
        lowest = min((top1 for line in lines for _, top1 in line.points), default=0)
        notes.append(Note(words, _place(empty[0], limits), lowest))
    return _chart(
        "Top-1 on the test images, %, int8 (± one standard error). Filled: generated C (aot), rings: TFLM",
        f"limit on the arena, KB (program at most {limits[0].flash_kb} KB of flash)",
        limits,
        lines,
        notes,
    )


def _points(
    of_space: Mapping[Limit, Row], limits: Sequence[Limit], aside: float
) -> tuple[list[tuple[float, float]], list[float]]:
    """Where the picks of a space lie, drawn ``aside`` of their budgets, and their standard errors."""
    picks = [(limit, row) for limit in limits if isinstance(row := of_space.get(limit), Pick)]
    points = [(_place(limit, limits) + aside, pick.int8_top1_percent) for limit, pick in picks]
    return points, [pick.standard_error_points for _, pick in picks]


def _chart(
    title: str, x_title: str, limits: Sequence[Limit], lines: Sequence[Line], notes: Sequence[Note] = ()
) -> str:
    ends = [
        top1 + sign * error
        for line in lines
        for (_, top1), error in zip(line.points, line.std_points, strict=True)
        for sign in (-1, 1)
    ]
    return accuracy_chart(
        title,
        x_title,
        [(_place(limit, limits), str(limit.arena_kb)) for limit in limits],
        (math.floor(min(ends, default=0)), math.ceil(max(ends, default=100))),
        [line for line in lines if line.points],
        notes,
    )


def _place(limit: Limit, limits: Sequence[Limit]) -> float:
    """Budgets twice as large are equally far apart."""
    octaves = math.log2(limits[-1].arena_kb / limits[0].arena_kb)
    return 0.05 + 0.9 * math.log2(limit.arena_kb / limits[0].arena_kb) / octaves


def markdown(rows: Rows, supernets: Mapping[str, Supernet], settings: Settings) -> str:
    """Return the page."""
    picks = {
        engine: [
            row
            for of_space in rows.values()
            for limit, row in of_space.items()
            if isinstance(row, Pick) and limit.engine == engine
        ]
        for engine in ENGINE_LIMITS
    }
    lines = [
        "# Three supernets within the memory of a microcontroller",
        "",
        "Written by `make zoo-table`; do not edit. Each cell: int8 top-1 on the test images of "
        f"{settings.data}, in percent / minimum arena in bytes ({settings.target}) / millions of "
        "MACs. The most accurate of a row is bold. 1 KB is 1,024 B.",
        "",
        "![Measured int8 accuracy against the limit on the arena](zoo-table.svg)",
        "",
        f"| arena / model | {' | '.join(f'{TITLES[name]} (`{name}`)' for name in rows)} |",
        f"|---:{'|---:' * len(rows)}|",
    ]
    lines += [f"| {limit} | {' | '.join(_cells(rows, limit))} |" for limit in LIMITS + MORE_LIMITS]
    lines += ["", *_engine_table(rows)]
    lines += ["", "## What the numbers are", "", *_notes(picks, settings), "", "## The supernets", ""]
    lines += _supernet_table(supernets)
    lines += ["", "## Again", "", *_commands(settings)]
    return "\n".join(lines) + "\n"


def _engine_table(rows: Rows) -> list[str]:
    flash_kb = {limit.flash_kb for limits in ENGINE_LIMITS.values() for limit in limits}
    columns = [f"{TITLES[name]}, {engine}" for name in rows for engine in ENGINE_LIMITS]
    lines = [
        "## What the engine is worth",
        "",
        "The same supernets and the same way of choosing, within smaller arenas, with TFLM (`tflm`) and with "
        "generated C that runs row by row (`aot`, the image in the arena). The whole program may take "
        f"{' and '.join(map(str, sorted(flash_kb)))} KB of flash with either. The same three figures in each "
        "cell, the arena as the engine needs it.",
        "",
        "![Measured int8 accuracy against the limit on the arena, for both engines](zoo-engines.svg)",
        "",
        f"| arena | {' | '.join(columns)} |",
        f"|---:{'|---:' * len(columns)}|",
    ]
    for limits in zip(*ENGINE_LIMITS.values(), strict=True):
        found = [of_space.get(limit) for of_space in rows.values() for limit in limits]
        lines.append(f"| {limits[0].arena_kb} KB | {' | '.join(_marked(found))} |")
    return lines


def _cells(rows: Rows, limit: Limit) -> list[str]:
    return _marked([of_space.get(limit) for of_space in rows.values()])


def _marked(of_limit: Sequence[Row | None]) -> list[str]:
    best = max((row.int8_top1_percent for row in of_limit if isinstance(row, Pick)), default=None)
    return [_cell(row, best) for row in of_limit]


def _cell(row: Row | None, best_top1_percent: float | None) -> str:
    if row is None:
        return "not measured"
    if isinstance(row, Refusal):
        return f"nothing fits (smallest arena {row.smallest_arena_bytes:,} B)"
    top1 = f"{row.int8_top1_percent:.2f}"
    marked = f"**{top1}**" if row.int8_top1_percent == best_top1_percent else top1
    return f"{marked} / {row.arena_bytes:,} / {row.macs / 1e6:.2f}"


def _notes(of_engine: Mapping[str, Sequence[Pick]], settings: Settings) -> list[str]:
    picks = list(chain.from_iterable(of_engine.values()))
    errors = [pick.standard_error_points for pick in picks]
    gains = [pick.finetuned_validation_top1_percent - pick.validation_top1_percent for pick in picks]
    lines = [
        "**Chosen by predictions, which rest on validation images.** The search takes the arch within the "
        f"limits with the best predicted accuracy{after_finetuning(settings.predicted_after_epochs)}: what "
        "`mcofa search --finetuned` does. Test images were only read to fill this table.",
        "",
        f"**Fine-tuned, all alike:** {settings.epochs} epochs of the chosen subnet alone, starting from the "
        f"supernet's weights (batch {settings.batch_size}, learning rate from {settings.learning_rate:g} "
        "along a cosine, the supernet's augmentation, no distillation, no quantization-aware training); the "
        "best epoch on the validation images is kept. Then exported to int8 as `mcofa export` does; LiteRT's "
        "reference kernels run it.",
    ]
    if picks:
        lines[-1] += (
            f" On the {picks[0].validation_images:,} validation images fine-tuning gained {min(gains):.2f} "
            f"to {max(gains):.2f} points."
        )
        lines += [
            "",
            f"**Chance.** An accuracy on {picks[0].test_images:,} images has a standard error of "
            f"{min(errors):.2f} to {max(errors):.2f} points here: the bars of the figure. That is the chance "
            "of these images. Each supernet was trained and each pick fine-tuned once, with one seed; what "
            "another seed would change is not in the bars.",
        ]
    lines += [
        "",
        "**The limits** are on the arena, to the byte as the search predicts it, and on the model file or "
        "the whole program. With TFLM they hold for its own memory plan. Exported files may carry a better "
        "one, which takes less arena and more of the file; [zoo-table.csv](zoo-table.csv) has both, with "
        "archs, predictions and every accuracy.",
    ]
    for_tflm = of_engine["tflm"]
    larger = [pick for pick in for_tflm if pick.exported_model_bytes > pick.model_bytes]
    if larger:
        most = max(pick.exported_model_bytes - pick.model_bytes for pick in larger)
        lines[-1] += f" Here {len(larger)} of {len(for_tflm)} do, and grow by at most {most:,} B."
    return lines


def _supernet_table(supernets: Mapping[str, Supernet]) -> list[str]:
    lines = [
        "| space | training | epochs | hours | MACs of training | hardware | validation top-1, smallest and "
        "largest subnet | predictor: archs, RMSE, Kendall tau |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, of in supernets.items():
        accuracies = " and ".join(
            f"{of.validation_top1_percent[end]:.2f} %"
            for end in ("smallest", "largest")
            if end in of.validation_top1_percent
        )
        training_macs = f"{of.training_macs:.2g}" if of.training_macs else "not counted"
        lines.append(
            f"| `{name}` | {of.phases}, batch {of.batch_size}, seed {of.seed} | {of.epochs:g} "
            f"| {of.hours:.2f} | {training_macs} | {of.hardware} | {accuracies} "
            f"| {of.measured_archs:,}, {of.rmse_points:.2f} points, {of.kendall_tau:.2f} |"
        )
    return lines


def _commands(settings: Settings) -> list[str]:
    budget = LIMITS[0].budget
    generated = ENGINE_LIMITS["aot"][0].budget
    search = f"$ mcofa search --board {settings.board} --space mcofa-micro"
    return [
        "`make zoo-table` makes this page from the checkpoints and predictors in `zoo/`; `zoo/README.md` "
        "says how those were made. It goes on where it was interrupted. One space at a time: "
        "`python benchmarks/zoo_table.py --spaces mcofa-micro`. One cell by hand:",
        "",
        "```console",
        f"{search} --max-arena-bytes {budget.arena_bytes} --max-model-bytes {budget.model_bytes} "
        "--finetuned --out runs/cell",
        f"$ mcofa finetune runs/cell --epochs {settings.epochs}",
        "$ mcofa export runs/cell",
        "$ mcofa evaluate runs/cell",
        "```",
        "",
        "A cell of the second table begins with",
        "",
        "```console",
        f"{search} --engine aot --max-arena-bytes {generated.arena_bytes} "
        f"--max-flash-bytes {generated.flash_bytes} --finetuned --out runs/small-cell",
        "```",
    ]

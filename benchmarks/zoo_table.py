"""The paper's experiment with the zoo: the best subnet of each space by arena budget and engine.

Writes docs/zoo-table.md, its figures and a CSV. Each pick is searched for its accuracy after
fine-tuning, fine-tuned, exported to int8 and measured on the test images, in run folders below
``--work``: an interrupted call goes on where it stopped, and what was made from another checkpoint or
predictor, or with other settings, is made again. The outputs show everything that is
complete in ``--work``, and the rows of docs/zoo-table.csv that were made from the same files with the
same settings elsewhere, so the spaces may be done one by one; ``--spaces`` without a name only writes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from zoo_page import engine_figure, figure, markdown
from zoo_rows import SPACES, Limit, Refusal, Row, Settings, csv_rows, read_rows
from zoo_runs import BOARD, Zoo, choose, measure, read_row, supernet_of

from mcofa.errors import McofaError
from mcofa.files.atomic import write_atomic
from mcofa.files.resources import data_folder
from mcofa.space.arch_table import write_rows
from mcofa.space.search_space import load_space
from mcofa.supernet.finetune.finetune import FinetuneSettings

ROOT = Path(__file__).resolve().parent.parent


def words(row: Row) -> str:
    """Write a row in one line."""
    if isinstance(row, Refusal):
        return row.problem
    return (
        f"kernels {row.kernel_sizes}, expand ratios {row.expand_ratios}, depths {row.depths}: "
        f"validation {row.validation_top1_percent:.2f} -> "
        f"{row.finetuned_validation_top1_percent:.2f} %, test float {row.float_top1_percent:.2f} %, "
        f"int8 {row.int8_top1_percent:.2f} %; arena {row.arena_bytes:,} B, model {row.model_bytes:,} B, "
        f"{row.macs / 1e6:.2f} M MACs"
    )


def known_rows(zoo: Zoo, written: Mapping[Limit, Row]) -> dict[Limit, Row]:
    """Return the rows that the runs have, else those written before from the same files and settings."""
    found = {limit: read_row(zoo, limit, written.values()) or written.get(limit) for limit in zoo.limits}
    return {limit: row for limit, row in found.items() if row and row.made_from == zoo.made_from}


def write_outputs(zoos: list[Zoo], out: Path) -> None:
    written = read_rows(out / "zoo-table.csv")
    found = {zoo.space.name: known_rows(zoo, written.get(zoo.space.name, {})) for zoo in zoos}
    rows = {name: of_space for name, of_space in found.items() if of_space}
    if not rows:
        raise McofaError("no row is complete", "name the spaces to measure with --spaces")
    first = zoos[0]
    settings = Settings(
        target=f"{BOARD.core}, {BOARD.kernels}",
        board=BOARD.name,
        data=first.header.data,
        predicted_after_epochs=first.predictor.provenance.finetune_epochs,
        epochs=first.tuning.epochs,
        batch_size=first.tuning.batch_size,
        learning_rate=first.tuning.learning_rate,
    )
    supernets = {zoo.space.name: supernet_of(zoo) for zoo in zoos if zoo.space.name in rows}
    write_rows(out / "zoo-table.csv", csv_rows(rows))
    write_atomic(out / "zoo-table.svg", figure(rows).encode())
    write_atomic(out / "zoo-engines.svg", engine_figure(rows).encode())
    write_atomic(out / "zoo-table.md", markdown(rows, supernets, settings).encode())
    print(f"written: {out / 'zoo-table.md'} and .csv, and two pictures beside it")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spaces", nargs="*", choices=SPACES, help="default: those that the zoo has")
    parser.add_argument("--arena-kb", nargs="*", type=int, metavar="KB", help="only these arena budgets")
    parser.add_argument("--epochs", type=int, default=10, help="of fine-tuning (default: 10)")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "zoo-table", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the outputs")
    return parser.parse_args()


def main() -> None:
    options = parse()
    zoos = {
        name: Zoo(
            space=load_space(name),
            checkpoint=data_folder("zoo") / f"{name}.safetensors",
            predictor_file=data_folder("zoo") / f"{name}-finetuned.npz",
            work=options.work,
            tuning=FinetuneSettings(epochs=options.epochs),
        )
        for name in SPACES
    }
    trained = [zoo for zoo in zoos.values() if zoo.checkpoint.is_file() and zoo.predictor_file.is_file()]
    spaces = [zoo.space.name for zoo in trained] if options.spaces is None else options.spaces
    asked = [
        (zoos[name], limit)
        for name in spaces
        for limit in zoos[name].limits
        if not options.arena_kb or limit.arena_kb in options.arena_kb
    ]
    for name in spaces:
        supernet = supernet_of(zoos[name])
        print(f"{name}: {supernet.epochs:g} epochs trained, {supernet.measured_archs:,} archs measured")
    written = read_rows(options.out / "zoo-table.csv")
    for is_measured in (False, True):
        for zoo, limit in asked:
            started, before = time.monotonic(), written.get(zoo.space.name, {}).values()
            if is_measured:
                measure(zoo, limit, before)
            else:
                choose(zoo, limit)
            row = read_row(zoo, limit, before)
            done = "chosen" if row is None else words(row)
            print(f"{zoo.space.name}, {limit}, {time.monotonic() - started:.0f} s: {done}", flush=True)
    write_outputs(trained, options.out)


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")

"""Give damaged files of every kind that people write to the command line, in one process.

Boards, spaces, training configurations, archs, tables, predictors, runs, models and folders of images are
damaged as bytes and as documents: other types, huge and negative numbers, misspelt, missing and repeated
keys, deep nesting, hostile texts and names. The command line must answer each with an exit code of 0, 1
or 2, one error message and no traceback, within a time limit, without starting a program, and without
touching anything but what it was told to write; where it succeeds, its result must be sane. Exit code 1
if an input was answered otherwise; each is printed with the options that repeat it.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fuzzing.campaign import Campaign
from fuzzing.kinds import KINDS

_MOST_MEMORY_BYTES = 12 << 30


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2_000, help="inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", choices=[make.__name__ for make in KINDS], help="try only this kind")
    parser.add_argument("--folder", type=Path, help="keep the last input here")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    return parser.parse_args()


def _print_tallies(campaign: Campaign) -> None:
    columns = ("exit 0", "exit 1", "exit 2")
    print(f"{'kind':16} {'inputs':>7} {' '.join(f'{name:>7}' for name in columns)} mean ms  most s  wrong")
    for name, tally in campaign.tallies.items():
        count = tally.exits.total()
        exits = " ".join(f"{tally.exits[code]:7,}" for code in (0, 1, 2))
        mean_ms = 1000 * tally.seconds / max(1, count)
        print(f"{name:16} {count:7,} {exits} {mean_ms:7.0f} {tally.slowest_seconds:7.1f} {tally.findings:6}")


def numbers(first: int, count: int, deadline: float) -> Iterator[int]:
    """Yield ``count`` numbers from ``first`` on, until the monotonic clock has passed ``deadline``."""
    for number in range(first, first + count):
        if time.monotonic() > deadline:
            return
        yield number


def main() -> int:
    """Run the campaign and print what became of the inputs."""
    options = _parse()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    faulthandler.enable()
    started, wrong = time.monotonic(), 0
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="mcofa-fuzz-"))
        )
        campaign = Campaign(folder, options.seed)
        deadline = started + 60 * options.minutes
        for finding in campaign.run(numbers(options.first, options.count, deadline), options.only):
            wrong += 1
            print(f"{finding.kind}: {finding.problem}")
            print(f"  mcofa {' '.join(finding.arguments)!r}, again: {finding.seed}", flush=True)
    _print_tallies(campaign)
    total = sum(tally.exits.total() for tally in campaign.tallies.values())
    print(f"{total:,} inputs in {time.monotonic() - started:,.0f} s, {wrong} answered wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

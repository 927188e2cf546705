"""Designs of a search space, compared before the expensive part: what each reaches within the zoo's limits.

Each supernet, all trained alike, gets a predictor from 120 measured archs; within each limit the search
proposes 20 archs, which are measured on the validation images with the supernet's weights. A cell is
the mean top-1 of the best five: less subject to chance than the best one, though biased upwards as
that is, for all designs alike. Validation images are the same for all, so differences between designs
are surer than the accuracies; chance of training (one seed) is not averaged out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from zoo_rows import LIMITS, MORE_LIMITS, Limit

from export.verify_search import ranked, verify_candidates
from mcofa.boards import load_board
from mcofa.errors import BudgetError, McofaError
from mcofa.fit_predictor import fit_predictor
from mcofa.predictor import Predictor
from mcofa.search import Budget, search
from mcofa.space import SearchSpace
from mcofa.supernet.checkpoint import load_checkpoint
from mcofa.supernet.measure import measure

BOARD = load_board("stm32f746")
ROOT = Path(__file__).resolve().parent.parent
MEASURED = 120
PROPOSED = 20
BEST = 5
SEED = 0


def cell(checkpoint: Path, space: SearchSpace, predictor: Predictor, limit: Limit) -> str:
    budget = Budget(arena_bytes=limit.arena_bytes, model_bytes=limit.model_bytes)
    try:
        found = search(space, BOARD, budget, predictor, SEED, keep=PROPOSED)
    except BudgetError:
        return "nothing fits"
    best = ranked(verify_candidates(checkpoint, space, found.best, int8=False), None)[:BEST]
    mean = sum(measured.float_top1_percent for measured in best) / len(best)
    costs = best[0].candidate.cost
    assert costs is not None
    return f"{mean:.2f} ({costs.arena_bytes:,} B, {costs.model_bytes:,} B, {costs.macs / 1e6:.2f} M)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "runs" / "designs", help="folder of what is measured"
    )
    options = parser.parse_args()
    for checkpoint in options.checkpoints:
        space = load_checkpoint(checkpoint)[0].space
        widths = ", ".join(str(stage.width) for stage in space.stages)
        ratios = ", ".join(f"{ratio:g}" for ratio in space.expand_ratios)
        print(f"{checkpoint.stem}: stages {widths}; expand ratios {ratios}", flush=True)
        table = options.work / f"{checkpoint.stem}.csv"
        measured = measure(checkpoint, MEASURED, SEED, BOARD, table)
        assert measured is not None
        predictor = fit_predictor(space, measured, str(checkpoint))
        for limit in LIMITS + MORE_LIMITS:
            print(f"  {limit}: {cell(checkpoint, space, predictor, limit)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")

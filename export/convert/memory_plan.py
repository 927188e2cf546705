"""The memory plan that an exported file carries for engines that keep it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from export.tflite.model_file import ModelFile
from export.tflite.offline_plan import OfflinePlanned, with_offline_plan
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.engines.tflm.targets import board_target
from mcofa.search.budget import Budget


def with_plan_if_it_fits(model: ModelFile, board: Board, budget: Budget) -> OfflinePlanned:
    """Plan the activations for ``board`` where that saves arena and the file stays within ``budget``."""
    planned = with_offline_plan(model, board_target(board))
    model_bytes = len(planned.data)
    used = {
        "model_bytes": model_bytes,
        "flash_bytes": load_engine("tflm").needs(model.graph, board, model_bytes).flash.total_bytes,
    }
    if all(used[name] <= limit for name, limit in budget.limits.items() if name in used):
        return planned
    return replace(planned, file=model, head_bytes_after=planned.head_bytes_before, saved_bytes=0)


def plan_section(planned: OfflinePlanned, unplanned: ModelFile) -> dict[str, Any]:
    """Return what the manifest says of a plan for the file ``unplanned``."""
    return {
        "used": planned.file is not unplanned,
        "saved_bytes": planned.saved_bytes,
        "growth_bytes": planned.growth_bytes,
        "head_bytes_before": planned.head_bytes_before,
        "head_bytes_after": planned.head_bytes_after,
        "lower_bound_bytes": planned.lower_bound_bytes,
        "proven_optimal": planned.proven_optimal,
    }

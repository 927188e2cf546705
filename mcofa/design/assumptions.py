"""What a design takes for granted, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.design.conditions import Allowance, Conditions
from mcofa.design.skeleton import (
    DEPTHS,
    EXPAND_RATIOS,
    HARD_SWISH_SIDE,
    KERNEL_SIZES,
    LAST_SIDE,
    UNSTRIDED_FIRST_STAGE_SIDE,
    UNSTRIDED_STEM_SIDE,
    WIDTH_STEP,
)
from mcofa.space.resolution import Size, resolution_of, resolution_text
from mcofa.space.search_space import SearchSpace


def assumptions(
    space: SearchSpace,
    conditions: Conditions,
    model_budget_bytes: int,
    allowance: Allowance,
    sizes: Sequence[Size],
) -> tuple[str, ...]:
    """Return one sentence each on budgets, allowance, image sides, options and the parts without a choice."""
    largest, stem, *stages = (
        resolution_text(resolution) for resolution in (space.resolutions[-1], *map(resolution_of, sizes))
    )
    board = conditions.board
    return (
        f"Budgets: arena {board.arena_budget_bytes:,} B, {conditions.network} {model_budget_bytes:,} B; "
        f"{board.core}, {conditions.execution}, int8.",
        f"The largest subnet may take {allowance.largest_arena:g} times the arena and "
        f"{allowance.largest_flash:g} times the flash, the smallest {allowance.smallest:g} times both.",
        *_latency_limit(conditions, allowance),
        f"Image sides: {largest}, stem {stem}, stages {', '.join(stages)}. The stem "
        f"halves images of more than {UNSTRIDED_STEM_SIDE} pixels, stage 1 those of more than "
        f"{UNSTRIDED_FIRST_STAGE_SIDE}, every later stage halves until the next would be below "
        f"{LAST_SIDE} pixels.",
        f"Depths {_listed(DEPTHS)}; expand ratios {_listed(EXPAND_RATIOS)}; "
        f"kernel sizes {_listed(KERNEL_SIZES)}; widths are multiples of {WIDTH_STEP}.",
        f"Hard-swish and squeeze-excite in stages that read {HARD_SWISH_SIDE} pixels or less a side; "
        "ReLU, which costs no memory, before.",
        f"First block: a third of stage 1's width, at least {WIDTH_STEP}; stem: half the first block's, so "
        "that no shortcut keeps its input; final expand: twice the last stage's; feature mix: the last "
        "stage's.",
    )


def _latency_limit(conditions: Conditions, allowance: Allowance) -> tuple[str, ...]:
    if conditions.max_latency_ms is None:
        return ()
    return (
        f"Latency (estimate): {conditions.max_latency_ms:,g} ms, of which the largest subnet may take "
        f"{allowance.largest_arena:g} times, the smallest {allowance.smallest:g} times.",
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)

"""What the steps of one block keep, relative to the block, so that networks can be put together of blocks.

A block is a chain: each step reads the one before it, and some read an earlier one besides, as residuals
and gates do. All that depends on other blocks is the ring of the tensor between two of them; it is told by
the block that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mcofa.engines.aot.plan import StreamingRules
from mcofa.engines.aot.sharing import heir

SKIPS = 2
"""How many tensors besides that of the step before it may be needed from a step on."""

AT_ONCE_ROWS = 1 << 13
"""Rows of the window of a step that needs all rows: more than there ever are."""


class StepFields(NamedTuple):
    """One number for each step of a block, or (fields of) arrays of them.

    ``whole``, ``inside``, ``scratch``: bytes, as in ``spans.StepBytes``. ``last``: how many steps later
    the tensor is last read. ``rows``, ``row_bytes``: of the tensor. ``window_rows``, ``stride``, ``above``:
    of what the step reads of the one before it. ``in_place``: whether it may work in place, ``takes_over``:
    whether the rows of the step before lie in its own, ``renames``: whether it does nothing where it may.
    ``skip_1``, ``skip_2``: how many steps earlier the tensors were made, the later first, that are needed
    from here on besides that of the step before; 0: none. ``ends``: whether it is the block's last step;
    ``input_inside`` and ``input_last`` stand at its first step and are ``inside`` and ``last`` of the tensor
    that the block reads.
    """

    whole: Any
    inside: Any
    scratch: Any
    last: Any
    rows: Any
    row_bytes: Any
    window_rows: Any
    stride: Any
    above: Any
    in_place: Any
    takes_over: Any
    renames: Any
    skip_1: Any
    skip_2: Any
    ends: Any
    input_inside: Any
    input_last: Any


def block_steps(rules: StreamingRules, blocks: Sequence[range]) -> list[tuple[int, StepFields]]:
    """Return for each block, a range of ops in network order, what its plans take at least, and its steps.

    The image is the first step of the first block.
    """
    table = rules.step_bytes()
    flow = rules.flow
    whole, inside, scratch = (column[:, 0].tolist() for column in (table.whole, table.inside, table.scratch))
    last = [flow.last_reader(step) for step in range(len(flow.steps))]
    kept = [_least_kept(step, whole, inside, last) + scratch[step] for step in range(len(flow.steps))]
    found = []
    for ops in blocks:
        first, end = ops.start + flow.inputs, ops.stop + flow.inputs
        steps = range(0 if ops.start == 0 else first, end)
        rows = [_fields(rules, step, steps, whole[step], inside[step], scratch[step], last) for step in steps]
        if steps.start:
            rows[0] = rows[0]._replace(
                input_inside=inside[steps.start - 1], input_last=last[steps.start - 1] - steps.start + 1
            )
        fields = StepFields(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
        found.append((max(kept[step] for step in steps), fields))
    return found


def _least_kept(step: int, whole: Sequence[int], inside: Sequence[int], last: Sequence[int]) -> int:
    """What is kept while ``step`` runs, whatever the spans: rows of all that is needed, and of its output.

    Where the output lies over one of them, both take at least as much as the larger whole one.
    """
    needed = [made for made in range(step) if last[made] >= step]
    rows = sum(inside[made] for made in needed)
    over = [rows - inside[made] + max(whole[made], whole[step]) for made in needed]
    return min(rows + inside[step], *over) if over else rows + inside[step]


def _fields(
    rules: StreamingRules, step: int, block: range, whole: int, inside: int, scratch: int, last: Sequence[int]
) -> StepFields:
    flow = rules.flow
    made = flow.steps[step]
    read = made.reads[-1] if made.reads else None
    assert read is None or read.source == step - 1, "the steps of a block are a chain"
    window = read.window if read and read.window and read.window.stride else None
    skips = [made for made in range(step - 2, -1, -1) if last[made] >= step]
    assert len(skips) <= SKIPS, "more tensors are skipped than there is room for"
    return StepFields(
        *(
            np.int64(value)
            for value in (
                whole,
                inside,
                scratch,
                last[step] - step,
                made.rows,
                made.row_bytes,
                window.rows if window else AT_ONCE_ROWS,
                window.stride if window else 1,
                window.above if window else 0,
                made.in_place,
                step > 0 and heir(flow, step - 1) == step,
                made.renames,
                step - skips[0] if skips else 0,
                step - skips[1] if len(skips) > 1 else 0,
                step == block[-1],
                0,
                0,
            )
        )
    )


def absent_step() -> StepFields:
    """Return the step that fills up networks which have fewer than others: it makes and needs nothing."""
    values = dict.fromkeys(StepFields._fields, np.zeros(1, np.int64))
    return StepFields(**{**values, "rows": np.ones(1, np.int64), "stride": np.ones(1, np.int64)})

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
from mcofa.engines.aot.spans import NEVER
from mcofa.memory.plan import aligned

MOST_NEEDED = 3
"""How many tensors may be needed from a step on."""

AT_ONCE_ROWS = 1 << 13
"""Rows of the window of a step that needs all rows: more than there ever are."""


class Needed(NamedTuple):
    """A tensor that is needed from a step on, made ``back`` steps earlier; all 0: none.

    ``whole``, ``inside``: bytes, as in ``spans.StepBytes``. ``last``: how many steps later it is last read.
    ``rows``, ``row_bytes``: of the tensor.
    """

    back: Any
    whole: Any
    inside: Any
    last: Any
    rows: Any
    row_bytes: Any


class StepFields(NamedTuple):
    """One number for each step of a block, or (fields of) arrays of them.

    ``scratch``: bytes. ``rows``, ``row_bytes``: of the tensor. ``window_rows``, ``stride``, ``above``: of
    what the step reads of the one before it. ``in_place``: whether it may work in place, ``over_input``: the
    scratch with which it may, alone in a span, or ``NEVER``. ``takes_over``: whether the rows of the step
    before lie in its own, ``begins``: whether it is the block's first step.
    ``needed`` are the tensors that are needed from here on, the latest first.
    """

    scratch: Any
    rows: Any
    row_bytes: Any
    window_rows: Any
    stride: Any
    above: Any
    in_place: Any
    over_input: Any
    takes_over: Any
    begins: Any
    needed: tuple[Needed, ...]


def block_steps(rules: StreamingRules, blocks: Sequence[range]) -> list[tuple[int, StepFields]]:
    """Return for each block, a range of ops in network order, what its plans take at least, and its steps.

    The image is the first step of the first block; behind the last one, the caller reads the output.
    """
    table = rules.step_bytes()
    flow = rules.flow
    whole, inside, scratch = (column[:, 0].tolist() for column in (table.whole, table.inside, table.scratch))
    count = len(flow.steps)
    last = [flow.last_reader(step) for step in range(count)]
    kept = [_least_kept(step, whole, inside, last) + scratch[step] for step in range(count)]

    def needed_from(step: int) -> tuple[Needed, ...]:
        found = [
            Needed(
                *(step - made, whole[made], inside[made], last[made] - step),
                *(flow.steps[made].rows, flow.steps[made].row_bytes),
            )
            for made in range(step - 1, -1, -1)
            if last[made] >= step
        ]
        assert len(found) <= MOST_NEEDED, "more tensors are needed than there is room for"
        assert step == 0 or found[0].back == 1, "the steps of a block are a chain"
        return (*found, *[_NOTHING] * (MOST_NEEDED - len(found)))

    shares = []
    for ops in blocks:
        steps = range(0 if ops.start == 0 else ops.start + flow.inputs, ops.stop + flow.inputs)
        rows = [_fields(rules, step, scratch[step], needed_from(step)) for step in steps]
        rows[0] = rows[0]._replace(begins=1)
        if steps.stop == count:
            rows.append(_CALLER._replace(needed=needed_from(count)))
        shares.append((max(kept[step] for step in steps), joined(rows)))
    return shares


def joined(steps: Sequence[StepFields]) -> StepFields:
    """Return steps, or arrays of them, one after the other."""
    needed = tuple(
        Needed(*map(_array, zip(*tensors, strict=True)))
        for tensors in zip(*(step.needed for step in steps), strict=True)
    )
    numbers = {
        name: _array([getattr(step, name) for step in steps])
        for name in StepFields._fields
        if name != "needed"
    }
    return StepFields(**numbers, needed=needed)


def absent_step() -> StepFields:
    """Return the step that fills up networks which have fewer than others: it makes and needs nothing."""
    return joined([_CALLER])


_NOTHING = Needed(0, 0, 0, 0, 0, 0)
_CALLER = StepFields(
    scratch=0,
    rows=1,
    row_bytes=0,
    window_rows=1,
    stride=1,
    above=0,
    in_place=0,
    over_input=NEVER,
    takes_over=0,
    begins=0,
    needed=(_NOTHING,) * MOST_NEEDED,
)


def _array(numbers: Sequence[Any]) -> Any:
    return np.concatenate([np.atleast_1d(number) for number in numbers]).astype(np.int32)


def _least_kept(step: int, whole: Sequence[int], inside: Sequence[int], last: Sequence[int]) -> int:
    """What is kept while ``step`` runs, whatever the spans: rows of all that is needed, and of its output.

    Where the output lies over one of them, both take at least as much as the larger whole one.
    """
    needed = [made for made in range(step) if last[made] >= step]
    rows = sum(inside[made] for made in needed)
    over = [rows - inside[made] + max(whole[made], whole[step]) for made in needed]
    return min(rows + inside[step], *over) if over else rows + inside[step]


def _fields(rules: StreamingRules, step: int, scratch: int, needed: tuple[Needed, ...]) -> StepFields:
    flow = rules.flow
    made = flow.steps[step]
    read = made.reads[-1] if made.reads else None
    assert read is None or read.source == step - 1, "the steps of a block are a chain"
    assert not made.renames, "ops that only rename are no part of blocks"
    window = read.window if read and read.window and read.window.stride else None
    return StepFields(
        scratch=scratch,
        rows=made.rows,
        row_bytes=made.row_bytes,
        window_rows=window.rows if window else AT_ONCE_ROWS,
        stride=window.stride if window else 1,
        above=window.above if window else 0,
        in_place=int(made.in_place),
        over_input=NEVER if made.over_input_bytes is None else aligned(made.over_input_bytes),
        takes_over=int(step > 0 and heir(flow, step - 1) == step),
        begins=0,
        needed=needed,
    )

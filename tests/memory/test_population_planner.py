"""Plans of populations against TFLM's planner for one list of buffers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.memory.plan import Buffer, plan_greedy
from mcofa.memory.population import BlockBuffers, PopulationPlanner, block_buffers


@dataclass(frozen=True)
class DrawnOp:
    """An op with one output: bytes, further ops of its block that it outlives, bytes of scratch."""

    output_bytes: int
    live_ops: int
    scratch_bytes: tuple[int, ...]


@dataclass(frozen=True)
class DrawnBlock:
    """Ops, of which the last makes the block's output; ``input_ops`` more than one op read the input."""

    ops: tuple[DrawnOp, ...]
    input_ops: int

    def input_last_step(self, first_step: int) -> int:
        return first_step + min(self.input_ops, len(self.ops) - 1)

    def buffers(self, first_step: int, output_last_step: int) -> tuple[list[Buffer], list[Buffer]]:
        """Tensors and scratch; op *i* is step ``first_step`` + *i*."""
        final_step = first_step + len(self.ops) - 1
        tensors = [
            Buffer(op.output_bytes, step, min(step + op.live_ops, final_step))
            for step, op in enumerate(self.ops[:-1], first_step)
        ]
        tensors.append(Buffer(self.ops[-1].output_bytes, final_step, output_last_step))
        scratch = [
            Buffer(size, step, step)
            for step, op in enumerate(self.ops, first_step)
            for size in op.scratch_bytes
        ]
        return tensors, scratch

    def table(self, *, has_input: bool) -> BlockBuffers:
        tensors, scratch = self.buffers(1, len(self.ops))
        block_input = Buffer(1, 0, self.input_last_step(1)) if has_input else None
        return block_buffers(tensors, scratch, block_input)


def chain(blocks: list[DrawnBlock]) -> list[Buffer]:
    """All buffers of a network as TFLM plans them: tensors in order, then scratch."""
    tensors: list[Buffer] = []
    scratch: list[Buffer] = []
    step = 0
    for block, follower in zip(blocks, [*blocks[1:], None], strict=True):
        next_step = step + len(block.ops)
        last = next_step - 1 if follower is None else follower.input_last_step(next_step)
        own_tensors, own_scratch = block.buffers(step, last)
        tensors += own_tensors
        scratch += own_scratch
        step = next_step
    return tensors + scratch


# Few sizes, so that many are equal, and sizes which differ only before rounding.
sizes = st.sampled_from([1, 16, 20, 32, 48, 64, 90, 160, 1_000])
ops = st.builds(DrawnOp, sizes, st.integers(0, 6), st.lists(sizes, max_size=2).map(tuple))
drawn_blocks = st.builds(DrawnBlock, st.lists(ops, min_size=1, max_size=6).map(tuple), st.integers(0, 6))


@settings(max_examples=200)
@given(drawn_blocks, st.lists(drawn_blocks, min_size=1, max_size=3), st.integers(1, 7), st.data())
def test_same_heads_as_one_at_a_time(
    stem: DrawnBlock, others: list[DrawnBlock], length: int, data: st.DataObject
) -> None:
    """Networks of any of the blocks in any order, some of them shorter."""
    absent = BlockBuffers((), (), (), (), 0)
    planner = PopulationPlanner(
        [absent, stem.table(has_input=False), *(block.table(has_input=True) for block in others)]
    )
    row = st.lists(st.integers(-1, len(others) - 1), min_size=length, max_size=length)
    chosen = data.draw(st.lists(row, min_size=1, max_size=5))
    rows = np.array([[1, *(0 if i < 0 else i + 2 for i in one)] for one in chosen], np.intp)
    assert planner.head_bytes(rows).tolist() == [
        plan_greedy(chain([stem, *(others[i] for i in one if i >= 0)])).total_bytes for one in chosen
    ]


def heads(block: DrawnBlock) -> npt.NDArray[np.int64]:
    return PopulationPlanner([block.table(has_input=False)]).head_bytes(np.zeros((1, 1), np.intp))


@pytest.mark.parametrize(
    ("block_ops", "head_bytes"),
    [
        ((DrawnOp(20, 0, ()),), 32),
        ((DrawnOp(64, 1, ()), DrawnOp(32, 1, ())), 96),
        # The large ones are never live together: one lies where the other was.
        ((DrawnOp(64, 0, ()), DrawnOp(64, 0, ())), 64),
        ((DrawnOp(64, 1, ()), DrawnOp(16, 1, ()), DrawnOp(64, 0, (32,))), 112),
    ],
)
def test_heads_known_by_hand(block_ops: tuple[DrawnOp, ...], head_bytes: int) -> None:
    assert heads(DrawnBlock(block_ops, 0)).tolist() == [head_bytes]


def test_no_archs_have_no_heads() -> None:
    planner = PopulationPlanner([DrawnBlock((DrawnOp(16, 0, ()),), 0).table(has_input=False)])
    assert planner.head_bytes(np.zeros((0, 1), np.intp)).tolist() == []

"""Arena and flash of engine ``aot`` for whole populations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.engines.aot.block_steps import StepFields, block_steps
from mcofa.engines.aot.flash import firmware_bytes, kernel_parts, op_flash_bytes
from mcofa.engines.aot.latency import KERNELS, LATENCIES
from mcofa.engines.aot.plan import StreamingRules
from mcofa.engines.aot.population_spans import SpanPlanner
from mcofa.engines.engine import BlockShare
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import Graph

Integers = npt.NDArray[np.int64]


class AotPopulation:
    """The accounting of ``PopulationRules`` on one board; of a block only its flash is added up."""

    def __init__(self, graph: Graph, board: Board, streams_input: bool) -> None:
        self._board = board
        self._streams_input = streams_input
        self._target = board_target(board)
        self._firmware_bytes = firmware_bytes(graph, self._target)

    def shares(self, graph: Graph, blocks: Sequence[range]) -> list[BlockShare]:
        """Return what the blocks of ``graph`` contribute."""
        rules = StreamingRules(graph, self._target, self._streams_input)
        planned = block_steps(rules, blocks)
        return [
            self._share(graph, ops, least_bytes, steps)
            for ops, (least_bytes, steps) in zip(blocks, planned, strict=True)
        ]

    def _share(self, graph: Graph, block: range, least_bytes: int, steps: StepFields) -> BlockShare:
        ops = [graph.ops[i] for i in block]
        return BlockShare(
            amounts=[sum(op_flash_bytes(graph, op) for op in ops)],
            code={part: size for op in ops for part, size in kernel_parts(graph, op, self._target).items()},
            instructions=sum(LATENCIES.op_instructions(graph, op, self._board.core, KERNELS) for op in ops),
            least_bytes=least_bytes,
            planned=(least_bytes, steps),
        )

    def planner(self, planned: Sequence[tuple[int, StepFields]]) -> SpanPlanner:
        """Return the planner that finds the best cuts into spans."""
        return SpanPlanner(planned, self._streams_input)

    def arena_bytes(self, head_bytes: Integers, amounts: Integers, sums: Integers) -> Integers:
        """Return the planned activations and scratch, (archs,): there is nothing else."""
        return head_bytes

    def flash_bytes(self, sums: Integers, model_bytes: Integers, code_bytes: Integers) -> Integers:
        """Return the flash of constants, kernels and firmware, (archs,)."""
        return sums[:, 0] + code_bytes + self._firmware_bytes

"""TFLM's arena and flash for whole populations: the rules of ``tail.py`` over blocks of ops."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.engines.engine import BlockShare
from mcofa.engines.latency import Latencies
from mcofa.engines.tflm.arena import causes_of
from mcofa.engines.tflm.head import planned_buffers, planned_tensors
from mcofa.engines.tflm.ops import op_memory
from mcofa.engines.tflm.runtime_code import always_linked_bytes, code_parts
from mcofa.engines.tflm.tail import ARENA_ALIGNMENT_BYTES, Contents, TailShare, tail_share
from mcofa.engines.tflm.targets import board_target, structs
from mcofa.graph import Graph
from mcofa.memory.plan import aligned
from mcofa.memory.population import NO_BLOCK, BlockBuffers, PopulationPlanner, greedy_blocks

Integers = npt.NDArray[np.int64]


class TflmPopulation:
    """The accounting of ``PopulationRules`` on one board, for a space that ``graph`` is a network of."""

    def __init__(self, graph: Graph, board: Board, latencies: Latencies) -> None:
        self._board = board
        self._latencies = latencies
        self._target = board_target(board)
        self._inputs = len(graph.inputs)
        self._first_op_data_bytes = op_memory(graph, graph.ops[0], self._target).op_data_bytes
        self._scales_of_ends = (
            [graph.tensors[i].scales for i in graph.inputs],
            [graph.tensors[i].scales for i in graph.outputs],
        )
        self._always_bytes = (
            always_linked_bytes(board.core, board.kernels) + board.reserved.firmware_flash_bytes
        )

    def shares(self, graph: Graph, blocks: Sequence[range]) -> list[BlockShare]:
        """Return what the blocks of ``graph`` contribute."""
        board, on = self._board, self._target
        memories = [op_memory(graph, op, on) for op in graph.ops]
        instructions = [
            self._latencies.op_instructions(graph, op, board.core, board.kernels) for op in graph.ops
        ]
        buffers = planned_buffers(graph, memories)
        tensors = len(planned_tensors(graph))
        planned = greedy_blocks(buffers[:tensors], buffers[tensors:], blocks)
        return [
            BlockShare(
                amounts=[int(amount) for amount in tail_share(graph, memories, span, on)],
                code={
                    part: size
                    for i in span
                    for part, size in code_parts(graph.ops[i].kind, board.core, board.kernels).items()
                },
                instructions=sum(instructions[i] for i in span),
                least_bytes=live_bytes,
                planned=block,
            )
            for span, (live_bytes, block) in zip(blocks, planned, strict=True)
        ]

    def planner(self, planned: Sequence[BlockBuffers]) -> PopulationPlanner:
        """Return the planner that makes TFLM's greedy plans."""
        return PopulationPlanner([NO_BLOCK, *planned])

    def arena_bytes(self, head_bytes: Integers, amounts: Integers, sums: Integers) -> Integers:
        """Return the minimum arenas around planned heads, (archs,)."""
        needed = causes_of(self._contents(amounts, sums), head_bytes, self._target).values()
        return np.asarray(aligned(functools.reduce(np.maximum, needed), ARENA_ALIGNMENT_BYTES))

    def flash_bytes(self, sums: Integers, model_bytes: Integers, code_bytes: Integers) -> Integers:
        """Return the flash of model, runtime and firmware, (archs,)."""
        return model_bytes + code_bytes + self._always_bytes

    def _contents(self, amounts: Integers, sums: Integers) -> Contents:
        by_block, total = (TailShare(*np.moveaxis(shares, -1, 0)) for shares in (amounts, sums))
        first_bytes = self._first_op_data_bytes
        return Contents(
            tensors=self._inputs + total.tensors,
            ops=total.ops,
            builtin_data=[(total.builtin_data_bytes, structs(self._target.abi, self._target.tflm).pointer)],
            op_data_bytes=[first_bytes, total.op_data_bytes - aligned(first_bytes)],
            kernel_arrays_bytes=total.kernel_arrays_bytes(self._target),
            # The first op has OpData, so that its kernel arrays start at a multiple of 16.
            first_array_bytes=np.zeros(1, np.int64),
            preparing_bytes=np.asarray(by_block.preparing_bytes),
            prepared_bytes=np.asarray(by_block.prepared_bytes),
            scratch_buffers=total.scratch_buffers,
            # Of each op its one output.
            planned_buffers=self._inputs + total.ops + total.scratch_buffers,
            variables_bytes=(),
            scales_of_ends=self._scales_of_ends,
        )

"""Arena and flash of engine ``aot`` for whole populations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.engines.aot.flash import firmware_bytes, kernel_parts, op_flash_bytes
from mcofa.engines.aot.latency import KERNELS, LATENCIES
from mcofa.engines.engine import BlockShare, GraphShares
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import Graph

Integers = npt.NDArray[np.int64]


class AotPopulation:
    """The accounting of ``PopulationRules`` on one board; of a block only its flash is added up."""

    def __init__(self, graph: Graph, board: Board) -> None:
        self._board = board
        self._target = board_target(board)
        self._firmware_bytes = firmware_bytes(graph, self._target)

    def shares(self, graph: Graph, blocks: Sequence[range]) -> GraphShares:
        """Return what the blocks of ``graph`` contribute."""
        raise NotImplementedError
        return GraphShares(
            blocks=[self._share(graph, span) for span in blocks],
            tensors=[s.buffer for s in planned if s.tensors],
            scratch=[s.buffer for s in planned if not s.tensors],
        )

    def _share(self, graph: Graph, span: range) -> BlockShare:
        ops = [graph.ops[i] for i in span]
        return BlockShare(
            amounts=[sum(op_flash_bytes(graph, op) for op in ops)],
            code={part: size for op in ops for part, size in kernel_parts(graph, op, self._target).items()},
            instructions=sum(LATENCIES.op_instructions(graph, op, self._board.core, KERNELS) for op in ops),
        )

    def arena_bytes(self, head_bytes: Integers, amounts: Integers, sums: Integers) -> Integers:
        """Return the planned activations and scratch, (archs,): there is nothing else."""
        return head_bytes

    def flash_bytes(self, sums: Integers, model_bytes: Integers, code_bytes: Integers) -> Integers:
        """Return the flash of constants, kernels and firmware, (archs,)."""
        return sums[:, 0] + code_bytes + self._firmware_bytes

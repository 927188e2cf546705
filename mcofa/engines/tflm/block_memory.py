"""What blocks of a network take under TFLM: live bytes, part of the tail, part of the model file."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.engines.engine import BlockMemory
from mcofa.engines.tflm.head import planned_buffers
from mcofa.engines.tflm.model_file import OpBytes, op_bytes
from mcofa.engines.tflm.ops import op_memory
from mcofa.engines.tflm.tail import share_bytes, tail_share
from mcofa.graph import Graph
from mcofa.memory.plan import aligned
from mcofa.ops.target import Target


def tflm_block_memories(graph: Graph, blocks: Sequence[range], on: Target) -> list[BlockMemory]:
    """Return what each block takes: planned bytes live at its fullest step, its tail, its part of the file.

    The head of the arena is as large as the largest head share, but for the planner's losses;
    the tail is the sum of the tail shares, the allocators, input and output, and padding.
    """
    ops = [op_memory(graph, op, on) for op in graph.ops]
    in_file = op_bytes(graph)
    live = [0] * (len(ops) + 1)
    for buffer in planned_buffers(graph, ops):
        for step in range(buffer.first_step, buffer.last_step + 1):
            live[step] += aligned(buffer.bytes)
    return [
        BlockMemory(
            head_bytes=max(live[i + 1] for i in block),
            tail_bytes=int(share_bytes(tail_share(graph, ops, block, on), on)),
            flash_bytes=sum(_file_bytes(in_file[i]) for i in block),
        )
        for block in blocks
    ]


def _file_bytes(op: OpBytes) -> int:
    return op.operator_bytes + op.tensor_bytes + op.buffer_bytes

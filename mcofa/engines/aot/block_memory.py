"""What blocks of a network take when it runs row by row."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.engines.aot.flash import op_flash_bytes
from mcofa.engines.aot.plan import StreamingRules
from mcofa.engines.engine import BlockMemory
from mcofa.graph import Graph
from mcofa.ops.target import Target


def aot_block_memories(
    graph: Graph, blocks: Sequence[range], on: Target, streams_input: bool
) -> list[BlockMemory]:
    """Return what each block takes: the least that any cut into spans needs where it runs.

    That is the arena that the network would need if only the spans with an op of the block took
    anything, so no arena is below the largest share. Rows of neighbours count where they run in the
    same span.

    Raises:
        UnstreamableInputError: the input has no rows to be given one by one.
    """
    rules = StreamingRules(graph, on, streams_input)
    spans, inputs = rules.span_bytes(over_input=True), rules.flow.inputs
    steps = [range(block.start + inputs, block.stop + inputs) for block in blocks]
    return [
        BlockMemory(least_bytes, 0, sum(op_flash_bytes(graph, graph.ops[i]) for i in block))
        for block, least_bytes in zip(blocks, spans.least_touching(steps), strict=True)
    ]

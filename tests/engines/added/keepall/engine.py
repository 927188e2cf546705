"""Engine ``keepall``, the smallest one: each tensor has memory of its own, an op takes as long as its output.

It is no use on a device. It shows what an engine must say; ``test_add_engine.py`` shows that this is all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.engines.engine import BlockMemory, BlockShare, Flash, Needs
from mcofa.engines.latency import LatencyEstimate
from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, Plan, aligned, peak
from mcofa.memory.population import NO_BLOCK, BlockBuffers, PopulationPlanner, greedy_blocks
from mcofa.memory.timeline import Timeline, placed_buffers, timeline_rows
from mcofa.ops.target import Target

Integers = npt.NDArray[np.int64]

_INTERPRETER_BYTES = 4_096


def _stored(graph: Graph) -> list[tuple[int, Buffer]]:
    """Each tensor that an op writes or the image fills, from its first step to the end."""
    last = len(graph.ops) + 1
    inputs = [(index, 0) for index in graph.inputs]
    written = [(index, step) for step, op in enumerate(graph.ops, 1) for index in op.outputs]
    return [(index, Buffer(graph.tensors[index].bytes, step, last)) for index, step in inputs + written]


def _bytes(graph: Graph, span: range) -> int:
    """What the outputs of some consecutive ops take."""
    return sum(aligned(graph.tensors[index].bytes) for i in span for index in graph.ops[i].outputs)


def _constant_bytes(graph: Graph, span: range) -> int:
    read = {index for i in span for index in graph.ops[i].inputs if index >= 0}
    return sum(graph.tensors[index].bytes for index in read if graph.tensors[index].constant)


def _instructions(graph: Graph, span: range) -> int:
    return sum(graph.tensors[index].items for i in span for index in graph.ops[i].outputs)


class _Population:
    """Of a block the bytes of its tensors are added up; the input is the same for every network."""

    def __init__(self, graph: Graph) -> None:
        self._input_bytes = sum(aligned(graph.tensors[index].bytes) for index in graph.inputs)

    def shares(self, graph: Graph, blocks: Sequence[range]) -> list[BlockShare]:
        planned = greedy_blocks([buffer for _, buffer in _stored(graph)], [], blocks)
        return [
            BlockShare([_bytes(graph, span)], {}, _instructions(graph, span), *found)
            for span, found in zip(blocks, planned, strict=True)
        ]

    def planner(self, planned: Sequence[BlockBuffers]) -> PopulationPlanner:
        return PopulationPlanner([NO_BLOCK, *planned])

    def arena_bytes(self, head_bytes: Integers, amounts: Integers, sums: Integers) -> Integers:
        return self._input_bytes + sums[:, 0]

    def flash_bytes(self, sums: Integers, model_bytes: Integers, code_bytes: Integers) -> Integers:
        return model_bytes + code_bytes + _INTERPRETER_BYTES


class KeepAll:
    """The engine; see ``mcofa.engines.engine.Engine`` for what each method means."""

    name = "keepall"
    keeps_model_file = True
    has_kernel_sets = False
    has_versions = False
    can_stream_input = False
    counted = "Arena: each tensor. Flash: model and a little more."

    def needs(self, graph: Graph, board: Board, model_bytes: int, *, streams_input: bool = False) -> Needs:
        arena_bytes = sum(aligned(buffer.bytes) for _, buffer in _stored(graph))
        return Needs(arena_bytes, Flash(model_bytes, 0, _INTERPRETER_BYTES))

    def latency(self, graph: Graph, board: Board) -> LatencyEstimate:
        instructions = _instructions(graph, range(len(graph.ops)))
        return LatencyEstimate(instructions, 1_000 * instructions / board.clock_hz, relative_error=1.0)

    def arena_figures(self, graph: Graph, on: Target, *, streams_input: bool = False) -> dict[str, int]:
        return {"arena_bytes": sum(aligned(buffer.bytes) for _, buffer in _stored(graph))}

    def timeline(self, graph: Graph, on: Target, *, streams_input: bool = False) -> Timeline:
        stored = _stored(graph)
        buffers = [buffer for _, buffer in stored]
        sizes = [aligned(buffer.bytes) for buffer in buffers]
        plan = Plan(tuple(sum(sizes[:i]) for i in range(len(sizes))), sum(sizes))
        placed = placed_buffers(graph, buffers, [(index,) for index, _ in stored], plan)
        rows = timeline_rows(graph, placed)
        total_bytes = plan.total_bytes
        return Timeline(f"{on.name}, keepall", rows, placed, total_bytes, peak(buffers), total_bytes)

    def block_memories(
        self, graph: Graph, blocks: Sequence[range], on: Target, *, streams_input: bool = False
    ) -> list[BlockMemory]:
        return [BlockMemory(0, _bytes(graph, span), _constant_bytes(graph, span)) for span in blocks]

    def population(self, graph: Graph, board: Board, *, streams_input: bool = False) -> _Population:
        return _Population(graph)


ENGINE = KeepAll()

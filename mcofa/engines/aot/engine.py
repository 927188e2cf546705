"""Engine ``aot``: generated C that needs no runtime and no model file on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcofa.boards import Board
from mcofa.engines.aot.block_memory import aot_block_memories
from mcofa.engines.aot.executed import executed
from mcofa.engines.aot.flash import aot_flash
from mcofa.engines.aot.latency import KERNELS, LATENCIES
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.aot.population import AotPopulation
from mcofa.engines.aot.timeline import aot_timeline, span_figures
from mcofa.engines.engine import BlockMemory, JointArena, Needs
from mcofa.engines.latency import LatencyEstimate
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import Graph
from mcofa.memory.timeline import Timeline
from mcofa.ops.target import Target


class AotEngine:
    """Generated C: the arena is exact, the flash at most a little too high."""

    name = "aot"
    keeps_model_file = False
    has_kernel_sets = False
    has_versions = False
    can_stream_input = True
    counted = "Arena: what the generated C uses. Flash: generated C, weights and firmware."

    def needs(self, graph: Graph, board: Board, model_bytes: int, *, streams_input: bool = False) -> Needs:
        """Return planned activations and scratch, and constants, kernels and firmware."""
        on, graph = board_target(board), executed(graph).graph
        return Needs(plan_aot(graph, on, streams_input).arena_bytes, aot_flash(graph, on))

    def latency(self, graph: Graph, board: Board) -> LatencyEstimate:
        """Return an estimate of how long one inference takes."""
        return LATENCIES.estimate(executed(graph).graph, board.core, KERNELS, board.clock_hz)

    def arena_figures(self, graph: Graph, on: Target, *, streams_input: bool = False) -> dict[str, Any]:
        """Return the arena, with the image in it and row by row, and what each span keeps."""
        return span_figures(executed(graph).graph, on, streams_input)

    def joint_arena(self, graphs: Sequence[Graph], on: Target, *, streams_input: bool = False) -> JointArena:
        """Return the largest arena: generated C keeps nothing between runs."""
        arena_bytes = max(plan_aot(executed(graph).graph, on, streams_input).arena_bytes for graph in graphs)
        return JointArena(arena_bytes, arena_bytes, (0,) * len(graphs))

    def timeline(self, graph: Graph, on: Target, *, streams_input: bool = False) -> Timeline:
        """Return where each storage of tensors lies, op by op."""
        return aot_timeline(executed(graph).graph, on, streams_input)

    def block_memories(
        self, graph: Graph, blocks: Sequence[range], on: Target, *, streams_input: bool = False
    ) -> list[BlockMemory]:
        """Return what the spans take that run each block, and its constants and calls."""
        return aot_block_memories(graph, blocks, on, streams_input)

    def population(self, graph: Graph, board: Board, *, streams_input: bool = False) -> AotPopulation:
        """Return the accounting for a space that ``graph`` is a network of."""
        return AotPopulation(graph, board, streams_input)


ENGINE = AotEngine()

"""Engine ``tflm``: TensorFlow Lite Micro's interpreter, its arena and the model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcofa.boards import Board
from mcofa.engines.engine import BlockMemory, Flash, JointArena, Needs
from mcofa.engines.latency import Latencies, LatencyEstimate
from mcofa.engines.tflm.arena import account, joint_account
from mcofa.engines.tflm.block_memory import tflm_block_memories
from mcofa.engines.tflm.population import TflmPopulation
from mcofa.engines.tflm.runtime_code import graph_code_bytes, uncounted_ops
from mcofa.engines.tflm.targets import board_target
from mcofa.engines.tflm.timeline import tflm_timeline
from mcofa.errors import UnstreamableInputError
from mcofa.graph import Graph
from mcofa.memory.timeline import Timeline
from mcofa.ops.target import Target

COEFFICIENTS_FILE = Path(__file__).with_name("latency_coefficients.json")
LATENCIES = Latencies(COEFFICIENTS_FILE)
_ARENA_FIGURES = (
    "head_bytes",
    "tail_bytes",
    "recording_tail_bytes",
    "arena_used_bytes",
    "minimum_bytes",
    "minimum_cause",
    "breakdown",
)


class TflmEngine:
    """TensorFlow Lite Micro: arena and file exact, the code as linked, the latency estimated."""

    name = "tflm"
    keeps_model_file = True
    has_kernel_sets = True
    has_versions = True
    can_stream_input = False
    counted = (
        "Arena: the minimum that TensorFlow Lite Micro needs on the core. Flash: model, runtime and firmware."
    )

    def needs(self, graph: Graph, board: Board, model_bytes: int, *, streams_input: bool = False) -> Needs:
        """Return the smallest arena that the model starts in, and model, runtime and firmware."""
        _check_not_streamed(streams_input)
        arena = account(graph, board_target(board))
        assert arena.minimum_bytes is not None
        return Needs(
            arena_bytes=arena.minimum_bytes,
            flash=Flash(
                model_bytes,
                graph_code_bytes(graph, board),
                board.reserved.firmware_flash_bytes,
                uncounted_ops(graph, board),
            ),
        )

    def latency(self, graph: Graph, board: Board) -> LatencyEstimate:
        """Return an estimate of how long one inference takes."""
        return LATENCIES.estimate(graph, board.core, board.kernels, board.clock_hz)

    def arena_figures(self, graph: Graph, on: Target, *, streams_input: bool = False) -> dict[str, Any]:
        """Return head, tail, minimum and what decides it; None for what x86-64 does not give."""
        _check_not_streamed(streams_input)
        arena = account(graph, on)
        return {key: getattr(arena, key) for key in _ARENA_FIGURES}

    def joint_arena(self, graphs: Sequence[Graph], on: Target, *, streams_input: bool = False) -> JointArena:
        """Return the arena of an allocator that the graphs' interpreters share."""
        _check_not_streamed(streams_input)
        return joint_account(graphs, on)

    def timeline(self, graph: Graph, on: Target, *, streams_input: bool = False) -> Timeline:
        """Return where each tensor lies, op by op."""
        _check_not_streamed(streams_input)
        return tflm_timeline(graph, on)

    def block_memories(
        self, graph: Graph, blocks: Sequence[range], on: Target, *, streams_input: bool = False
    ) -> list[BlockMemory]:
        """Return the live bytes, the part of the tail and the part of the model file of each block."""
        _check_not_streamed(streams_input)
        return tflm_block_memories(graph, blocks, on)

    def population(self, graph: Graph, board: Board, *, streams_input: bool = False) -> TflmPopulation:
        """Return the accounting for a space that ``graph`` is a network of."""
        _check_not_streamed(streams_input)
        return TflmPopulation(graph, board, LATENCIES)


def _check_not_streamed(streams_input: bool) -> None:
    if streams_input:
        raise UnstreamableInputError("engine tflm takes the image as a whole, not row by row")


ENGINE = TflmEngine()

"""Engine ``aot``: generated C that needs no runtime and no model file on the device."""

from __future__ import annotations

from typing import Any

from mcofa.boards import Board
from mcofa.engines.aot.arena import aot_arena_bytes, solved_plan, storages
from mcofa.engines.aot.flash import aot_flash
from mcofa.engines.aot.latency import KERNELS, LATENCIES
from mcofa.engines.aot.population import AotPopulation
from mcofa.engines.aot.timeline import aot_timeline
from mcofa.engines.engine import Needs
from mcofa.engines.latency import LatencyEstimate
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import Graph
from mcofa.memory.timeline import Timeline
from mcofa.ops.target import Target


class AotEngine:
    """Generated C: the arena is that of the greedy plan; arena and flash are at most a little too high."""

    name = "aot"
    keeps_model_file = False
    has_kernel_sets = False
    counted = "Arena: what the generated C uses. Flash: generated C, weights and firmware."

    def needs(self, graph: Graph, board: Board, model_bytes: int) -> Needs:
        """Return planned activations and scratch, and constants, kernels and firmware."""
        on = board_target(board)
        return Needs(aot_arena_bytes(graph, on), aot_flash(graph, on))

    def deployed_arena_bytes(self, graph: Graph, board: Board) -> int:
        """Return the arena of the plan that the generated C carries, which a solver made."""
        return solved_plan(storages(graph, board_target(board))).total_bytes

    def latency(self, graph: Graph, board: Board) -> LatencyEstimate:
        """Return an estimate of how long one inference takes."""
        return LATENCIES.estimate(graph, board.core, KERNELS, board.clock_hz)

    def arena_figures(self, graph: Graph, on: Target) -> dict[str, Any]:
        """Return the arena of the greedy plan: there is nothing else in it."""
        return {"arena_bytes": aot_arena_bytes(graph, on)}

    def timeline(self, graph: Graph, on: Target) -> Timeline:
        """Return where each storage of tensors lies by the greedy plan, op by op."""
        return aot_timeline(graph, on)

    def population(self, graph: Graph, board: Board) -> AotPopulation:
        """Return the accounting for a space that ``graph`` is a network of."""
        return AotPopulation(graph, board)


ENGINE = AotEngine()

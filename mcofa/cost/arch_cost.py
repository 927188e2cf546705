"""What an arch costs on a board: arena, flash, MACs and (estimated) latency."""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.boards import Board
from mcofa.engines.engine import DEFAULT_ENGINE, Needs, load_engine
from mcofa.engines.latency import LatencyEstimate
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.graph import Graph, Op
from mcofa.lowering import lower
from mcofa.ops import OPERATORS
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one arch on one board with one engine.

    ``model_bytes`` is the size of the exporter's file, which is on the device only where the engine
    keeps it; ``needs`` says what the engine needs; ``latency`` is an estimate.
    """

    model_bytes: int
    needs: Needs
    macs: int
    latency: LatencyEstimate

    @property
    def arena_bytes(self) -> int:
        """The arena to reserve."""
        return self.needs.arena_bytes

    @property
    def flash_bytes(self) -> int:
        """The flash of the whole program, test images apart."""
        return self.needs.flash.total_bytes

    @property
    def latency_ms(self) -> float:
        """The estimated latency."""
        return self.latency.latency_ms


def cost(
    space: SearchSpace,
    arch: Arch,
    board: Board,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> Cost:
    """Return what ``arch`` costs on ``board`` with ``engine``.

    With ``streams_input`` the image arrives row by row, and is never in the arena as a whole.

    Raises:
        InvalidArchError: the arch is not in the space.
        UnknownNameError: there is no such engine.
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    graph, runs_it = lower(space, arch), load_engine(engine)
    model_bytes = model_file_bytes(graph)
    return Cost(
        model_bytes=model_bytes,
        needs=runs_it.needs(graph, board, model_bytes, streams_input=streams_input),
        macs=graph_macs(graph),
        latency=runs_it.latency(graph, board),
    )


def graph_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of one inference."""
    return sum(op_macs(graph, op) for op in graph.ops)


def op_macs(graph: Graph, op: Op) -> int:
    """Return the multiply-accumulates of an op with weights; 0 for other ops."""
    return OPERATORS[op.kind].macs(graph, op)

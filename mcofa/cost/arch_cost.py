"""What an arch costs on a board: arena, flash, MACs and (estimated) latency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcofa.boards import Board
from mcofa.engines.aot.arena import aot_arena_bytes
from mcofa.engines.aot.flash import aot_code_bytes, aot_flash_bytes
from mcofa.engines.tflm import Arena, Target, account, target
from mcofa.engines.tflm.latency import LatencyEstimate, estimate
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.engines.tflm.runtime_code import runtime_code_bytes
from mcofa.graph import Graph, Op
from mcofa.lowering import lower
from mcofa.ops import OPERATORS
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace

EngineName = Literal["tflm", "aot"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one arch on one board.

    ``model_bytes`` is the size that the exporter's file has, ``runtime_code_bytes`` what the
    runtime takes with the ops of this network; ``flash_bytes`` adds to both what the board
    reserves for the firmware. ``latency`` is an estimate, the other figures are exact.

    With engine ``aot`` there is no runtime and no model file on the device: ``arena`` is None,
    ``arena_bytes`` that of the greedy plan, ``runtime_code_bytes`` the code of the kernels,
    ``flash_bytes`` that of the whole program, both at most a little too high. The latency is that of
    engine ``tflm``, which takes longer.
    """

    arena: Arena | None
    arena_bytes: int
    model_bytes: int
    runtime_code_bytes: int
    flash_bytes: int
    macs: int
    latency: LatencyEstimate


def board_target(board: Board) -> Target:
    """Return the memory-accounting target of a board: its core and kernel set."""
    return target(board.core, board.kernels)


def cost(space: SearchSpace, arch: Arch, board: Board, engine: EngineName = "tflm") -> Cost:
    """Return what ``arch`` costs on ``board`` with ``engine``.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    graph, on = lower(space, arch), board_target(board)
    model_bytes = model_file_bytes(graph)
    arena = None
    if engine == "aot":
        arena_bytes, code_bytes = aot_arena_bytes(graph, on), aot_code_bytes(graph, on)
        flash_bytes = aot_flash_bytes(graph, on)
    else:
        arena = account(graph, on)
        assert arena.minimum_bytes is not None
        arena_bytes, code_bytes = arena.minimum_bytes, graph_code_bytes(graph, board)
        flash_bytes = model_bytes + code_bytes + board.reserved.firmware_flash_bytes
    return Cost(
        arena=arena,
        arena_bytes=arena_bytes,
        model_bytes=model_bytes,
        runtime_code_bytes=code_bytes,
        flash_bytes=flash_bytes,
        macs=graph_macs(graph),
        latency=estimate(graph, board.core, board.kernels, board.clock_hz),
    )


def graph_code_bytes(graph: Graph, board: Board) -> int:
    """Return the flash that the runtime takes on ``board`` with the ops of ``graph``."""
    return runtime_code_bytes({op.kind for op in graph.ops}, board.core, board.kernels)


def graph_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of one inference."""
    return sum(op_macs(graph, op) for op in graph.ops)


def op_macs(graph: Graph, op: Op) -> int:
    """Return the multiply-accumulates of an op with weights; 0 for other ops."""
    return OPERATORS[op.kind].macs(graph, op)

"""What an arch costs on a board: arena, flash, MACs and (estimated) latency."""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.arch import Arch
from mcofa.boards import Board
from mcofa.graph import Graph, Op, OpKind, lower
from mcofa.latency import LatencyEstimate, estimate
from mcofa.model_file import model_file_bytes
from mcofa.space import SearchSpace
from mcofa.tflm import Arena, Target, account, target


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one arch on one board.

    ``flash_bytes`` is the model file plus what the board reserves for the runtime's
    code and the firmware. ``model_bytes`` is the size that the exporter's file has.
    ``latency`` is an estimate, the other figures are exact.
    """

    arena: Arena
    arena_bytes: int
    model_bytes: int
    flash_bytes: int
    macs: int
    latency: LatencyEstimate


def board_target(board: Board) -> Target:
    """Return the memory-accounting target of a board: its core and kernel set."""
    return target(board.core, board.kernels)


def cost(space: SearchSpace, arch: Arch, board: Board) -> Cost:
    """Return what ``arch`` costs on ``board``.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    graph = lower(space, arch)
    arena = account(graph, board_target(board))
    assert arena.minimum_bytes is not None
    model_bytes = model_file_bytes(graph)
    return Cost(
        arena=arena,
        arena_bytes=arena.minimum_bytes,
        model_bytes=model_bytes,
        flash_bytes=model_bytes + reserved_flash_bytes(board),
        macs=graph_macs(graph),
        latency=estimate(graph, board.core, board.kernels, board.clock_hz),
    )


def flash_limit_bytes(board: Board) -> int:
    """Return the most that ``Cost.flash_bytes`` may be: the model's budget and what is reserved."""
    return board.flash_budget_bytes + reserved_flash_bytes(board)


def reserved_flash_bytes(board: Board) -> int:
    """Return the flash that the runtime's code and the firmware take besides the model."""
    return board.reserved.runtime_code_bytes + board.reserved.firmware_flash_bytes


def graph_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of one inference."""
    return sum(op_macs(graph, op) for op in graph.ops)


def op_macs(graph: Graph, op: Op) -> int:
    """Return the multiply-accumulates of a convolution; 0 for other ops."""
    if op.kind not in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D):
        return 0
    _, rows, columns, width = graph.tensors[op.outputs[0]].shape
    filter_shape = graph.tensors[op.inputs[1]].shape
    taps = filter_shape[1] * filter_shape[2]
    inputs = filter_shape[3] if op.kind is OpKind.CONV_2D else 1
    return rows * columns * width * taps * inputs

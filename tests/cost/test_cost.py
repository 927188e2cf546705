from __future__ import annotations

import dataclasses

import pytest

from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost, graph_macs, op_macs
from mcofa.engines.tflm import account
from mcofa.engines.tflm.runtime_code import graph_code_bytes
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import InvalidArchError
from mcofa.graph import OpKind
from mcofa.lowering import lower
from mcofa.space.search_space import SearchSpace, load_space


def test_macs_of_the_smallest_arch_by_hand(tiny_space: SearchSpace) -> None:
    graph = lower(tiny_space, tiny_space.smallest())
    assert [op_macs(graph, op) for op in graph.ops if "CONV" in op.kind] == [
        6 * 6 * 8 * 9 * 1,  # stem
        6 * 6 * 8 * 9,  # first block: depthwise and project
        6 * 6 * 8 * 8,
        6 * 6 * 8 * 9,  # stage 1
        6 * 6 * 8 * 8,
        3 * 3 * 8 * 9,  # stage 2: depthwise, squeeze, excite, project
        8 * 8,
        8 * 8,
        3 * 3 * 16 * 8,
        3 * 3 * 32 * 16,  # head
        16 * 32,
        10 * 16,
    ]
    assert graph_macs(graph) == 19_592
    assert all(op_macs(graph, op) == 0 for op in graph.ops if op.kind in (OpKind.ADD, OpKind.HARD_SWISH))


def test_macs_of_the_smallest_micro_arch_by_hand() -> None:
    space = load_space("mcofa-micro")
    assert graph_macs(lower(space, space.smallest())) == (
        784 * 4 * (9 + 9 + 8)  # stem and first block at 28 × 28
        + 196 * 8 * (9 + 16)  # stage 1, which does not expand; nor do the others
        + 49 * 16 * (9 + 40)  # stage 2
        + 16 * 40 * (9 + 48) + 2 * 40 * 16  # stage 3 with squeeze-excite
        + 16 * 48 * 96 + 96 * 48 + 48 * 10  # head
    ) == 275_728  # fmt: skip


@pytest.mark.parametrize("name", ["stm32f746", "rp2040"])
def test_parts_add_up(tiny_space: SearchSpace, name: str) -> None:
    board = load_board(name)
    found = cost(tiny_space, tiny_space.largest(), board)
    graph = lower(tiny_space, tiny_space.largest())
    arena = account(graph, board_target(board))
    assert (arena.target.name, arena.target.kernels) == (board.core, board.kernels)
    assert found.arena_bytes == arena.minimum_bytes
    assert found.arena_bytes % 16 == 0
    assert found.needs.flash.code_bytes == graph_code_bytes(graph, board)
    firmware_bytes = board.reserved.firmware_flash_bytes
    assert found.flash_bytes == found.model_bytes + found.needs.flash.code_bytes + firmware_bytes
    assert found.model_bytes > sum(tensor.bytes for tensor in graph.tensors if tensor.constant)


def test_other_kernels_take_other_code(tiny_space: SearchSpace) -> None:
    board = load_board("nrf52840")
    arch = tiny_space.smallest()
    fast = cost(tiny_space, arch, board)
    portable = cost(tiny_space, arch, dataclasses.replace(board, kernels="reference"))
    assert portable.model_bytes == fast.model_bytes
    assert (
        fast.flash_bytes - portable.flash_bytes
        == fast.needs.flash.code_bytes - portable.needs.flash.code_bytes
        > 0
    )


def test_larger_archs_cost_more(tiny_space: SearchSpace) -> None:
    board = load_board("stm32f103")
    small, large = (cost(tiny_space, arch, board) for arch in (tiny_space.smallest(), tiny_space.largest()))
    assert small.arena_bytes < large.arena_bytes
    assert small.flash_bytes < large.flash_bytes
    assert small.macs < large.macs


def test_refuses_an_arch_of_another_space(tiny_space: SearchSpace) -> None:
    with pytest.raises(InvalidArchError):
        cost(tiny_space, load_space("mcofa-micro").smallest(), load_board("rp2040"))

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.engines.tflm import Target, account, head_plan, op_memory, planned_buffers, target
from mcofa.engines.tflm.offline import plan_graph
from mcofa.errors import McofaError, UnsupportedOpError
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import lower
from mcofa.memory.offline import plan_offline
from mcofa.memory.plan import Buffer, Plan, lower_bound, plan_around, plan_greedy, plan_in_order, validate
from mcofa.space.search_space import load_space

M7 = target("cortex-m7", "cmsis-nn")
LIMIT_SECONDS = 1.0

# Buffers as (bytes, first step, last step), the total of the greedy plan, the best total.
CASES = [
    ([], 0, 0),
    ([(100, 0, 3)], 112, 112),
    ([(32, 0, 1), (16, 1, 2), (16, 2, 3), (32, 3, 3)], 64, 48),  # a chain: 2, 1, 1, 2
    ([(16, 0, 1), (32, 1, 2), (16, 2, 3), (16, 3, 4), (32, 4, 4)], 64, 48),
    ([(0, 0, 9), (32, 0, 1), (16, 1, 2), (1, 2, 3), (32, 3, 3)], 64, 48),
    # No step has more than 112 live bytes, yet no plan is that small.
    (
        [(16, 1, 3), (32, 3, 4), (32, 1, 4), (64, 0, 0), (48, 0, 2), (64, 5, 6), (48, 4, 6)],
        128,
        128,
    ),
]

steps = st.integers(0, 9)
buffer_lists = st.lists(
    st.builds(
        lambda size, first, length: Buffer(size, first, first + length), st.integers(0, 400), steps, steps
    ),
    max_size=24,
)


@pytest.mark.parametrize(("drawn", "greedy", "best"), CASES)
def test_totals_by_hand(drawn: list[tuple[int, int, int]], greedy: int, best: int) -> None:
    buffers = [Buffer(*entry) for entry in drawn]
    found = plan_offline(buffers, LIMIT_SECONDS)
    validate(buffers, found.plan)
    assert plan_greedy(buffers).total_bytes == greedy
    assert (found.plan.total_bytes, found.proven_optimal) == (best, True)
    assert not 0 < len(buffers) < 8 or smallest_total(buffers) == best


@given(buffer_lists)
@settings(max_examples=100)
def test_plans_are_valid_and_between_bound_and_greedy(buffers: list[Buffer]) -> None:
    found = plan_offline(buffers, LIMIT_SECONDS)
    validate(buffers, found.plan)
    assert lower_bound(buffers) <= found.lower_bound_bytes <= found.plan.total_bytes
    assert found.plan.total_bytes <= plan_greedy(buffers).total_bytes
    assert plan_offline(buffers, LIMIT_SECONDS) == found


def smallest_total(buffers: list[Buffer]) -> int:
    """The smallest total by trying every order.

    In a smallest plan every buffer can slide down until it rests on another or on 0;
    placing the buffers by these offsets gives it again.
    """
    orders = itertools.permutations(range(len(buffers)))
    return min(plan_in_order(buffers, order).total_bytes for order in orders)


@given(
    st.lists(
        st.builds(lambda units, first, length: Buffer(16 * units, first, first + length),
                  st.integers(1, 5), st.integers(0, 4), st.integers(0, 2)),
        min_size=4, max_size=6,
    )
)  # fmt: skip
@settings(max_examples=60)
def test_small_plans_are_the_smallest(buffers: list[Buffer]) -> None:
    found = plan_offline(buffers, 30)
    assert found.proven_optimal
    assert found.plan.total_bytes == smallest_total(buffers)


def hard_buffers(count: int) -> list[Buffer]:
    """Random buffers with long lives, which no cheap order packs well."""
    rng = np.random.default_rng(2)
    drawn = rng.integers((1, 0, 0), (60_000, count // 4, 30), (count, 3)).tolist()
    return [Buffer(size, first, first + length) for size, first, length in drawn]


@pytest.mark.parametrize("limit_seconds", [0.0, 0.05])
def test_a_limit_is_kept_and_told(limit_seconds: float) -> None:
    buffers = hard_buffers(200)
    found = plan_offline(buffers, limit_seconds)
    validate(buffers, found.plan)
    assert not found.proven_optimal
    assert lower_bound(buffers) <= found.lower_bound_bytes < found.plan.total_bytes
    assert found == plan_offline(buffers, limit_seconds)


@pytest.mark.slow
def test_more_time_gives_a_smaller_plan() -> None:
    buffers = hard_buffers(120)
    found = plan_offline(buffers, 3)
    validate(buffers, found.plan)
    assert found.plan.total_bytes < plan_offline(buffers, 0).plan.total_bytes


def test_ortools_is_asked_for_only_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    assert plan_offline([Buffer(16, 0, 1), Buffer(16, 1, 2)], 1).proven_optimal
    with pytest.raises(McofaError, match="ortools is not installed"):
        plan_offline(hard_buffers(200), 1)


@given(buffer_lists, st.lists(st.tuples(st.integers(1, 400), steps), max_size=10, unique_by=lambda s: s[1]))
@settings(max_examples=60)
def test_one_scratch_a_step_fits_where_it_was_planned(
    tensors: list[Buffer], scratch: list[tuple[int, int]]
) -> None:
    """TFLM takes the lowest gap, so it cannot end above the gap that the plan kept."""
    buffers = [*tensors, *(Buffer(size, step, step) for size, step in scratch)]
    plan = plan_offline(buffers, LIMIT_SECONDS).plan
    by_tflm = plan_around(buffers, dict(enumerate(plan.offsets[: len(tensors)])))
    validate(buffers, by_tflm)
    assert by_tflm.total_bytes <= plan.total_bytes


def chain(*channels: int) -> Graph:
    """1×1 convolutions on 8×8 pixels."""
    tensors, ops = [Tensor((1, 8, 8, channels[0]))], []
    for source, width in itertools.pairwise(channels):
        at = len(tensors)
        tensors += [
            Tensor((width, 1, 1, source), constant=True, scales=width),
            Tensor((width,), DType.INT32, constant=True, scales=width),
            Tensor((1, 8, 8, width)),
        ]
        ops.append(Op(OpKind.CONV_2D, (at - 1, at, at + 1), (at + 2,)))
    return Graph(tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


@pytest.mark.parametrize("on", [target("x86-64", "reference"), M7])
def test_a_chain_that_greedy_plans_badly(on: Target) -> None:
    planned = plan_graph(chain(32, 16, 16, 32), on, LIMIT_SECONDS)
    assert (planned.before.head_bytes, planned.after.head_bytes) == (4096, 3072)
    assert (planned.saved_bytes, planned.lower_bound_bytes, planned.proven_optimal) == (1024, 3072, True)
    assert planned.graph.offline_offsets is not None
    assert [offset == -1 for offset in planned.graph.offline_offsets] == [
        tensor.constant for tensor in planned.graph.tensors
    ]
    assert account(planned.graph, on) == planned.after
    assert plan_graph(planned.graph, on, LIMIT_SECONDS).graph is planned.graph


def test_nothing_to_save_leaves_the_graph_alone() -> None:
    graph = chain(16, 32, 16)
    planned = plan_graph(graph, M7, LIMIT_SECONDS)
    assert planned.graph is graph
    assert planned.after is planned.before
    assert (planned.saved_bytes, planned.proven_optimal) == (0, True)


def test_a_smaller_head_that_does_not_make_the_arena_smaller_is_not_taken() -> None:
    graph = chain(2, 1, 1, 2)
    planned = plan_graph(graph, M7, LIMIT_SECONDS)
    assert planned.graph is graph
    assert (planned.before.head_bytes, planned.lower_bound_bytes, planned.proven_optimal) == (256, 192, False)


def test_a_bad_plan_is_replaced() -> None:
    graph = chain(32, 16, 16, 32)
    offsets = [-1] * len(graph.tensors)
    offsets[0], offsets[-1] = 8000, 12000
    bad = Graph(graph.tensors, graph.ops, graph.inputs, graph.outputs, tuple(offsets))
    planned = plan_graph(bad, M7, LIMIT_SECONDS)
    assert (planned.before.head_bytes, planned.after.head_bytes) == (14048, 3072)


def test_unsupported_ops_are_named() -> None:
    unsigned = Tensor((1, 8), DType.UINT8)
    graph = Graph((unsigned, unsigned), (Op(OpKind.RELU, (0,), (1,)),), (0,), (1,))
    with pytest.raises(UnsupportedOpError, match="RELU"):
        plan_graph(graph, M7, LIMIT_SECONDS)


@pytest.mark.parametrize("core", ["x86-64", "cortex-m7"])
def test_archs_of_mcofa_micro(core: str) -> None:
    """TFLM's placement, scratch included, is valid, proven smallest, and now and then smaller than before."""
    on = target(core, "reference" if core == "x86-64" else "cmsis-nn")
    space = load_space("mcofa-micro")
    genomes = space.sample(60, np.random.default_rng(1))
    saved = 0
    for genome in genomes:
        graph = lower(space, space.decode(genome))
        planned = plan_graph(graph, on, LIMIT_SECONDS)
        buffers = planned_buffers(graph, [op_memory(graph, op, on) for op in graph.ops])
        by_tflm = head_plan(planned.graph, buffers)
        validate(buffers, by_tflm)
        assert planned.lower_bound_bytes <= by_tflm.total_bytes <= planned.before.head_bytes
        assert by_tflm == Plan(by_tflm.offsets, planned.after.head_bytes)
        assert planned.proven_optimal
        assert account(graph, on) == planned.before
        saved += planned.saved_bytes > 0
    assert saved >= 3

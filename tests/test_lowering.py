from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from mcofa.cost.arch_cost import graph_macs, op_macs
from mcofa.errors import InvalidArchError
from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.lowering import lower, lower_with_blocks
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.space.topology import HEAD, STEM

CONVOLUTIONS = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)


def changed(space: SearchSpace, **keys: Any) -> SearchSpace:
    return SearchSpace.model_validate(space.model_dump() | keys)


@pytest.fixture(scope="session")
def odd_space(tiny_space: SearchSpace) -> SearchSpace:
    """Sides that strides of 2 do not divide, three channels, a stage that halves but does not widen."""
    stages = [{**stage.model_dump(), "width": 8, "stride": 2} for stage in tiny_space.stages]
    return changed(tiny_space, resolutions=[13, 15, 17], input_channels=3, stages=stages)


@pytest.fixture(params=["micro", "tiny", "odd"])
def space(request: pytest.FixtureRequest, tiny_space: SearchSpace, odd_space: SearchSpace) -> SearchSpace:
    return {"micro": load_space("mcofa-micro"), "tiny": tiny_space, "odd": odd_space}[request.param]


def random_graphs(space: SearchSpace, count: int) -> list[Graph]:
    return [lower(space, space.decode(row)) for row in space.sample(count, np.random.default_rng(5))]


def describe(graph: Graph, op: Op) -> tuple[str, tuple[int, ...], str]:
    return op.kind.value, graph.tensors[op.outputs[0]].shape[1:], op.activation


def test_smallest_arch_by_hand(tiny_space: SearchSpace) -> None:
    graph = lower(tiny_space, tiny_space.smallest())
    assert graph.tensors[graph.inputs[0]].shape == (1, 12, 12, 1)
    assert [describe(graph, op) for op in graph.ops] == [
        # stem and first block, of equal width: a shortcut
        ("CONV_2D", (6, 6, 8), "RELU"),
        ("DEPTHWISE_CONV_2D", (6, 6, 8), "RELU"),
        ("CONV_2D", (6, 6, 8), "NONE"),
        ("ADD", (6, 6, 8), "NONE"),
        # stage 1: expand ratio 1, so no expand
        ("DEPTHWISE_CONV_2D", (6, 6, 8), "RELU"),
        ("CONV_2D", (6, 6, 8), "NONE"),
        ("ADD", (6, 6, 8), "NONE"),
        # stage 2: stride 2, hard swish, squeeze-excite
        ("DEPTHWISE_CONV_2D", (3, 3, 8), "NONE"),
        ("HARD_SWISH", (3, 3, 8), "NONE"),
        ("AVERAGE_POOL_2D", (1, 1, 8), "NONE"),
        ("CONV_2D", (1, 1, 8), "RELU"),
        ("CONV_2D", (1, 1, 8), "NONE"),
        ("MUL", (3, 3, 8), "NONE"),
        ("CONV_2D", (3, 3, 16), "NONE"),
        # head
        ("CONV_2D", (3, 3, 32), "NONE"),
        ("HARD_SWISH", (3, 3, 32), "NONE"),
        ("AVERAGE_POOL_2D", (1, 1, 32), "NONE"),
        ("CONV_2D", (1, 1, 16), "NONE"),
        ("HARD_SWISH", (1, 1, 16), "NONE"),
        ("CONV_2D", (1, 1, 10), "NONE"),
    ]


def test_activations_are_produced_once_and_before_use(space: SearchSpace) -> None:
    for graph in random_graphs(space, 20):
        ready = {*graph.inputs, *(i for i, tensor in enumerate(graph.tensors) if tensor.constant)}
        used = set(graph.outputs)
        for op in graph.ops:
            assert ready.issuperset(op.inputs)
            assert ready.isdisjoint(op.outputs)
            ready.update(op.outputs)
            used.update(op.inputs)
        assert ready == used == set(range(len(graph.tensors)))


def test_inputs_fit_each_other(space: SearchSpace) -> None:
    for graph in random_graphs(space, 20):
        for op in graph.ops:
            first, *others = (graph.tensors[i].shape for i in op.inputs)
            output = graph.tensors[op.outputs[0]].shape
            if op.kind is OpKind.ADD:
                assert [first] == others == [output]
            elif op.kind is OpKind.MUL:
                assert [(1, 1, 1, first[3])] == others
                assert first == output
            elif op.kind is OpKind.AVERAGE_POOL_2D:
                assert (op.window, op.padding, output) == (first[1:3], "VALID", (1, 1, 1, first[3]))


def test_element_types_and_scales(space: SearchSpace) -> None:
    for graph in random_graphs(space, 5):
        for op in graph.ops:
            if op.kind in CONVOLUTIONS:
                _, weights, bias = (graph.tensors[i] for i in op.inputs)
                width = graph.tensors[op.outputs[0]].shape[3]
                assert (weights.dtype, weights.scales) == (DType.INT8, width)
                assert (bias.dtype, bias.shape, bias.bytes) == (DType.INT32, (width,), 4 * width)
        activations = [tensor for tensor in graph.tensors if not tensor.constant]
        assert all((t.dtype, t.scales, t.shape[0]) == (DType.INT8, 1, 1) for t in activations)


def test_blocks_cover_the_ops_in_order(space: SearchSpace) -> None:
    arch = space.largest()
    graph, blocks = lower_with_blocks(space, arch)
    inner = [(stage, block) for stage, depth in enumerate(arch.depths) for block in range(depth)]
    assert list(blocks) == [STEM, *inner, HEAD]
    ends = [0, *(span.stop for span in blocks.values())]
    assert [span.start for span in blocks.values()] == ends[:-1]
    assert ends[-1] == len(graph.ops)


def test_refuses_an_arch_of_another_space(tiny_space: SearchSpace) -> None:
    with pytest.raises(InvalidArchError):
        lower(tiny_space, load_space("mcofa-micro").smallest())


class SeenConvolution(NamedTuple):
    """One convolution that torch ran, in the graph's layout."""

    output: tuple[int, ...]
    filter: tuple[int, ...]
    stride: tuple[int, int]
    macs: int


def run_in_torch(space: SearchSpace, arch: Arch) -> list[SeenConvolution]:
    import torch

    from mcofa.supernet.network.subnet import Subnet

    seen: list[SeenConvolution] = []

    def see(module: torch.nn.Conv2d, inputs: Any, output: torch.Tensor) -> None:
        weight = module.weight
        layout = (1, 2, 3, 0) if module.groups > 1 else (0, 2, 3, 1)
        seen.append(
            SeenConvolution(
                tuple(output.permute(0, 2, 3, 1).shape),
                tuple(weight.permute(layout).shape),
                (module.stride[0], module.stride[1]),
                output.numel() * weight[0].numel(),
            )
        )

    subnet = Subnet(space, arch).eval()
    for module in subnet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(see)
    with torch.no_grad():
        subnet(torch.zeros(1, space.input_channels, arch.resolution, arch.resolution))
    return seen


@pytest.mark.torch
def test_convolutions_equal_those_that_torch_runs(space: SearchSpace) -> None:
    pytest.importorskip("torch")
    for row in space.sample(8, np.random.default_rng(11)):
        arch = space.decode(row)
        seen = run_in_torch(space, arch)
        graph = lower(space, arch)
        lowered = [
            SeenConvolution(
                graph.tensors[op.outputs[0]].shape,
                graph.tensors[op.inputs[1]].shape,
                op.stride,
                op_macs(graph, op),
            )
            for op in graph.ops
            if op.kind in CONVOLUTIONS
        ]
        assert lowered == seen
        assert graph_macs(graph) == sum(convolution.macs for convolution in seen)
        filter_bytes = sum(
            tensor.bytes for tensor in graph.tensors if tensor.constant and len(tensor.shape) == 4
        )
        assert filter_bytes == sum(math.prod(convolution.filter) for convolution in seen)

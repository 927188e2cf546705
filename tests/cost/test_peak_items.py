from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from depthwise_separable import depthwise_separable_space

from mcofa.cost.arch_cost import graph_macs
from mcofa.cost.peak_items import macs, params, peak_items
from mcofa.graph import Graph, Op, OpKind
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.arch_table import read_archs
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace, load_space, space_names

CONVOLUTIONS = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)

# File of published records, and how many it holds.
RECORDS = {"ofa": 2088, "compofa": 1664, "mcofa-v1": 1520, "mcofa-v2": 832, "mcofa-v3": 2080}


@pytest.mark.parametrize("name", RECORDS)
def test_equal_to_every_published_record(shared_data: Path, name: str) -> None:
    path = shared_data / "imagenet_subnets" / f"{name.replace('-', '_')}.csv"
    space = load_space(name)
    rows, genomes = read_archs(path, space)
    assert len(rows) == RECORDS[name]
    assert [row["peak_items"] for row in rows] == [str(items) for items in peak_items(space, genomes)]


def one_block_changed(space: SearchSpace) -> npt.NDArray[np.int8]:
    """Archs of the smallest blocks but one, at every resolution and depth."""
    smallest = space.encode([space.smallest()])[0]
    found = []
    for resolution, stage in itertools.product(range(len(space.resolutions)), range(len(space.stages))):
        for depth, options in enumerate(space.depths):
            for block, kernel, expand in itertools.product(
                range(options), range(len(space.kernel_sizes)), range(len(space.expand_ratios))
            ):
                genome = smallest.copy()[None]
                genome[0, 0] = resolution
                space.depth_genes(genome)[0, stage] = depth
                space.kernel_genes(genome)[0, stage, block] = kernel
                space.expand_genes(genome)[0, stage, block] = expand
                found.append(genome[0])
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "distinct", "lowest", "highest"),
    [
        ("ofa", 40, 262_912, 1_509_984),
        ("mcofa-v1", 73, 448_512, 1_006_656),
        ("mcofa-v2", 76, 153_632, 385_728),
        ("mcofa-v3", 76, 299_520, 696_192),
    ],
)
def test_distinct_peaks(name: str, distinct: int, lowest: int, highest: int) -> None:
    """The peak is the maximum of one number a block, so one block at a time reaches every value."""
    space = load_space(name)
    peaks = set(peak_items(space, one_block_changed(space)).tolist())
    assert (len(peaks), min(peaks), max(peaks)) == (distinct, lowest, highest)
    assert set(peak_items(space, space.sample(20_000, np.random.default_rng(1))).tolist()) <= peaks


def test_smallest_arch_by_hand(tiny_space: SearchSpace) -> None:
    """12×12 pixels; sides 6, 6, 3; widths 8, 8, 8, 16, 32, 16; no block widens."""
    genomes = tiny_space.encode([tiny_space.smallest()])
    first_depthwise_with_shortcut = 3 * 8 * 36 + 9 * 8
    final_expand = (16 + 32) * 9 + 16 * 32
    assert peak_items(tiny_space, genomes).tolist() == [max(first_depthwise_with_shortcut, final_expand)]
    squeeze_excite = 2 * 8 * 8
    stem_and_first_block = 9 * 8 + 9 * 8 + 8 * 8
    head = 32 * 16 + 10 * 16
    assert params(tiny_space, genomes).tolist() == [
        stem_and_first_block + (9 * 8 + 8 * 8) + (9 * 8 + squeeze_excite + 8 * 16) + 16 * 32 + head
    ]
    assert macs(tiny_space, genomes).tolist() == [
        36 * stem_and_first_block
        + 36 * (9 * 8 + 8 * 8)
        + 9 * (9 * 8 + 8 * 16)
        + squeeze_excite
        + 9 * 16 * 32
        + head
    ]


def ofa_by_hand(resolution: int) -> Arch:
    """Depth 2 everywhere; the first block k5 e6, all others k3 e3."""
    return Arch(resolution, ((5, 3), *((3, 3),) * 4), ((6, 3), *((3, 3),) * 4))


def test_an_arch_of_ofa_by_hand() -> None:
    """224 pixels; sides 112, 112, 56, 28, 14, 14, 7; each line is one block."""
    space = load_space("ofa")
    genomes = space.encode([ofa_by_hand(224)])
    first_expand = 16 * 112**2 + 96 * 112**2 + 16 * 96
    first_depthwise = 96 * 112**2 + 96 * 56**2 + 25 * 96
    assert peak_items(space, genomes).tolist() == [first_depthwise] == [1_507_680]
    assert first_expand == 1_406_464
    assert macs(space, genomes).tolist() == [
        112**2 * (27 * 16 + 9 * 16 + 16 * 16)
        + 112**2 * 16 * 96 + 56**2 * (25 * 96 + 96 * 24)
        + 56**2 * (24 * 72 + 9 * 72 + 72 * 24)
        + 56**2 * 24 * 72 + 28**2 * (9 * 72 + 72 * 40) + 2 * 72 * 24
        + 28**2 * (40 * 120 + 9 * 120 + 120 * 40) + 2 * 120 * 32
        + 28**2 * 40 * 120 + 14**2 * (9 * 120 + 120 * 80)
        + 14**2 * (80 * 240 + 9 * 240 + 240 * 80)
        + 14**2 * (80 * 240 + 9 * 240 + 240 * 112) + 2 * 240 * 64
        + 14**2 * (112 * 336 + 9 * 336 + 336 * 112) + 2 * 336 * 88
        + 14**2 * 112 * 336 + 7**2 * (9 * 336 + 336 * 160) + 2 * 336 * 88
        + 7**2 * (160 * 480 + 9 * 480 + 480 * 160) + 2 * 480 * 120
        + 7**2 * 160 * 960 + 960 * 1280 + 1280 * 1000
    ]  # fmt: skip


def test_an_expand_ratio_of_one_has_no_expand() -> None:
    """mcofa-v2, 128 pixels, all k3 e1 and two blocks deep: sides 64, 32, 16, 8, 4, 2."""
    space = load_space("mcofa-v2")
    genomes = space.encode([space.smallest()])
    widths = (8, 24, 96, 288, 360, 384)
    sides = (64, 32, 16, 8, 4, 2)
    stem_peak = 3 * 128**2 + 3 * 64**2 + 27 * 3
    blocks_peak = max(
        items
        for c_in, c_out, r_in, r_out in zip(widths, widths[1:], sides, sides[1:], strict=False)
        for items in (
            c_in * r_in**2 + c_in * r_out**2 + 9 * c_in,
            c_in * r_out**2 + c_out * r_out**2 + c_in * c_out,
            3 * c_out * r_out**2 + 9 * c_out,
            2 * c_out * r_out**2 + c_out * c_out,
        )
    )  # fmt: skip
    final_expand = 384 * 4 + 392 * 4 + 384 * 392
    assert peak_items(space, genomes).tolist() == [max(stem_peak, blocks_peak, final_expand)] == [153_632]


def graph_peak_items(graph: Graph) -> int:
    """Input, output and weights of the largest convolution; a depthwise one also holds the shortcut."""
    shortcuts = {op.inputs[1]: op.inputs[0] for op in graph.ops if op.kind is OpKind.ADD}
    largest = shortcut_items = 0
    for op in reversed(graph.ops):
        output = op.outputs[0]
        if op.kind not in CONVOLUTIONS or graph.tensors[output].shape[1] == 1:
            continue
        items = convolution_items(graph, op)
        if op.kind is OpKind.DEPTHWISE_CONV_2D:
            largest = max(largest, items + shortcut_items)
        else:
            largest = max(largest, items)
            shortcut_items = graph.tensors[shortcuts[output]].items if output in shortcuts else 0
    return largest


def convolution_items(graph: Graph, op: Op) -> int:
    return sum(graph.tensors[i].items for i in (*op.inputs[:2], *op.outputs))


@pytest.fixture(params=[*space_names(), "tiny", "ds"])
def space(request: pytest.FixtureRequest, tiny_space: SearchSpace) -> SearchSpace:
    made = {"tiny": tiny_space, "ds": depthwise_separable_space()}
    return made.get(request.param) or load_space(request.param)


def test_equal_to_the_graph_of_each_arch(space: SearchSpace) -> None:
    genomes = space.sample(25, np.random.default_rng(4))
    graphs = [lower(space, space.decode(genome)) for genome in genomes]
    assert peak_items(space, genomes).tolist() == [graph_peak_items(graph) for graph in graphs]
    assert macs(space, genomes).tolist() == [graph_macs(graph) for graph in graphs]
    assert params(space, genomes).tolist() == [
        sum(graph.tensors[op.inputs[1]].items for op in graph.ops if op.kind in CONVOLUTIONS)
        for graph in graphs
    ]


def test_long_populations_are_cut_without_a_seam(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(10_001, np.random.default_rng(6))
    for metric in (peak_items, macs, params):
        one_at_a_time = {genome.tobytes(): metric(tiny_space, genome[None])[0] for genome in genomes[:800]}
        rest = [
            (genome.tobytes(), value)
            for genome, value in zip(genomes, metric(tiny_space, genomes), strict=True)
        ]
        assert all(one_at_a_time.get(key, value) == value for key, value in rest)
        assert metric(tiny_space, genomes[:0]).shape == (0,)


def count_in_torch(space: SearchSpace, arch: Arch) -> tuple[int, int, int]:
    """Peak items, MACs and weights of the convolutions that torch runs, by forward hooks."""
    import torch

    from mcofa.supernet.network.subnet import BlockOfLayers, Subnet

    seen: dict[torch.nn.Module, tuple[int, int, int]] = {}
    held: dict[torch.nn.Module, int] = {}

    def see_block(module: BlockOfLayers, inputs: Any) -> None:
        held[module.depthwise.conv] = inputs[0].numel() if module.shortcut else 0

    def see_convolution(module: torch.nn.Conv2d, inputs: Any, output: torch.Tensor) -> None:
        weights = module.weight.numel()
        items = inputs[0].numel() + output.numel() + weights + held.get(module, 0)
        in_the_peak = output.shape[2] > 1
        seen[module] = items if in_the_peak else 0, weights * output.shape[2] * output.shape[3], weights

    with torch.device("meta"):  # shapes without numbers
        subnet = Subnet(space, arch).eval()
    for module in subnet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(see_convolution)
        elif isinstance(module, BlockOfLayers):
            module.register_forward_pre_hook(see_block)
    subnet(torch.zeros(1, space.input_channels, *size_of(arch.resolution), device="meta"))
    peaks, macs_seen, weights_seen = zip(*seen.values(), strict=True)
    return max(peaks), sum(macs_seen), sum(weights_seen)


@pytest.mark.torch
def test_equal_to_what_torch_runs(space: SearchSpace) -> None:
    pytest.importorskip("torch")
    genomes = np.concatenate(
        [space.encode([space.smallest(), space.largest()]), space.sample(6, np.random.default_rng(8))]
    )
    counted = [count_in_torch(space, space.decode(genome)) for genome in genomes]
    computed = zip(peak_items(space, genomes), macs(space, genomes), params(space, genomes), strict=True)
    assert list(computed) == counted

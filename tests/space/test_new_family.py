"""A family of networks is one entry: one that is made up here goes through every reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.tflite.parse import parse_tflite
from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost, graph_macs
from mcofa.cost.peak_items import macs
from mcofa.cost.population import PopulationCosts
from mcofa.graph import OpKind
from mcofa.lowering import lower
from mcofa.space.blocks import BLOCK_KINDS, BlockKind, BlockOptions, Chain
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace


def bottleneck(x: Chain, options: BlockOptions) -> None:
    """ResNet's: narrow, convolve, widen."""
    x.convolve("narrow", options.width // 2, activation=options.activation)
    x.convolve("convolve", options.width // 2, 3, options.stride, options.activation)
    x.convolve("widen", options.width)


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    kind = BlockKind("ResNet's bottleneck", bottleneck, expands=False, has_shortcut=True)
    monkeypatch.setitem(BLOCK_KINDS, "bottleneck", kind)  # type: ignore[arg-type]
    stage: dict[str, Any] = {"block": "bottleneck", "squeeze_excite": False}
    return SearchSpace.model_validate(
        {
            "name": "bottlenecks",
            "title": "Made up",
            "input_channels": 3,
            "classes": 4,
            "padding": "same",
            "resolutions": [[12, 20], [16, 20]],
            "kernel_sizes": [3],
            "expand_ratios": [1],
            "depths": [1, 2],
            "stem": {"width": 8, "stride": 2, "activation": "relu"},
            "stages": [
                {**stage, "width": 16, "stride": 1, "activation": "relu"},
                {**stage, "width": 32, "stride": 2, "activation": "hard_swish"},
            ],
            "head": {"feature_width": 16, "activation": "relu"},
        }
    )


def test_it_is_lowered_and_costed(space: SearchSpace) -> None:
    graph = lower(space, space.largest())
    assert [op.kind for op in graph.ops].count(OpKind.ADD) == 2
    assert not [op for op in graph.ops if op.kind is OpKind.DEPTHWISE_CONV_2D]
    board, genomes = load_board("nrf52840"), space.enumerate()
    costs = PopulationCosts(space, board)
    every = [cost(space, space.decode(genome), board) for genome in genomes]
    assert costs.exact_arena_bytes(genomes).tolist() == [one.arena_bytes for one in every]
    assert costs.evaluate(genomes).flash_bytes.tolist() == [one.flash_bytes for one in every]
    graphs = (lower(space, space.decode(genome)) for genome in genomes)
    assert macs(space, genomes).tolist() == [graph_macs(graph) for graph in graphs]


@pytest.mark.torch
def test_it_is_trained_and_exported(space: SearchSpace) -> None:
    import torch

    from mcofa.supernet.network.fake_quantize import FakeQuantizedSubnet
    from mcofa.supernet.network.supernet import Supernet

    supernet = Supernet(space)
    for arch in (space.smallest(), space.largest()):
        shape = (8, 3, *size_of(arch.resolution))
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        supernet(images, arch).square().sum().backward()
        with torch.no_grad():
            subnet = supernet.extract(arch).train()
            torch.testing.assert_close(subnet(images), supernet(images, arch), rtol=1e-5, atol=1e-5)
            subnet.eval()
            rounded = FakeQuantizedSubnet(subnet, images)(images)
            torch.testing.assert_close(rounded, subnet(images), rtol=0.1, atol=0.1)
        model = to_tflite(to_onnx(subnet, arch.resolution), np.ascontiguousarray(images.numpy()))
        assert parse_tflite(model.data, "made up") == lower(space, arch)
    assert all(parameter.grad is not None for parameter in supernet.parameters())

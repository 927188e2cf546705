"""The predicted size of a model file against the file that the exporter writes."""

from __future__ import annotations

import numpy as np
import pytest

from export.tflite.quantization import Quantization
from export.tflite.write import QuantizedGraph, write_tflite
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.graph import Graph, OpKind
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space

MICRO = load_space("mcofa-micro")


def written(graph: Graph) -> bytes:
    """The exporter's file for a graph with arbitrary weights and ranges."""
    rng = np.random.default_rng(0)
    axes = {
        op.inputs[1]: 3 if op.kind is OpKind.DEPTHWISE_CONV_2D else 0
        for op in graph.ops
        if op.kind in (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D)
    }
    quantizations = [
        Quantization(tuple(rng.random(tensor.scales)), 0 if t in axes else 3, axes.get(t))
        if tensor.scales
        else None
        for t, tensor in enumerate(graph.tensors)
    ]
    gate = Quantization((1 / 255,), -128)
    for op in graph.ops:
        if op.kind in (OpKind.AVERAGE_POOL_2D, OpKind.MEAN):
            quantizations[op.outputs[0]] = quantizations[op.inputs[0]]
        if op.kind is OpKind.MUL:
            quantizations[op.inputs[1]] = gate
    constants = {
        t: rng.integers(-9, 9, tensor.shape).astype(str(tensor.dtype))
        for t, tensor in enumerate(graph.tensors)
        if tensor.constant
    }
    return write_tflite(QuantizedGraph(graph, tuple(quantizations), constants))


def variants() -> list[SearchSpace]:
    """Spaces that use everything the exporter writes in other combinations."""
    stages = [stage.model_dump() for stage in MICRO.stages]
    plain = [{**stage, "squeeze_excite": False, "activation": "relu"} for stage in stages]
    all_squeezed = [{**stage, "squeeze_excite": True, "activation": "hard_swish"} for stage in stages]
    one_squeezed = [*plain[:2], all_squeezed[2]]
    odd = {"final_expand_width": 72, "feature_width": 37, "activation": "relu"}
    stem = {**MICRO.stem.model_dump(), "width": 16, "activation": "hard_swish"}
    return [
        MICRO,
        MICRO.model_validate({**MICRO.model_dump(), "stages": plain}),
        MICRO.model_validate({**MICRO.model_dump(), "stages": all_squeezed, "stem": stem, "classes": 7}),
        MICRO.model_validate({**MICRO.model_dump(), "stages": all_squeezed, "global_average": "mean"}),
        MICRO.model_validate({**MICRO.model_dump(), "stages": one_squeezed, "depths": (1, 2), "head": odd}),
        MICRO.model_validate(
            {**MICRO.model_dump(), "expand_ratios": (1, 1.5), "resolutions": (28, 33), "input_channels": 3}
        ),
    ]


@pytest.mark.parametrize("space", variants(), ids=["micro", "plain", "squeezed", "mean", "mixed", "expand-1"])
def test_predicted_equals_written(space: SearchSpace) -> None:
    archs: list[Arch] = [space.smallest(), space.largest()]
    archs += [space.decode(genome) for genome in space.sample(25, np.random.default_rng(7))]
    for arch in archs:
        graph = lower(space, arch)
        assert model_file_bytes(graph) == len(written(graph)), arch

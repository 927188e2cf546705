"""The promise: the search knows the graph, the file's size and the arena before anything is built.

Random archs of the micro spaces, as files of the exporter: the file holds the graph that was
predicted, has the size that was predicted, and the real TFLM uses the arena that was predicted.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from generated_onnx import generated_onnx

from export.arena import MeasuredArena, invoke, measure_many
from export.layers import read_layers
from export.offline_plan import with_offline_plan
from export.parse_tflite import parse_tflite
from export.quantize import Range
from export.to_tflite import observed_values, to_tflite, to_tflite_with_ranges
from mcofa.arch import Arch
from mcofa.graph import lower
from mcofa.model_file import model_file_bytes
from mcofa.space import SearchSpace, load_space
from mcofa.tflm import account, target

if TYPE_CHECKING:
    from mcofa.supernet.subnet import Subnet

SPACES = ("mcofa-micro", "ofa-micro", "compofa-micro")
GENERATED_PER_SPACE = 110
EXPORTED_PER_SPACE = 8
X86 = target("x86-64", "reference")

each_space = pytest.mark.parametrize("space_name", SPACES)


@dataclass(frozen=True)
class Model:
    """An arch of a space and the file that the exporter wrote for it."""

    space: SearchSpace
    arch: Arch
    data: bytes


def distinct_archs(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Arch]:
    """The smallest, the largest and random archs, no two alike."""
    archs = dict.fromkeys([space.smallest(), space.largest()])
    while len(archs) < count:
        archs[space.decode(space.sample(1, rng)[0])] = None
    return list(archs)


@functools.cache
def generated(space_name: str) -> tuple[Model, ...]:
    """Files of archs of one space, with random weights and made-up ranges."""
    space, rng = load_space(space_name), np.random.default_rng(2026)
    models = []
    for arch in distinct_archs(space, GENERATED_PER_SPACE, rng):
        network = read_layers(generated_onnx(space, arch, rng))
        ranges = {name: Range(*(rng.uniform(0.5, 8, 2) * (-1, 1))) for name in observed_values(network)}
        models.append(Model(space, arch, to_tflite_with_ranges(network, ranges).data))
    return tuple(models)


def predicted_arena(data: bytes) -> MeasuredArena:
    arena = account(parse_tflite(data, "model"), X86)
    head_bytes, tail_bytes = arena.head_bytes, arena.recording_tail_bytes
    return MeasuredArena(head_bytes, tail_bytes, head_bytes + tail_bytes)


def assert_promise_kept(models: tuple[Model, ...]) -> None:
    for model, measured in zip(models, measure_many([model.data for model in models]), strict=True):
        graph = lower(model.space, model.arch)
        assert parse_tflite(model.data, str(model.arch)) == graph
        assert model_file_bytes(graph) == len(model.data), model.arch
        arena = account(graph, X86)
        predicted = arena.head_bytes, arena.recording_tail_bytes
        assert predicted == (measured.head_bytes, measured.recording_tail_bytes), model.arch


@each_space
def test_generated_networks(space_name: str) -> None:
    models = generated(space_name)
    assert len({model.arch for model in models}) == GENERATED_PER_SPACE
    assert_promise_kept(models)


@each_space
def test_offline_plans(space_name: str) -> None:
    """Where a better plan exists, the wheel uses what was predicted for the file that carries it."""
    planned = [with_offline_plan(model.data, str(model.arch), X86) for model in generated(space_name)]
    print(space_name, sum(p.saved_bytes > 0 for p in planned), [p.saved_bytes for p in planned if p.saved_bytes], all(p.proven_optimal for p in planned))

"""The promise: the search knows the graph, the file's size and the arena before anything is built.

Random archs of the micro spaces, as files of the exporter: the file holds the graph that was
predicted, has the size that was predicted, and the real TFLM uses the arena that was predicted.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from depthwise_separable import depthwise_separable_space
from generated_onnx import generated_onnx

from export.convert.layers import read_layers
from export.convert.quantize import Range
from export.convert.to_tflite import observed_values, to_tflite, to_tflite_with_ranges
from export.runtimes.tflm import invoke, measure_many
from export.tflite.model_file import ModelFile
from export.tflite.offline_plan import with_offline_plan
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace, load_space

if TYPE_CHECKING:
    from mcofa.supernet.network.subnet import Subnet

SPACES = ("mcofa-micro", "ofa-micro", "compofa-micro")
IMAGENET_SPACES = ("ofa", "compofa", "mcofa-v1", "mcofa-v2", "mcofa-v3")
SYMMETRIC = "symmetric"
MEAN = "mean"
OBLONG = "oblong"
DS = "ds"
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


def space_of(name: str) -> SearchSpace:
    """A space by its name, or mcofa-micro with symmetric padding, MEAN or oblong images."""
    if name == DS:
        return depthwise_separable_space()
    variants: dict[str, dict[str, Any]] = {
        SYMMETRIC: {"name": SYMMETRIC, "padding": "symmetric", "resolutions": (26, 27, 28, 31)},
        MEAN: {"name": MEAN, "global_average": "mean", "resolutions": (17, 28)},
        OBLONG: {"name": OBLONG, "resolutions": ((17, 24), (40, 24), (40, 61))},
    }
    if name not in variants:
        return load_space(name)
    return load_space("mcofa-micro").model_copy(update=variants[name])


def distinct_archs(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Arch]:
    """The smallest, the largest and random archs, no two alike."""
    archs = dict.fromkeys([space.smallest(), space.largest()])
    while len(archs) < count:
        archs[space.decode(space.sample(1, rng)[0])] = None
    return list(archs)


@functools.cache
def generated(space_name: str) -> tuple[Model, ...]:
    """Files of archs of one space."""
    space, rng = space_of(space_name), np.random.default_rng(2026)
    archs = distinct_archs(space, GENERATED_PER_SPACE, rng)
    return tuple(generated_model(space, arch, rng) for arch in archs)


def generated_model(space: SearchSpace, arch: Arch, rng: np.random.Generator) -> Model:
    """The file of an arch, with random weights and made-up ranges."""
    network = read_layers(generated_onnx(space, arch, rng), space.global_average)
    assert network.rotate_180 == (space.padding == "symmetric")
    ranges = {name: Range(*(rng.uniform(0.5, 8, 2) * (-1, 1))) for name in observed_values(network)}
    return Model(space, arch, to_tflite_with_ranges(network, ranges).data)


def assert_promise_kept(models: tuple[Model, ...]) -> None:
    for model, measured in zip(models, measure_many([model.data for model in models]), strict=True):
        graph = lower(model.space, model.arch)
        assert parse_tflite(model.data, str(model.arch)) == graph
        assert model_file_bytes(graph) == len(model.data), model.arch
        arena = account(graph, X86)
        predicted = arena.head_bytes, arena.recording_tail_bytes
        assert predicted == (measured.head_bytes, measured.recording_tail_bytes), model.arch


@pytest.mark.parametrize("space_name", [*SPACES, SYMMETRIC, MEAN, OBLONG, DS])
def test_generated_networks(space_name: str) -> None:
    models = generated(space_name)
    assert len({model.arch for model in models}) == GENERATED_PER_SPACE
    assert {model.arch.resolution for model in models} == set(models[0].space.resolutions)
    ratios = {ratio for model in models for stage in model.arch.expand_ratios for ratio in stage}
    assert ratios == {*models[0].space.expand_ratios} | ({1} if space_name == DS else set())
    assert_promise_kept(models)


@pytest.mark.slow
@pytest.mark.parametrize("space_name", IMAGENET_SPACES)
def test_networks_of_imagenet_size(space_name: str) -> None:
    space, rng = load_space(space_name), np.random.default_rng(len(space_name))
    archs = (space.smallest(), space.decode(space.sample(1, rng)[0]))
    assert_promise_kept(tuple(generated_model(space, arch, rng) for arch in archs))


@each_space
def test_offline_plans(space_name: str) -> None:
    """Where a better plan exists, the wheel uses what was predicted for the file that carries it."""
    models = generated(space_name)
    files = [with_offline_plan(ModelFile(model.data, str(model.arch)), X86) for model in models]
    planned = [(model, file) for model, file in zip(models, files, strict=True) if file.saved_bytes]
    assert len(planned) >= 10
    for (model, file), measured in zip(
        planned, measure_many([file.data for _, file in planned]), strict=True
    ):
        before = account(lower(model.space, model.arch), X86)
        assert file.head_bytes_before == before.head_bytes
        assert measured.head_bytes == file.head_bytes_after < before.head_bytes, model.arch
        assert measured.recording_tail_bytes == before.recording_tail_bytes
        assert account(parse_tflite(file.data, "planned"), X86).head_bytes == measured.head_bytes


def test_offline_plans_change_no_output() -> None:
    files = (
        (model, with_offline_plan(ModelFile(model.data, "model"), X86))
        for model in generated("compofa-micro")
    )
    planned = ((model, file) for model, file in files if file.saved_bytes)
    different_outputs = 0
    for model, file in itertools.islice(planned, 5):
        side = model.arch.resolution
        images = np.random.default_rng(0).integers(-128, 128, (5, side, side, 1), dtype=np.int8)
        outputs = invoke(model.data, images)
        np.testing.assert_array_equal(invoke(file.data, images), outputs)
        different_outputs += len(np.unique(outputs, axis=0))
    assert different_outputs > 15


def random_subnet(space: SearchSpace, arch: Arch) -> Subnet:
    """The torch module with random weights and batch norms that do something."""
    import torch

    from mcofa.supernet.network.subnet import Subnet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        subnet = Subnet(space, arch).eval()
        for module in subnet.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for values in (module.weight, module.running_var):
                    torch.nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
                for values in (module.bias, module.running_mean):
                    torch.nn.init.normal_(values)  # type: ignore[arg-type]
    return subnet


@functools.cache
def exported(space_name: str) -> tuple[tuple[Model, onnx.ModelProto], ...]:
    """Archs through torch, its exporter and calibration, as ``mcofa export`` does."""
    from export.convert.to_onnx import to_onnx

    space, rng = space_of(space_name), np.random.default_rng(7)
    found = []
    for arch in distinct_archs(space, EXPORTED_PER_SPACE, rng):
        model = to_onnx(random_subnet(space, arch), arch.resolution)
        images = rng.normal(size=(4, space.input_channels, *size_of(arch.resolution)))
        found.append((Model(space, arch, to_tflite(model, images.astype(np.float32)).data), model))
    return tuple(found)


exported_spaces = pytest.mark.parametrize("space_name", [*SPACES, OBLONG, DS])


@pytest.mark.torch
@pytest.mark.slow
@exported_spaces
def test_exported_networks(space_name: str) -> None:
    models = tuple(model for model, _ in exported(space_name))
    assert len({model.arch for model in models}) == EXPORTED_PER_SPACE
    assert_promise_kept(models)


@pytest.mark.torch
@pytest.mark.slow
@exported_spaces
def test_generated_networks_are_those_of_the_exporter(space_name: str) -> None:
    for model, onnx_model in exported(space_name):
        made_up = generated_onnx(model.space, model.arch, np.random.default_rng(0))
        assert nodes(made_up) == nodes(onnx_model), model.arch


def nodes(model: onnx.ModelProto) -> list[tuple[Any, ...]]:
    """The nodes in order: op type, inputs (constants by their shape, values by their place), attributes."""
    sources: dict[str, Any] = {model.graph.input[0].name: "images"}
    sources |= {constant.name: tuple(constant.dims) for constant in model.graph.initializer}
    found = []
    for place, node in enumerate(model.graph.node):
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if "alpha" in attributes:
            attributes["alpha"] = round(attributes["alpha"], 6)
        found.append((node.op_type, [sources[name] for name in node.input], attributes))
        sources[node.output[0]] = place
    return found

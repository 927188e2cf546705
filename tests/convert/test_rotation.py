"""The rotation by 180°: the numbers of the network with explicit PAD ops, in a smaller arena.

The network has trained weights, so that its answers differ from image to image.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from example_networks import fashion, images, targets
from explicit_padding import with_explicit_pads

from export.checks.evaluate import quantize_images
from export.convert.layers import read_layers
from export.convert.quantize import calibrate as calibrate_ranges
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import TfliteModel, observed_values, quantize_network, to_tflite_with_ranges
from export.runtimes import litert
from export.runtimes import tflm as arena
from export.tflite.parse import parse_tflite
from export.tflite.write import write_tflite
from mcofa.engines.tflm import account, target
from mcofa.graph import OpKind
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.measure.evaluate import calibrate, logits
from mcofa.supernet.network.checkpoint import load_supernet
from mcofa.supernet.network.subnet import Subnet

pytestmark = [pytest.mark.torch, pytest.mark.slow]

IMAGES = 500
X86 = target("x86-64", "reference")


def symmetric_space() -> SearchSpace:
    return load_space("mcofa-micro").model_copy(update={"name": "symmetric", "padding": "symmetric"})


ARCH = Arch(28, ((5,), (3,), (5,)), ((4,), (1,), (2,)))


@functools.cache
def symmetric_subnet() -> Subnet:
    """The trained weights of mcofa-micro, padded symmetrically."""
    _, supernet = load_supernet(Path(__file__).parents[2] / "zoo" / "mcofa-micro.safetensors")
    subnet = Subnet(symmetric_space(), ARCH)
    subnet.load_state_dict(supernet.extract(ARCH).state_dict())
    return calibrate(subnet, fashion().train, fashion().preprocessing)


@functools.cache
def files() -> tuple[TfliteModel, bytes]:
    """The rotated network as it is exported, and the one with PAD ops, which reads images as they are."""
    data, model = fashion(), to_onnx(symmetric_subnet(), ARCH.resolution)
    network = read_layers(model)
    inputs = np.ascontiguousarray(data.preprocessing.normalise(data.train.images[:64]).numpy())
    ranges = calibrate_ranges(model, inputs, observed_values(network))
    explicit = write_tflite(with_explicit_pads(quantize_network(network, ranges)))
    return to_tflite_with_ranges(network, ranges), explicit


def test_int8_outputs_are_those_of_explicit_pads() -> None:
    rotated, explicit = files()
    assert rotated.rotate_180
    scale, zero_point = rotated.input_quantization.scale, rotated.input_quantization.zero_point
    upright, turned = (
        quantize_images(
            images(IMAGES, ARCH.resolution),
            {"scale": scale, "zero_point": zero_point, "rotate_180": rotate_180},
        )
        for rotate_180 in (False, True)
    )
    expected = litert.invoke(explicit, upright)
    assert np.array_equal(litert.invoke(rotated.data, turned), expected)
    assert np.array_equal(arena.invoke(rotated.data, turned), expected)
    assert np.array_equal(arena.invoke(explicit, upright), expected)
    float_top1 = top1(logits(symmetric_subnet(), images(IMAGES, ARCH.resolution)))
    assert top1(expected) > float_top1 - 0.02 > 0.6
    # Fed with images as they are, the rotated network is often wrong: the rotation is needed.
    assert top1(litert.invoke(rotated.data, upright)) < float_top1 - 0.2


def test_the_head_shrinks_by_what_is_predicted() -> None:
    rotated, explicit = files()
    graph, padded = parse_tflite(rotated.data, "rotated"), parse_tflite(explicit, "explicit")
    assert graph == lower(symmetric_space(), ARCH)
    # Stride 2 meets the sides 28, 14 and 7.
    assert [op.kind for op in padded.ops].count(OpKind.PAD) == 2
    predicted = account(padded, X86).head_bytes - account(graph, X86).head_bytes
    with_pads, without = arena.measure_many([explicit, rotated.data])
    assert with_pads.head_bytes - without.head_bytes == predicted > 10_000


def top1(outputs: npt.NDArray[Any]) -> float:
    return float((outputs.argmax(1) == targets(IMAGES)).mean())

"""Our converter and TensorFlow's, on the same trained networks."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_networks import fashion, images, micro_space, random_arch, targets
from recorded_sections import export_section

from export.checks.second_opinion import classes, convert_with_tensorflow, require_same_ops, second_opinion
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import TfliteModel, to_tflite
from export.tflite.parse import parse_tflite
from mcofa.errors import McofaError
from mcofa.files.resources import data_folder
from mcofa.lowering import lower
from mcofa.runs.manifest import Artefact
from mcofa.runs.run import Run
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.checkpoint import load_supernet
from mcofa.supernet.network.subnet import Subnet

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"),
]

IMAGES = 2_000
SMALL, MIDDLE, LARGE = micro_space().smallest(), random_arch(0), micro_space().largest()
SYMMETRIC = micro_space().model_copy(update={"padding": "symmetric"})
MEAN = micro_space().model_copy(update={"global_average": "mean"})


@functools.cache
def converted(space: SearchSpace, arch: Arch) -> tuple[onnx.ModelProto, TfliteModel, bytes]:
    """A network with the trained weights of mcofa-micro, our file and TensorFlow's."""
    _, supernet = load_supernet(data_folder("zoo") / "mcofa-micro.safetensors")
    data = fashion(arch.resolution)
    subnet = Subnet(space, arch)
    subnet.load_state_dict(supernet.extract(arch).state_dict())
    model = to_onnx(calibrate(subnet, data.train, data.preprocessing), arch.resolution)
    inputs = np.ascontiguousarray(data.preprocessing.normalise(data.train.spread(64).images).numpy())
    own = to_tflite(model, inputs, space.global_average)
    return model, own, convert_with_tensorflow(model.SerializeToString(), inputs, space.global_average)


@pytest.mark.parametrize(
    ("space", "arch"),
    [(micro_space(), SMALL), (MEAN, SMALL), (SYMMETRIC, MIDDLE), (micro_space(), LARGE)],
    ids=["small", "small, MEAN", "middle, rotated", "large"],
)
def test_same_ops_and_the_same_accuracy_in_fewer_bytes(space: SearchSpace, arch: Arch) -> None:
    _, own, theirs = converted(space, arch)
    graph = lower(space, arch)
    assert require_same_ops(graph, parse_tflite(theirs, "theirs")) == len(graph.ops)
    assert len(own.data) < 0.85 * len(theirs)

    assert own.rotate_180 == (space is SYMMETRIC)
    own_right, their_right = (
        classes(file, images(IMAGES, arch.resolution), own.rotate_180) == targets(IMAGES)
        for file in (own.data, theirs)
    )
    # The weights were trained with the other padding, so the rotated network is less accurate.
    assert own_right.mean() > (0.65 if own.rotate_180 else 0.85)
    # Of the images on which just one of the two is right, either is right about as often.
    differing = int((own_right != their_right).sum())
    assert abs(int(own_right.sum()) - int(their_right.sum())) <= 3 * math.sqrt(differing)
    assert differing < 0.03 * IMAGES


def test_ops_that_differ_are_named() -> None:
    small = lower(micro_space(), SMALL)
    with pytest.raises(McofaError, match=r"^\d+ ops, TensorFlow's file has \d+"):
        require_same_ops(small, lower(micro_space(), MIDDLE))
    wider = lower(micro_space().model_copy(update={"classes": 11}), SMALL)
    with pytest.raises(McofaError, match=r"CONV_2D .*\(1, 1, 1, 10\), in TensorFlow's file .*11\)"):
        require_same_ops(small, wider)


def test_a_failure_of_tensorflow_is_one_sentence() -> None:
    with pytest.raises(McofaError, match="TensorFlow's converter failed: ") as caught:
        convert_with_tensorflow(b"no ONNX", np.zeros((1, 1, 28, 28), np.float32))
    assert "\n" not in caught.value.problem


def test_the_comparison_is_recorded(tmp_path: Path) -> None:
    model, own, theirs = converted(micro_space(), SMALL)
    run = Run(tmp_path)
    files = {"network.onnx": model.SerializeToString(), "network.tflite": own.data}
    exported = export_section(
        files,
        resolution=SMALL.resolution,
        preprocessing=dataclasses.asdict(fashion().preprocessing),
        scale=own.input_quantization.scale,
        zero_point=own.input_quantization.zero_point,
        rotate_180=own.rotate_180,
    )
    run.record("export", exported, files)
    section = second_opinion(run)
    assert Run(tmp_path).section("export") == section
    found = section["second_opinion"]
    assert run.read(Artefact.model_validate(found["tflite"])) == theirs
    assert found["own_smaller_percent"] > 15
    assert found["own_top1_percent"] > 85
    assert abs(found["own_top1_percent"] - found["tensorflow_top1_percent"]) < 1.5
    assert found["agreement_percent"] > 97

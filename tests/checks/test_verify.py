"""The chain of runtimes: what is reported of each op, and what fails."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from example_networks import exported, fashion, fitted_subnet, images, micro_space

from export.checks import verify
from export.checks.evaluate import quantize_images
from export.checks.verify import OpCheck, VerificationError, check_ops, enforce
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import TfliteModel, to_tflite
from export.runtimes import litert
from mcofa.lowering import lower
from mcofa.supernet.measure.evaluate import calibrate, logits
from mcofa.supernet.network.subnet import Subnet

pytestmark = pytest.mark.torch

ARCH = micro_space().smallest()
COUNT = 6


def example_images(count: int) -> npt.NDArray[np.float32]:
    return images(count, ARCH.resolution)


@functools.cache
def converted() -> TfliteModel:
    return to_tflite(exported(ARCH), example_images(32))


def as_read_by(model: TfliteModel, normalised: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    quantization = model.input_quantization
    source = {"scale": quantization.scale, "zero_point": quantization.zero_point}
    return quantize_images(normalised, {**source, "rotate_180": model.rotate_180})


@functools.cache
def checked() -> list[OpCheck]:
    model = converted()
    return check_ops(
        exported(ARCH), model.data, example_images(COUNT), as_read_by(model, example_images(COUNT))
    )


def test_every_op_is_there_and_the_same_on_litert_and_tflm() -> None:
    graph = lower(micro_space(), ARCH)
    assert [(op.op, op.kind, op.shape) for op in checked()] == [
        (number, str(op.kind), graph.tensors[op.outputs[0]].shape) for number, op in enumerate(graph.ops)
    ]
    assert {op.tflm_max_difference_steps for op in checked()} == {0}


def test_errors_of_the_last_op_are_those_of_the_logits() -> None:
    model = converted()
    integers = litert.invoke(model.data, as_read_by(model, example_images(COUNT)))
    quantization = model.output_quantization
    found = (integers.astype(np.float64) - quantization.zero_point) * quantization.scale
    expected = logits(fitted_subnet(ARCH), example_images(COUNT)).astype(np.float64)
    errors = np.abs(found - expected)
    last = checked()[-1]
    assert last.scale == quantization.scale
    assert last.mean_error_steps == pytest.approx(errors.mean() / quantization.scale, rel=1e-3)
    assert last.max_error_steps == pytest.approx(errors.max() / quantization.scale, rel=1e-3)
    noise_db = 10 * np.log10(np.square(expected).mean() / np.square(errors).mean())
    assert last.signal_to_noise_db == pytest.approx(noise_db, abs=0.01)


def test_the_first_op_is_off_by_rounding_alone() -> None:
    first = checked()[0]
    assert first.mean_error_steps < 0.5
    assert first.signal_to_noise_db > 30


def test_batches_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checked()
    monkeypatch.setattr(verify, "_BATCH_BYTES", 1)
    model = converted()
    single = check_ops(
        exported(ARCH), model.data, example_images(COUNT), as_read_by(model, example_images(COUNT))
    )
    for one, other in zip(whole, single, strict=True):
        assert one.max_error_steps == pytest.approx(other.max_error_steps, rel=1e-3)
        assert one.mean_error_steps == pytest.approx(other.mean_error_steps, rel=1e-3)


def test_a_rotated_network_is_compared_as_it_runs() -> None:
    """In the wrong orientation the first op would be noise."""
    space = micro_space().model_validate({**micro_space().model_dump(), "padding": "symmetric"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        data = fashion(ARCH.resolution)
        subnet = calibrate(Subnet(space, ARCH), data.train.spread(64), data.preprocessing)
    model: onnx.ModelProto = to_onnx(subnet, ARCH.resolution)
    rotated = to_tflite(model, example_images(32))
    assert rotated.rotate_180
    ops = check_ops(model, rotated.data, example_images(2), as_read_by(rotated, example_images(2)))
    assert ops[0].signal_to_noise_db > 30
    assert {op.tflm_max_difference_steps for op in ops} == {0}


def section(images_that_differ: int, steps_of_ops: tuple[int, ...]) -> dict[str, Any]:
    return {
        "passed": not images_that_differ,
        "images": 100,
        "steps": [{"images_that_differ": images_that_differ, "max_difference": 2.0}],
        "ops": [
            {"op": number, "kind": "MUL", "tflm_max_difference_steps": steps}
            for number, steps in enumerate(steps_of_ops)
        ],
    }


def test_other_outputs_fail_and_the_first_op_is_named() -> None:
    enforce(section(0, (0, 0)))
    with pytest.raises(VerificationError, match=r"on 16 of 100 images, by up to 2 steps; .* number 1, MUL"):
        enforce(section(16, (0, 3, 1)))
    with pytest.raises(VerificationError, match=r"by up to 2 steps\n"):
        enforce(section(16, (0, 0)))

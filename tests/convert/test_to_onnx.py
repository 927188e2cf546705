"""The ONNX model against the torch module it came from."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from example_networks import exported, fitted_subnet, images, micro_space, random_arch

from export.convert.to_onnx import OPSET, to_onnx
from mcofa.space.arch import Arch
from mcofa.supernet.network.subnet import Subnet

pytestmark = pytest.mark.torch

ARCHS = [micro_space().smallest(), micro_space().largest(), random_arch(0)]


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_logits_equal_torch(arch: Arch) -> None:
    inputs = images(17, arch.resolution)
    with torch.inference_mode():
        expected = fitted_subnet(arch)(torch.from_numpy(inputs)).numpy()
    session = onnxruntime.InferenceSession(exported(arch).SerializeToString())
    (logits,) = session.run(["logits"], {"images": inputs})
    assert np.ptp(expected, axis=0).min() > 1, "the logits must vary for the comparison to mean something"
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_batch_norm_and_padding_are_folded_and_hard_activations_stay_whole(arch: Arch) -> None:
    model = exported(arch)
    nodes = list(model.graph.node)
    op_types = {"Conv", "HardSigmoid", "HardSwish", "Mul", "ReduceMean", "Relu", "Reshape"}
    shortcuts = {"Add"} if max(arch.depths) > 1 else set()
    assert {node.op_type for node in nodes} == op_types | shortcuts
    convolutions = [
        {attribute.name: list(attribute.ints) for attribute in node.attribute}
        for node in nodes
        if node.op_type == "Conv"
    ]
    # The first stage halves an even side: the odd pixel of padding is below and to the right.
    halving = next(convolution for convolution in convolutions if convolution["strides"] == [2, 2])
    assert halving["pads"] == {3: [0, 0, 1, 1], 5: [1, 1, 2, 2]}[arch.kernel_sizes[0][0]]
    assert [item.version for item in model.opset_import if not item.domain] == [OPSET]


def test_equal_subnets_give_equal_bytes_without_a_trace_of_the_source(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arch = micro_space().smallest()
    capfd.readouterr()
    again = to_onnx(fitted_subnet(arch), arch.resolution).SerializeToString(deterministic=True)
    assert capfd.readouterr() == ("", "")
    assert again == exported(arch).SerializeToString(deterministic=True)
    assert b".py" not in again


def test_the_model_is_valid_onnx() -> None:
    onnx.checker.check_model(exported(ARCHS[0]), full_check=True)


def test_training_mode_is_refused() -> None:
    arch = micro_space().smallest()
    with pytest.raises(ValueError, match="training mode"):
        to_onnx(Subnet(micro_space(), arch), arch.resolution)

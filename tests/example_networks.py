"""Networks to export in tests: random, but with statistics and a classifier fitted to real images.

A network with plain random weights answers nearly the same whatever it sees, and every
comparison of such answers passes. Here batch norm has random gains and shifts, statistics
measured on real images, and the classifier is the least-squares one, so that logits vary.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

from export.convert.to_onnx import to_onnx
from mcofa.errors import MissingFileError
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.data.datasets import ImageData, load_data
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.subnet import Subnet

FITTING_IMAGES = 2_048


def micro_space() -> SearchSpace:
    return load_space("mcofa-micro")


def random_arch(seed: int) -> Arch:
    space = micro_space()
    return space.decode(space.sample(1, np.random.default_rng(seed))[0])


@functools.cache
def fashion(side: int = 28) -> ImageData:
    try:
        return load_data("fashion-mnist", 28, 1).at(side)
    except MissingFileError as error:
        pytest.skip(str(error))


def images(count: int, side: int) -> npt.NDArray[np.float32]:
    """The first preprocessed validation images, NCHW."""
    data = fashion(side)
    return np.ascontiguousarray(data.preprocessing.normalise(data.validation.images[:count]).numpy())


def targets(count: int) -> npt.NDArray[np.int64]:
    return fashion().validation.targets[:count].numpy()


@functools.cache
def fitted_subnet(arch: Arch) -> Subnet:
    data = fashion(arch.resolution)
    train = data.train.take(slice(0, FITTING_IMAGES))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        subnet = Subnet(micro_space(), arch)
        for module in subnet.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.5)
    calibrate(subnet, train, data.preprocessing)
    _fit_classifier(subnet, data.preprocessing.normalise(train.images), train.targets)
    return subnet


@functools.cache
def exported(arch: Arch) -> onnx.ModelProto:
    return to_onnx(fitted_subnet(arch), arch.resolution)


def _fit_classifier(subnet: Subnet, inputs: torch.Tensor, classes: torch.Tensor) -> None:
    found: list[torch.Tensor] = []
    hook = subnet.feature_mix.register_forward_hook(lambda *call: found.append(call[2].flatten(1)))
    with torch.inference_mode():
        subnet(inputs)
    hook.remove()
    features = torch.cat([found[0], torch.ones(len(inputs), 1)], 1).double()
    wanted = 10 * torch.nn.functional.one_hot(classes).double()
    ridge = 1e-3 * features.square().mean() * len(inputs) * torch.eye(features.shape[1])
    solution = torch.linalg.solve(features.T @ features + ridge, features.T @ wanted).float()
    with torch.no_grad():
        subnet.classifier.weight.copy_(solution[:-1].T[:, :, None, None])
        assert subnet.classifier.bias is not None
        subnet.classifier.bias.copy_(solution[-1])

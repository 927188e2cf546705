"""Every space that comes with mcofa: extracting, and one step of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from depthwise_separable import depthwise_separable_space
from tiny_training import randomised
from torch import Tensor
from torch.nn import functional

from mcofa.space.arch import Arch
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace, load_space, space_names
from mcofa.supernet.network.supernet import Supernet

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# The networks are fully convolutional: a subnet takes images of any side. This one keeps the tests
# quick and leaves more than one pixel to the last stage, as a batch norm over two values has no use.
SIDE = 96
BATCH = 2


@pytest.fixture(scope="module", params=[*space_names(), "ds"])
def supernet(request: pytest.FixtureRequest) -> Supernet:
    return randomised(depthwise_separable_space() if request.param == "ds" else load_space(request.param))


def some_images(space: SearchSpace) -> Tensor:
    height, width = (min(SIDE, side) for side in size_of(space.resolutions[-1]))
    shape = (BATCH, space.input_channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def archs(space: SearchSpace) -> list[Arch]:
    """The smallest, the largest and five random ones."""
    genomes = space.sample(5, np.random.default_rng(0))
    return [space.smallest(), space.largest(), *(space.decode(genome) for genome in genomes)]


def test_extracted_subnets_answer_as_the_supernet(supernet: Supernet) -> None:
    images = some_images(supernet.space)
    for arch in archs(supernet.space):
        with torch.no_grad():
            answer = supernet(images, arch)
            extracted = supernet.extract(arch).train()(images)
        assert answer.shape == (BATCH, supernet.space.classes)
        assert answer.std() > 0.01
        torch.testing.assert_close(extracted, answer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_one_training_step_runs_and_lowers_the_loss(supernet: Supernet, which: str) -> None:
    space = supernet.space
    arch = space.largest() if which == "largest" else space.smallest()
    images, targets = some_images(space), torch.arange(BATCH)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=1e-3)
    loss = functional.cross_entropy(supernet(images, arch), targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(supernet.parameters(), 1.0, error_if_nonfinite=True)
    optimizer.step()
    with torch.no_grad():
        assert functional.cross_entropy(supernet(images, arch), targets) < loss

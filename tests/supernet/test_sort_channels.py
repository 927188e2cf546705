"""Sorted channels: what was trained answers as before, and the leading channels weigh most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import randomised, tiny_space
from torch import Tensor

from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.sort_channels import sort_channels
from mcofa.supernet.network.supernet import Supernet

pytestmark = pytest.mark.torch

SPACES = [load_space("mcofa-micro"), tiny_space()]
by_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


def with_expand_ratios(space: SearchSpace, ratios: list[float], seed: int) -> Arch:
    """A random arch whose expand ratios are all among ``ratios``."""
    narrowed = SearchSpace.model_validate({**space.model_dump(), "expand_ratios": ratios})
    return narrowed.decode(narrowed.sample(1, np.random.default_rng(seed))[0])


def answer(supernet: Supernet, arch: Arch) -> Tensor:
    space = supernet.space
    side = space.resolutions[-1]
    images = torch.randn(4, space.input_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return supernet(images, arch)


def array(supernet: Supernet, name: str) -> npt.NDArray[np.float32]:
    return supernet.shared[name].detach().numpy().copy()


def project_norms(supernet: Supernet, block: str) -> npt.NDArray[np.float32]:
    return np.abs(array(supernet, f"{block}/project/conv/weight")).sum((0, 2, 3))


@by_space
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_subnets_with_the_largest_expand_ratio_answer_as_before(space: SearchSpace, seed: int) -> None:
    arch = with_expand_ratios(space, [space.expand_ratios[-1]], seed)
    supernet = randomised(space, seed)
    before = answer(supernet, arch)
    sort_channels(supernet)
    torch.testing.assert_close(answer(supernet, arch), before, rtol=1e-5, atol=1e-5)


@by_space
def test_the_hidden_channels_of_every_block_descend(space: SearchSpace) -> None:
    supernet = randomised(space)
    blocks = [
        name.removesuffix("/project/conv/weight") for name in supernet.shared if "/project/conv" in name
    ]
    elastic = [block for block in blocks if block.startswith("stages/")]
    assert len(elastic) == space.blocks
    assert all((np.diff(project_norms(supernet, block)) > 0).any() for block in elastic)
    sort_channels(supernet)
    assert all((np.diff(project_norms(supernet, block)) <= 0).all() for block in elastic)


def test_every_channel_keeps_its_weights_in_all_layers_of_the_block() -> None:
    space = SPACES[0]
    supernet, block = randomised(space), "stages/2/1"
    rows = ["expand/conv", "expand/norm", "depthwise/conv", "depthwise/norm", "squeeze_excite/expand"]
    # The bottleneck of squeeze-excite is sorted too, so what is compared there does not depend on its order.
    weights = [array(supernet, f"{block}/{row}/weight") for row in rows]
    before = {tuple(np.sort(w[i].ravel()) if "squeeze" in row else w[i].ravel())
              for i in range(192) for row, w in zip(rows, weights, strict=True)}  # fmt: skip
    norms = project_norms(supernet, block)
    depthwise = {float(norm): kernel for norm, kernel in zip(norms, weights[2], strict=True)}
    sort_channels(supernet)
    weights = [array(supernet, f"{block}/{row}/weight") for row in rows]
    after = {tuple(np.sort(w[i].ravel()) if "squeeze" in row else w[i].ravel())
             for i in range(192) for row, w in zip(rows, weights, strict=True)}  # fmt: skip
    assert after == before
    for norm, kernel in zip(project_norms(supernet, block), weights[2], strict=True):
        np.testing.assert_array_equal(kernel, depthwise[float(norm)])


def test_the_squeeze_excite_bottleneck_descends() -> None:
    supernet = randomised(SPACES[0])
    sort_channels(supernet)
    norms = np.abs(array(supernet, "stages/2/0/squeeze_excite/expand/weight")).sum((0, 2, 3))
    assert (np.diff(norms) <= 0).all()


@by_space
def test_the_fixed_first_block_and_the_matrices_stay(space: SearchSpace) -> None:
    supernet, expected = randomised(space), randomised(space)
    sort_channels(supernet)
    for name, parameter in supernet.named_parameters():
        if "stages" not in name or "kernel_transforms" in name:
            assert torch.equal(parameter, expected.get_parameter(name)), name


@by_space
def test_sorting_again_changes_nothing(space: SearchSpace) -> None:
    supernet = randomised(space)
    sort_channels(supernet)
    once = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    sort_channels(supernet)
    assert all(torch.equal(once[name], tensor) for name, tensor in supernet.state_dict().items())


@by_space
@pytest.mark.parametrize("trained", [1, 2, 3])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=3)
def test_expand_ratios_already_trained_answer_as_before(space: SearchSpace, trained: int, seed: int) -> None:
    ratios = [*space.expand_ratios[-trained:]]
    arch = with_expand_ratios(space, ratios, seed)
    supernet = randomised(space, seed)
    before = answer(supernet, arch)
    sort_channels(supernet, ratios)
    torch.testing.assert_close(answer(supernet, arch), before, rtol=1e-5, atol=1e-5)


def test_channels_that_only_wider_trained_ratios_use_stay_behind() -> None:
    space = SPACES[0]
    supernet = randomised(space)
    sort_channels(supernet, [2, 4])
    norms = project_norms(supernet, "stages/2/1")
    assert (np.diff(norms[:96]) <= 0).all()
    assert (np.diff(norms[96:]) <= 0).all()
    assert norms[96] > norms[95]


@by_space
def test_blocks_without_expansion_stay(space: SearchSpace) -> None:
    supernet, expected = randomised(space), randomised(space)
    sort_channels(supernet, [1])
    unexpanded = [name for name in supernet.shared if name.startswith("unexpanded/")]
    assert unexpanded
    for name in unexpanded:
        np.testing.assert_array_equal(array(supernet, name), array(expected, name))


def test_a_smaller_subnet_gets_the_most_important_channels() -> None:
    space = SPACES[0]
    supernet = randomised(space)
    norms = project_norms(supernet, "stages/1/1")
    sort_channels(supernet)
    smallest = supernet.extract(space.uniform(28, 2, 3, 2)).get_parameter("stages.1.1.project.conv.weight")
    np.testing.assert_allclose(smallest.detach().abs().sum((0, 2, 3)), np.sort(norms)[::-1][:80], rtol=1e-6)

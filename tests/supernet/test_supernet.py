"""Shared weights: the supernet's subnets against extracted ones and against numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from depthwise_separable import depthwise_separable_space
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import randomised, tiny_space
from torch import Tensor

from mcofa.errors import InvalidArchError
from mcofa.space.arch import Arch
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.subnet import Subnet
from mcofa.supernet.network.supernet import Supernet

pytestmark = pytest.mark.torch

SPACES = [load_space("mcofa-micro"), tiny_space()]
FAMILIES = [*SPACES, depthwise_separable_space()]
SUPERNETS = {space.name: randomised(space) for space in FAMILIES}
by_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
by_family = pytest.mark.parametrize("space", FAMILIES, ids=lambda space: space.name)
DEPTHWISE = "stages.0.0.depthwise.conv.weight"


def some_images(space: SearchSpace, seed: int, count: int = 6) -> Tensor:
    shape = (count, space.input_channels, *size_of(space.resolutions[-1]))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_arch(space: SearchSpace, seed: int) -> Arch:
    return space.decode(space.sample(1, np.random.default_rng(seed))[0])


def shared(supernet: Supernet, name: str, arch: Arch | None = None) -> Tensor:
    """What a subnet's parameter is a slice of; of the largest subnet if no arch is given."""
    parameter = supernet.shared[key(name, supernet.space, arch or supernet.space.largest())]
    assert isinstance(parameter, torch.nn.Parameter)
    return parameter


def key(name: str, space: SearchSpace, arch: Arch) -> str:
    parts = name.split(".")
    plain = parts[0] == "stages" and arch.expand_ratios[int(parts[1])][int(parts[2])] == 1
    plain = plain and space.stages[int(parts[1])].block == "mbconv"
    return "/".join(["unexpanded", *parts] if plain else parts)


@by_family
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12)
def test_an_extracted_subnet_answers_as_the_supernet(space: SearchSpace, seed: int) -> None:
    supernet, arch, images = SUPERNETS[space.name], random_arch(space, seed), some_images(space, seed)
    with torch.no_grad():
        subnet = supernet.extract(arch).train()
        torch.testing.assert_close(subnet(images), supernet(images, arch), rtol=1e-5, atol=1e-5)


def test_subnets_answer_differently() -> None:
    space = SPACES[0]
    images = some_images(space, 0)
    with torch.no_grad():
        answers = [SUPERNETS[space.name](images, random_arch(space, seed)) for seed in range(4)]
    assert all((one - other).abs().max() > 0.1 for one, other in itertools.pairwise(answers))


def test_the_answer_does_not_depend_on_which_subnet_ran_before() -> None:
    space = SPACES[1]
    supernet, images = SUPERNETS[space.name], some_images(space, 0)
    with torch.no_grad():
        first = supernet(images, space.smallest())
        for seed in range(3):
            supernet(some_images(space, seed), random_arch(space, seed))
        assert torch.equal(supernet(images, space.smallest()), first)


@by_family
def test_a_subnet_has_the_leading_channels_of_the_shared_weights(space: SearchSpace) -> None:
    supernet, arch = SUPERNETS[space.name], random_arch(space, 3)
    subnet = supernet.extract(arch)
    for name, parameter in subnet.named_parameters():
        whole = shared(supernet, name, arch).detach().numpy()
        if parameter.shape[2:] == whole.shape[2:]:
            leading = whole[: parameter.shape[0]]
            if parameter.ndim > 1:
                leading = leading[:, : parameter.shape[1]]
            np.testing.assert_array_equal(parameter.detach().numpy(), leading)
        else:
            assert name.endswith(".depthwise.conv.weight")


def kernels(space: SearchSpace, supernet: Supernet) -> dict[int, np.ndarray]:
    """The first block's kernels, by their size, widest block."""
    found = {}
    for size in space.kernel_sizes:
        arch = space.uniform(space.resolutions[0], 1, size, space.expand_ratios[-1])
        found[size] = supernet.extract(arch).get_parameter(DEPTHWISE).detach().numpy()[:, 0]
    return found


@by_family
def test_untrained_transformations_take_the_centre(space: SearchSpace) -> None:
    supernet = Supernet(space)
    whole = shared(supernet, DEPTHWISE).detach().numpy()[:, 0]
    found = kernels(space, supernet)
    for size, kernel in found.items():
        margin = (space.kernel_sizes[-1] - size) // 2
        centre = slice(margin, margin + size)
        np.testing.assert_array_equal(kernel, whole[:, centre, centre])


@by_family
def test_smaller_kernels_are_products_with_the_transformation_matrices(space: SearchSpace) -> None:
    supernet = SUPERNETS[space.name]
    found = kernels(space, supernet)
    larger = shared(supernet, DEPTHWISE).detach().double().numpy()[:, 0]
    np.testing.assert_allclose(found[space.kernel_sizes[-1]], larger, rtol=1e-6)
    for size in reversed(space.kernel_sizes[:-1]):
        name = f"{DEPTHWISE.replace('.', '/')}/{size}"
        matrix = supernet.kernel_transforms[name].detach().double().numpy()
        made = np.zeros((len(larger), size * size))
        for channel, kernel in enumerate(larger):
            for row in range(size * size):
                made[channel, row] = sum(
                    matrix[row, size * y + x] * kernel[1 + y, 1 + x] for y in range(size) for x in range(size)
                )
        larger = made.reshape(-1, size, size)
        np.testing.assert_allclose(found[size], larger, atol=1e-5)


@by_family
def test_gradients_reach_the_slices_that_the_subnet_uses_and_no_others(space: SearchSpace) -> None:
    supernet, arch = randomised(space, 1), space.smallest()
    supernet(some_images(space, 0), arch).square().sum().backward()
    used = {key(name, space, arch): weight for name, weight in Subnet(space, arch).named_parameters()}
    always_expands = space.expand_ratios[0] > 1
    assert always_expands or any(name.startswith("unexpanded/") for name in used)
    for name, parameter in supernet.shared.items():
        if name not in used:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        inside = torch.zeros_like(parameter, dtype=torch.bool)
        inside[tuple(slice(size) for size in used[name].shape[:2])] = True
        if parameter.shape[-1] == space.kernel_sizes[-1]:
            # The outermost pixels of the largest kernel are in no smaller one.
            edges = torch.ones(parameter.shape[-2:], dtype=torch.bool)
            edges[1:-1, 1:-1] = False
            inside[..., edges] = False
        assert parameter.grad[inside].any(), name
        assert not parameter.grad[~inside].any(), name
    for name, matrix in supernet.kernel_transforms.items():
        assert (matrix.grad is not None) == (name.rpartition("/")[0] in used), name


def test_the_largest_subnet_uses_every_shared_weight_and_no_transformation() -> None:
    space = SPACES[1]
    supernet = randomised(space, 1)
    supernet(some_images(space, 0), space.largest()).square().sum().backward()
    for name, parameter in supernet.shared.items():
        assert (parameter.grad is None) == name.startswith("unexpanded/"), name
    assert all(matrix.grad is None for matrix in supernet.kernel_transforms.values())


@by_space
def test_a_supernet_weighs_as_its_largest_subnet_the_blocks_without_expansion_and_the_matrices(
    space: SearchSpace,
) -> None:
    largest = sum(p.numel() for p in Subnet(space, space.largest()).parameters())
    plain = Subnet(space, space.uniform(space.resolutions[0], space.max_depth, space.kernel_sizes[-1], 1))
    blocks = sum(p.numel() for p in plain.stages.parameters())
    total = sum(p.numel() for p in Supernet(space).parameters())
    matrices = {"mcofa-micro": 9 * 9, "tiny": 9 * 9 + 25 * 25}[space.name]
    assert total == largest + blocks + 2 * space.blocks * matrices


def without_own_weights(supernet: Supernet) -> dict[str, Tensor]:
    return {name: weight for name, weight in supernet.state_dict().items() if "unexpanded" not in name}


def leads(supernet: Supernet) -> None:
    """Every block without expansion has the leading channels of the one with it."""
    parameters = dict(supernet.named_parameters())
    unexpanded = [name for name in parameters if "unexpanded/" in name]
    assert unexpanded
    for name in unexpanded:
        own, whole = parameters[name].detach(), parameters[name.replace("unexpanded/", "")].detach()
        np.testing.assert_array_equal(own, whole[tuple(slice(size) for size in own.shape)])


@by_space
def test_blocks_without_expansion_start_from_the_leading_channels(space: SearchSpace) -> None:
    leads(Supernet(space))
    supernet = randomised(space)
    supernet.start_unexpanded()
    leads(supernet)


@by_space
def test_weights_of_before_blocks_had_their_own_are_shared_as_they_were(space: SearchSpace) -> None:
    earlier, supernet = randomised(space, 5), Supernet(space)
    supernet.load_state_dict(without_own_weights(earlier))
    leads(supernet)
    images = some_images(space, 0)
    arch = space.uniform(space.resolutions[-1], space.max_depth, space.kernel_sizes[-1], 1)
    sharing = Subnet(space, arch).train()
    with torch.no_grad():
        for name, weight in sharing.named_parameters():
            weight.copy_(shared(earlier, name)[tuple(slice(size) for size in weight.shape)])
        torch.testing.assert_close(supernet(images, arch), sharing(images), rtol=1e-5, atol=1e-5)
        assert (earlier(images, arch) - sharing(images)).abs().max() > 0.01
        assert torch.equal(supernet(images, space.largest()), earlier(images, space.largest()))


@by_space
def test_other_missing_weights_are_refused(space: SearchSpace) -> None:
    weights = dict(Supernet(space).state_dict())
    del weights["shared.stages/0/0/project/conv/weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*shared.stages/0/0/project/conv/weight"):
        Supernet(space).load_state_dict(weights)


def test_a_space_that_never_expands_has_each_block_once() -> None:
    space = tiny_space().model_copy(update={"expand_ratios": (1,)})
    supernet = Supernet(space)
    assert sum(p.numel() for p in supernet.shared.values()) == sum(
        p.numel() for p in Subnet(space, space.largest()).parameters()
    )
    with torch.no_grad():
        assert supernet(some_images(space, 0), space.smallest()).shape == (6, space.classes)


def test_a_space_with_one_kernel_size_has_no_transformations() -> None:
    space = tiny_space().model_copy(update={"kernel_sizes": (3,)})
    assert not Supernet(space).kernel_transforms


def test_changing_an_extracted_subnet_leaves_the_supernet_alone() -> None:
    space = SPACES[1]
    supernet = SUPERNETS[space.name]
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with torch.no_grad():
        for parameter in supernet.extract(space.largest()).parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())


def test_an_arch_outside_the_space_is_refused() -> None:
    space = SPACES[1]
    with pytest.raises(InvalidArchError, match="kernel size 9 is not in tiny"):
        SUPERNETS[space.name].extract(space.uniform(12, 1, 9, 1))

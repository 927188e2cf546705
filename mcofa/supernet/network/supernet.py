"""The supernet: shared weights for a whole search space.

The weights are those of the largest subnet plus the kernel transformation
matrices of MIT OFA (Cai et al., arXiv 1908.09791). A smaller subnet uses the
leading channels of each layer and the transformed centre of each depthwise
kernel, so there is one forward pass, the subnet's own: the supernet only says
which slices of its parameters stand for the subnet's.

Blocks without an expand convolution (expand ratio 1) have weights of their own: their
depthwise convolution reads the block's input, not an expansion of it, and sharing the
weights cost both kinds accuracy (docs/training.md).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import describe
from mcofa.supernet.network.subnet import Subnet

_DEPTHWISE = "/depthwise/conv/weight"
UNEXPANDED = "unexpanded/"


class Supernet(nn.Module):
    """Shared weights; ``forward(images, arch)`` runs the subnet of ``arch``.

    Batch norm always normalises with the statistics of the batch here; a subnet that is
    to be evaluated gets statistics of its own (``mcofa.supernet.measure.evaluate.calibrate``).
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        arch = space.largest()
        largest = Subnet(space, arch)
        for module in largest.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        unexpanded = _sources(space.uncoupled(), space.expanded(arch, space.expand_ratios[0]))
        own = _unexpanded(largest)
        self.shared = nn.ParameterDict(
            {key: nn.Parameter(torch.empty(shape)) for key, shape in unexpanded.values()}
            | {_key(name, own): parameter for name, parameter in largest.named_parameters()}
        )
        # A kernel of size k is made from the centre of the next larger one by a learned k²×k² matrix.
        self.kernel_transforms = nn.ParameterDict(
            {
                f"{key}/{size}": nn.Parameter(torch.eye(size * size))
                for key in self.shared
                if "stages/" in key and key.endswith(_DEPTHWISE)
                for size in space.kernel_sizes[:-1]
            }
        )
        self.start_unexpanded()

    def start_unexpanded(self) -> None:
        """Give the blocks without an expand convolution the leading channels of those with one."""
        parameters = dict(self.named_parameters())
        with torch.no_grad():
            for name, weight in _leading_channels(parameters, parameters).items():
                parameters[name].copy_(weight)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights as any module does.

        Published files, and checkpoints from before blocks without an expand convolution had weights
        of their own, hold none of these: there such blocks used the leading channels, and do so again.
        """
        if not any(UNEXPANDED in name for name in state_dict):
            state_dict = {**state_dict, **_leading_channels(state_dict, dict(self.named_parameters()))}
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def weights(self, arch: Arch) -> dict[str, Tensor]:
        """Return the subnet's parameters, by its own names, as differentiable views of the shared ones."""
        return {name: self._slice(key, shape) for name, (key, shape) in _sources(self.space, arch).items()}

    def _slice(self, key: str, shape: torch.Size) -> Tensor:
        weight: Tensor = self.shared[key][tuple(slice(size) for size in shape[:2])]
        if key.endswith(_DEPTHWISE):
            for size in reversed([s for s in self.space.kernel_sizes if shape[-1] <= s < weight.shape[-1]]):
                margin = (weight.shape[-1] - size) // 2
                centre = weight[..., margin : margin + size, margin : margin + size]
                matrix = self.kernel_transforms[f"{key}/{size}"]
                weight = (centre.flatten(1) @ matrix.T).view(-1, 1, size, size)
        return weight

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Return the logits (n, classes) of the subnet of ``arch``, batch norm on batch statistics."""
        subnet = _skeleton(self.space, arch)
        logits: Tensor = torch.func.functional_call(subnet, self.weights(arch), (images,))
        return logits

    def extract(self, arch: Arch) -> Subnet:
        """Return the subnet of ``arch`` with copies of its weights, batch norm statistics not yet set."""
        subnet = Subnet(self.space, arch)
        with torch.no_grad():
            for name, weight in self.weights(arch).items():
                subnet.get_parameter(name).copy_(weight)
        return subnet


@functools.lru_cache(maxsize=64)
def _skeleton(space: SearchSpace, arch: Arch) -> Subnet:
    """Return the subnet's structure alone: no weights, no statistics.

    Its modules come from subnets whose blocks are all alike, as building modules takes longer
    than running them.
    """
    space.check(arch)
    ratios = space.expand_ratios
    subnet = copy.copy(_uniform_skeleton(space, space.kernel_sizes[-1], ratios[-1]))
    subnet.topology = describe(space, arch)
    subnet._modules = {
        **subnet._modules,
        "stages": nn.Sequential(
            *(
                nn.Sequential(
                    *(
                        _uniform_skeleton(
                            space, kernel, ratio if stage.expands else ratios[-1]
                        ).get_submodule(f"stages.{s}.{b}")
                        for b, (kernel, ratio) in enumerate(
                            zip(arch.kernel_sizes[s], arch.expand_ratios[s], strict=True)
                        )
                    )
                )
                for s, stage in enumerate(space.stages)
            )
        ),
    }
    return subnet


@functools.lru_cache(maxsize=256)
def _uniform_skeleton(space: SearchSpace, kernel_size: int, expand_ratio: float) -> Subnet:
    """Return the structure of the deepest subnet whose blocks are all alike."""
    arch = space.uniform(space.resolutions[-1], space.max_depth, kernel_size, expand_ratio)
    with torch.device("meta"):
        subnet = Subnet(space.uncoupled(), arch).train()
    for module in subnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return subnet


@functools.lru_cache(maxsize=64)
def _sources(space: SearchSpace, arch: Arch) -> dict[str, tuple[str, torch.Size]]:
    """Return for each of the subnet's parameters the shared one that it is a slice of, and its shape."""
    subnet = _skeleton(space, arch)
    unexpanded = _unexpanded(subnet)
    return {name: (_key(name, unexpanded), weight.shape) for name, weight in subnet.named_parameters()}


def _unexpanded(subnet: Subnet) -> tuple[str, ...]:
    """Return how the names of parameters begin that are of blocks without an expand convolution."""
    return tuple(f"{block.name}." for block in subnet.topology if block.unexpanded)


def _key(name: str, unexpanded: tuple[str, ...]) -> str:
    """Return the name among the shared weights of a subnet's parameter."""
    return (UNEXPANDED if name.startswith(unexpanded) else "") + name.replace(".", "/")


def _leading_channels(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return, for those wanted that are of blocks without an expand convolution, slices of the others'."""
    return {
        name: weights[expanded][tuple(slice(size) for size in parameter.shape)].clone()
        for name, parameter in wanted.items()
        if UNEXPANDED in name and (expanded := name.replace(UNEXPANDED, "")) in weights
    }

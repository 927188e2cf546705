"""The static torch module of one arch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mcofa.space.arch import Arch
from mcofa.space.search_space import Activation, SearchSpace, squeeze_width


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the odd pixel is added below and to the right."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[-2:]]
        if all(pad % 2 == 0 for pad in pads):
            padding = (pads[0] // 2, pads[1] // 2)
            return functional.conv2d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)
        height, width = pads
        edges = (width // 2, width - width // 2, height // 2, height - height // 2)
        padded = functional.pad(input, edges)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _activation(name: Activation | None) -> nn.Module:
    return {"relu": nn.ReLU, "hard_swish": nn.Hardswish, None: nn.Identity}[name]()


class SymmetricConv2d(nn.Conv2d):
    """Convolution with kernel_size // 2 pixels of padding on every side."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        padding = self.kernel_size[0] // 2
        return functional.conv2d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)


_CONVOLUTIONS: dict[str, type[nn.Conv2d]] = {"same": SameConv2d, "symmetric": SymmetricConv2d}


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(
        self,
        convolution: type[nn.Conv2d],
        input_width: int,
        width: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        super().__init__()
        self.conv = convolution(input_width, width, kernel_size, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.activation = _activation(activation)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the global averages (Hu et al., arXiv 1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(width, squeeze_width(width), 1)
        self.expand = nn.Conv2d(squeeze_width(width), width, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        squeezed = functional.relu(self.reduce(self.average(input)))
        gate: Tensor = functional.hardsigmoid(self.expand(squeezed))
        return input * gate


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-excite, project; with a shortcut where shapes allow it.

    There is no expand convolution when it would not widen (expand ratio 1).
    """

    def __init__(
        self,
        convolution: type[nn.Conv2d],
        input_width: int,
        hidden_width: int,
        width: int,
        kernel_size: int,
        stride: int,
        activation: Activation,
        squeeze_excite: bool,
    ) -> None:
        super().__init__()
        self.expand = (
            nn.Identity()
            if hidden_width == input_width
            else ConvBlock(convolution, input_width, hidden_width, activation=activation)
        )
        self.depthwise = ConvBlock(
            convolution, hidden_width, hidden_width, kernel_size, stride, hidden_width, activation
        )
        self.squeeze_excite = SqueezeExcite(hidden_width) if squeeze_excite else nn.Identity()
        self.project = ConvBlock(convolution, hidden_width, width)
        self.shortcut = stride == 1 and input_width == width

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        output: Tensor = self.project(self.squeeze_excite(self.depthwise(self.expand(input))))
        return input + output if self.shortcut else output


class Subnet(nn.Module):
    """The network of one arch, with weights of its own.

    Maps images (n, input_channels, resolution, resolution) to logits (n, classes).
    """

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        super().__init__()
        space.check(arch)
        stem, head = space.stem, space.head
        convolution = _CONVOLUTIONS[space.padding]
        self.stem = ConvBlock(
            convolution, space.input_channels, stem.width, 3, stem.stride, activation=stem.activation
        )
        self.first_block = InvertedResidual(
            convolution,
            stem.width,
            stem.width,
            stem.first_block_width,
            3,
            1,
            stem.first_block_activation,
            False,
        )
        width = stem.first_block_width
        stages = []
        for stage, kernels, expands in zip(space.stages, arch.kernel_sizes, arch.expand_ratios, strict=True):
            blocks = []
            for index, (kernel, expand) in enumerate(zip(kernels, expands, strict=True)):
                blocks.append(
                    InvertedResidual(
                        convolution,
                        width,
                        space.hidden_width(width, expand),
                        stage.width,
                        kernel,
                        stage.stride if index == 0 else 1,
                        stage.activation,
                        stage.squeeze_excite,
                    )
                )
                width = stage.width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.final_expand = ConvBlock(convolution, width, head.final_expand_width, activation=head.activation)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.feature_mix = nn.Conv2d(head.final_expand_width, head.feature_width, 1, bias=False)
        self.feature_activation = _activation(head.activation)
        self.classifier = nn.Conv2d(head.feature_width, space.classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (n, classes)."""
        features = self.final_expand(self.stages(self.first_block(self.stem(images))))
        mixed = self.feature_activation(self.feature_mix(self.average(features)))
        return torch.flatten(self.classifier(mixed), 1)

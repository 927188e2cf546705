"""The static torch module of one arch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mcofa.space.arch import Arch
from mcofa.space.blocks import Activation, Average, Convolution, Layer, SqueezeExcite
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import Block, describe


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

    def __init__(self, layer: Convolution, convolution: type[nn.Conv2d]) -> None:
        super().__init__()
        groups = layer.width if layer.depthwise else 1
        self.conv = convolution(
            layer.input_width, layer.width, layer.kernel, layer.stride, groups=groups, bias=layer.biased
        )
        self.norm = nn.BatchNorm2d(layer.width)
        self.activation = _activation(layer.activation)


class PlainConv2d(nn.Conv2d):
    """1×1 convolution and activation, without batch norm."""

    def __init__(self, layer: Convolution) -> None:
        super().__init__(layer.input_width, layer.width, 1, bias=layer.biased)
        self.activation = _activation(layer.activation)

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, h, w)."""
        output: Tensor = self.activation(super().forward(input))
        return output


class SqueezeExciteGate(nn.Module):
    """Scale each channel by a gate computed from the global averages (Hu et al., arXiv 1709.01507)."""

    def __init__(self, layer: SqueezeExcite) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.reduce = PlainConv2d(layer.reduce)
        self.expand = PlainConv2d(layer.expand)

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        gate: Tensor = functional.hardsigmoid(self.expand(self.reduce(self.average(input))))
        return input * gate


class BlockOfLayers(nn.Sequential):
    """Layers in a row, whose output the input is added to where the block has a ``shortcut``."""

    def __init__(self, block: Block, convolution: type[nn.Conv2d]) -> None:
        super().__init__()
        for layer in block.layers:
            self.add_module(layer.name.rpartition(".")[2], _module(layer, convolution))
        self.shortcut = block.shortcut

    def forward(self, input: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        output: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return input + output if self.shortcut else output


def _module(layer: Layer, convolution: type[nn.Conv2d]) -> nn.Module:
    match layer:
        case Convolution():
            return ConvBlock(layer, convolution) if layer.normalised else PlainConv2d(layer)
        case SqueezeExcite():
            return SqueezeExciteGate(layer)
        case Average():
            return nn.AdaptiveAvgPool2d(1)


class Subnet(nn.Sequential):
    """The network of one arch, with weights of its own; its modules have the names of the topology.

    Maps images (n, input_channels, height, width) to logits (n, classes).
    """

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        super().__init__()
        space.check(arch)
        self.topology = describe(space, arch)
        convolution = _CONVOLUTIONS[space.padding]
        for block in self.topology:
            if block.name:
                self._place(block.name, BlockOfLayers(block, convolution))
                continue
            for layer in block.layers:
                self._place(layer.name, _module(layer, convolution))

    def _place(self, path: str, module: nn.Module) -> None:
        folder: nn.Module = self
        *folders, name = path.split(".")
        for part in folders:
            if part not in folder._modules:
                folder.add_module(part, nn.Sequential())
            folder = folder.get_submodule(part)
        folder.add_module(name, module)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (n, classes)."""
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return logits.flatten(1)

"""A subnet as the device will compute it: int8 rounding in float arithmetic, open to gradients.

Rounding happens at the tensors of the int8 graph and nowhere else: the input, every op's output
(a ReLU belongs to the convolution before it), and every filter and bias, batch norm folded into them.
Gradients pass through as if nothing had been rounded (straight-through estimator), and stop where a
value is clipped. After Jacob et al. (arXiv 1712.05877).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mcofa.space.topology import Block
from mcofa.supernet.network.subnet import ConvBlock, PlainConv2d, SqueezeExciteGate, Subnet

Ranges = dict[str, tuple[float, float]]
"""The smallest and the largest number of each tensor whose range is free, in the graph's order.

Names are those of the module that makes the tensor. Gates and averages are not among them: a gate's
range is always [0, 1], an average has the range of what it averages.
"""

_LARGEST_BIAS = 2**30
_INT32 = (-(2**31), 2**31 - 1)
_RANGE_STEP = 0.01
_GATE_STEPS = (257 / 65536, -128)


class _Activation(NamedTuple):
    """A tensor of the int8 graph: multiples of ``scale``, 256 of them, 0 being the one at ``zero_point``."""

    values: Tensor
    scale: float
    zero_point: int


def activation_steps(low: float, high: float) -> tuple[float, int]:
    """Return scale and zero point of the int8 tensor that covers ``low`` to ``high`` and holds 0 exactly.

    The writer of the model file rounds such a scale up, by less than 2⁻¹⁴ of it.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def round_constants(weight: Tensor, bias: Tensor, input_scale: float) -> tuple[Tensor, Tensor]:
    """Return a convolution's filter and bias, rounded.

    ``weight``, (c_out, …), has 255 steps around 0 for each output channel; a step of the bias, (c_out,),
    is ``input_scale`` of them. They are widened where the bias would not fit int32.
    """
    largest = weight.detach().abs().amax((1, 2, 3))
    scales = torch.maximum(largest / 127, bias.detach().abs() / (input_scale * _LARGEST_BIAS))
    scales = torch.where(scales > 0, scales, 1.0)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return (
        torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -127, 127),
        torch.fake_quantize_per_channel_affine(bias, scales * input_scale, zeros, 0, *_INT32),
    )


def fold_batch_norm(block: ConvBlock) -> tuple[Tensor, Tensor]:
    """Return filter and bias of the convolution that stands for ``block``'s convolution and batch norm."""
    norm = block.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return block.conv.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain


class FakeQuantizedSubnet(nn.Module):
    """Runs ``subnet`` with the rounding of its int8 graph.

    Batch norm always uses the statistics that the subnet holds. In training mode the ranges follow
    those of the batches (exponential moving average); in eval mode they stay.
    """

    def __init__(self, subnet: Subnet, images: Tensor) -> None:
        """Start in eval mode, with the ranges of the float subnet on ``images``, (n, c, h, w), normalised."""
        super().__init__()
        self.subnet = subnet
        self.ranges: Ranges = {}
        self._rounds = False
        with torch.inference_mode():
            self(images)
        self._rounds = True
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (n, classes), as multiples of the output tensor's scale."""
        x = self._tensor("images", images)
        for block in self.subnet.topology:
            x = self._block(block, x)
        return x.values.flatten(1)

    def _block(self, block: Block, x: _Activation) -> _Activation:
        shortcut = x
        for layer in block.layers:
            module = self.subnet.get_submodule(layer.name)
            if isinstance(module, SqueezeExciteGate):
                x = self._squeeze_excite(layer.name, module, x)
            elif isinstance(module, nn.AdaptiveAvgPool2d):
                x = self._average(x)
            else:
                x = self._convolution(layer.name, module, x)
        return self._tensor(f"{block.name}.shortcut", shortcut.values + x.values) if block.shortcut else x

    def _squeeze_excite(self, name: str, block: SqueezeExciteGate, x: _Activation) -> _Activation:
        squeezed = self._convolution(f"{name}.reduce", block.reduce, self._average(x))
        gate = functional.hardsigmoid(self._convolve(block.expand, *_parameters(block.expand), squeezed))
        return self._tensor(name, x.values * self._rounded(gate, *_GATE_STEPS).values)

    def _convolution(self, name: str, module: nn.Module, x: _Activation) -> _Activation:
        if isinstance(module, ConvBlock):
            output = self._convolve(module.conv, *fold_batch_norm(module), x)
        else:
            assert isinstance(module, PlainConv2d)
            output = self._convolve(module, *_parameters(module), x)
        return self._activate(name, output, module.activation)

    def _convolve(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, x: _Activation) -> Tensor:
        if self._rounds:
            weight, bias = round_constants(weight, bias, x.scale)
        if isinstance(conv, PlainConv2d):
            return functional.conv2d(x.values, weight, bias)
        output: Tensor = torch.func.functional_call(conv, {"weight": weight, "bias": bias}, (x.values,))
        return output

    def _activate(self, name: str, output: Tensor, activation: nn.Module) -> _Activation:
        """Add the activation: a hard swish is an op of its own, and what it reads is a tensor too."""
        if isinstance(activation, nn.Hardswish):
            output = self._tensor(f"{name}.before_activation", output).values
        return self._tensor(name, activation(output))

    def _average(self, x: _Activation) -> _Activation:
        return self._rounded(x.values.mean((2, 3), keepdim=True), x.scale, x.zero_point)

    def _tensor(self, name: str, values: Tensor) -> _Activation:
        """Round a tensor whose range is free."""
        if name not in self.ranges or self.training:
            low, high = (extreme.item() for extreme in torch.aminmax(values.detach()))
            before_low, before_high = self.ranges.get(name, (low, high))
            self.ranges[name] = (
                before_low + _RANGE_STEP * (low - before_low),
                before_high + _RANGE_STEP * (high - before_high),
            )
        return self._rounded(values, *activation_steps(*self.ranges[name]))

    def _rounded(self, values: Tensor, scale: float, zero_point: int) -> _Activation:
        if self._rounds:
            values = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, -128, 127)
        return _Activation(values, scale, zero_point)


def _parameters(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    return conv.weight, conv.weight.new_zeros(len(conv.weight)) if conv.bias is None else conv.bias

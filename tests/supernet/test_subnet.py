"""Layers against numpy, and the static network against its description."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_training import tiny_space
from torch import nn

from mcofa.errors import InvalidArchError
from mcofa.space.arch import Arch
from mcofa.space.blocks import Convolution, SqueezeExcite
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.space.topology import Block
from mcofa.supernet.network.subnet import BlockOfLayers, SameConv2d, SqueezeExciteGate, Subnet

pytestmark = pytest.mark.torch

Array = npt.NDArray[np.float64]


def same_convolution(images: Array, weight: Array, stride: int, depthwise: bool) -> Array:
    """Convolve as TensorFlow documents SAME (tf.nn, "Notes on padding"), one output pixel at a time."""
    count, _, rows, columns = images.shape
    kernel = weight.shape[-1]

    def padding(side: int) -> tuple[int, int]:
        excess = side % stride
        total = max(kernel - stride, 0) if excess == 0 else max(kernel - excess, 0)
        return total // 2, total - total // 2

    padded = np.pad(images, ((0, 0), (0, 0), padding(rows), padding(columns)))
    output = np.zeros((count, len(weight), -(-rows // stride), -(-columns // stride)))
    for y in range(output.shape[2]):
        for x in range(output.shape[3]):
            window = padded[:, :, y * stride : y * stride + kernel, x * stride : x * stride + kernel]
            output[:, :, y, x] = (
                np.einsum("ncij,cij->nc", window, weight[:, 0])
                if depthwise
                else np.einsum("ncij,ocij->no", window, weight)
            )
    return output


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (7, 7), (8, 8), (6, 9), (1, 1), (28, 28)], ids=str)
def test_same_convolution_equals_tensorflows_rule(
    shape: tuple[int, int], kernel: int, stride: int, depthwise: bool
) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 4, *shape))
    weight = rng.normal(size=(4, 1 if depthwise else 4, kernel, kernel))
    convolution = SameConv2d(4, 4, kernel, stride, groups=4 if depthwise else 1, bias=False).double()
    with torch.inference_mode():
        convolution.weight.copy_(torch.from_numpy(weight))
        output = convolution(torch.from_numpy(images)).numpy()
    expected = same_convolution(images, weight, stride, depthwise)
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, atol=1e-10)


def test_the_odd_pixel_of_padding_is_below_and_to_the_right() -> None:
    convolution = SameConv2d(1, 1, 3, 2, bias=False)
    with torch.inference_mode():
        convolution.weight.fill_(1)
        output = convolution(torch.arange(16.0).view(1, 1, 4, 4))
    # Rows and columns 0-2 and 2-4 of which 4 does not exist: 0+1+2+4+5+6+8+9+10, 2+3+6+7+10+11, …
    assert output.flatten().tolist() == [45, 39, 66, 50]


def test_squeeze_excite_scales_each_channel_by_its_gate() -> None:
    layer = SqueezeExciteGate(SqueezeExcite("gate", 16, 8)).double()
    images = torch.randn(3, 16, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    reduce, expand = (
        (convolution.weight.detach().numpy()[:, :, 0, 0], np.asarray(convolution.bias.detach()))
        for convolution in (layer.reduce, layer.expand)
        if convolution.bias is not None
    )
    averages = images.numpy().mean((2, 3))
    squeezed = np.maximum(averages @ reduce[0].T + reduce[1], 0)
    gates = np.clip((squeezed @ expand[0].T + expand[1]) / 6 + 0.5, 0, 1)
    with torch.inference_mode():
        output = layer(images).numpy()
    np.testing.assert_allclose(output, images.numpy() * gates[:, :, None, None], atol=1e-12)


def test_an_expand_convolution_exists_only_where_it_widens() -> None:
    space = load_space("mcofa-micro")
    expands = {f"stages.{stage}.0.expand" for stage in range(3)}
    for ratio, found in ((1, set()), (2, expands)):
        subnet = Subnet(space, space.uniform(28, 1, 3, ratio))
        assert expands & {name for name, _ in subnet.named_modules()} == found


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_shortcut_adds_the_input(shortcut: bool) -> None:
    layers = (Convolution("block.one", (4, 4), 8, 8), Convolution("block.two", (4, 4), 8, 8))
    block = BlockOfLayers(Block((0, 0), "block", layers, shortcut), SameConv2d)
    nn.init.zeros_(block.two.norm.weight)  # type: ignore[union-attr, arg-type]
    images = torch.randn(2, 8, 4, 4)
    with torch.inference_mode():
        output = block(images)
    torch.testing.assert_close(output, images if shortcut else torch.zeros_like(output))


@pytest.mark.parametrize("space", [load_space("mcofa-micro"), tiny_space()], ids=lambda space: space.name)
def test_parameters_are_those_of_the_stage_table(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for arch in (space.smallest(), space.largest(), space.decode(space.sample(1, rng)[0])):
        assert sum(p.numel() for p in Subnet(space, arch).parameters()) == parameters_of(space, arch)


def test_parameters_of_the_smallest_micro_subnet_by_hand() -> None:
    space = load_space("mcofa-micro")
    stem = 9 * 4 + 8 + (9 * 4 + 8 + 4 * 8 + 16)
    stage_1 = 9 * 8 + 16 + 8 * 16 + 32
    stage_2 = 9 * 16 + 32 + 16 * 40 + 80
    stage_3 = 9 * 40 + 80 + (40 * 16 + 16 + 16 * 40 + 40) + 40 * 48 + 96
    head = 48 * 96 + 192 + 96 * 48 + (48 * 10 + 10)
    total = sum(p.numel() for p in Subnet(space, space.smallest()).parameters())
    assert total == stem + stage_1 + stage_2 + stage_3 + head


def parameters_of(space: SearchSpace, arch: Arch) -> int:
    def convolved(kernel: int, input_width: int, width: int) -> int:
        return kernel * kernel * input_width * width + 2 * width

    def block(input_width: int, hidden: int, width: int, kernel: int, squeeze_excite: bool) -> int:
        squeezed = max(8, (hidden // 4 + 4) // 8 * 8)
        squeezed += 8 if squeezed < 0.9 * (hidden // 4) else 0
        gate = 2 * hidden * squeezed + hidden + squeezed if squeeze_excite else 0
        widened = convolved(1, input_width, hidden) if hidden != input_width else 0
        return widened + convolved(kernel, 1, hidden) + gate + convolved(1, hidden, width)

    stem, head = space.stem, space.head
    total = convolved(3, space.input_channels, stem.width)
    total += block(stem.width, stem.width, stem.first_block_width, 3, False)
    width = stem.first_block_width
    for stage, kernels, expands in zip(space.stages, arch.kernel_sizes, arch.expand_ratios, strict=True):
        for kernel, expand in zip(kernels, expands, strict=True):
            hidden = width if expand == 1 else (int(width * expand) + 4) // 8 * 8
            total += block(width, hidden, stage.width, kernel, stage.squeeze_excite)
            width = stage.width
    total += convolved(1, width, head.final_expand_width) + head.final_expand_width * head.feature_width
    return total + head.feature_width * space.classes + space.classes


def test_logits_have_one_row_an_image_whatever_its_side() -> None:
    space = tiny_space()
    subnet = Subnet(space, space.largest()).eval()
    with torch.inference_mode():
        assert subnet(torch.zeros(5, 1, 12, 12)).shape == (5, 3)
        assert subnet(torch.zeros(1, 1, 3, 3)).shape == (1, 3)


def test_an_arch_of_another_space_is_refused() -> None:
    with pytest.raises(InvalidArchError, match="resolution 28 is not in tiny"):
        Subnet(tiny_space(), Arch(28, ((3,), (3,)), ((1,), (1,))))

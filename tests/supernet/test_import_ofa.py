"""Published weights against a description of the published networks that knows nothing of ours.

What is described here, in upstream's order and words, is ``OFAMobileNetV3`` of
mit-han-lab/once-for-all at f03b2673db313b9167e2a1c2b7a5cad540cc1313
(ofa/imagenet_classification/elastic_nn/networks/ofa_mbv3.py; layers from
elastic_nn/modules/dynamic_layers.py and dynamic_op.py, ofa/utils/layers.py and
pytorch_modules.py) and ``OFAMobileNetV3CtV1`` to ``CtV3`` and ``CompOFAMobileNetV3`` of
MaximeGirard/memory-optimized-once-for-all at db7c2471f9ba6376d36a5583033da41a3d25ee34
(ofa/classification/elastic_nn/networks/ofa_mbv3_ct_v1.py to _v3.py, ofa_mbv3_compound.py).
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from depthwise_separable import depthwise_separable_space
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_training import config, header, names_in, tiny_space
from torch import Tensor
from torch.nn import functional

from mcofa.errors import DiskWriteError, FileFormatError, MissingFileError
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.checkpoint import load_checkpoint, load_supernet
from mcofa.supernet.network.import_ofa import import_checkpoint, import_ofa
from mcofa.supernet.network.supernet import Supernet

pytestmark = pytest.mark.torch

State = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """The arguments and constants of one of upstream's network classes."""

    base_stage_width: tuple[int, ...]
    stride_stages: tuple[int, ...]
    act_stages: tuple[str, ...]
    se_stages: tuple[bool, ...]
    max_expand_ratio: float
    max_depth: int = 4
    image_channels: int = 3
    n_classes: int = 1000


def constant_memory(max_expand_ratio: float) -> Network:
    return Network(
        (3, 8, 24, 96, 288, 360, 384, 392, 392),
        (1, 2, 2, 2, 2, 2),
        ("relu", "h_swish", "h_swish", "h_swish", "relu", "h_swish"),
        (False, False, True, True, False, True),
        max_expand_ratio,
    )


OFA = Network(
    (16, 16, 24, 40, 80, 112, 160, 960, 1280),
    (1, 2, 2, 2, 1, 2),
    ("relu", "relu", "relu", "h_swish", "h_swish", "h_swish"),
    (False, False, True, False, True, True),
    6,
)
NETWORKS = {
    "ofa": OFA,
    "compofa": OFA,
    "compofa-fixed-kernel": OFA,
    "mcofa-v1": constant_memory(6),
    "mcofa-v2": constant_memory(2),
    "mcofa-v3": constant_memory(4),
}
# SHA-256 of the lines "key shape" of upstream's own state dicts, sorted: made once from
# the classes at the commits above.
LISTINGS = {
    "ofa": "f7ec71d23496b192093eb833ae556ec4eaff4f73efdf98c2dd9e49874d44963a",
    "compofa": "f7ec71d23496b192093eb833ae556ec4eaff4f73efdf98c2dd9e49874d44963a",
    "compofa-fixed-kernel": "f7ec71d23496b192093eb833ae556ec4eaff4f73efdf98c2dd9e49874d44963a",
    "mcofa-v1": "07a08bf77edc72cef68f933c7fae9e625619016e736e8415d0ca159932ad4a1c",
    "mcofa-v2": "e6b37de9d4b0932a42f699d1c6a39fbb68b58bd3aa7abedede9c5d1b5a14f81c",
    "mcofa-v3": "e9a9a5ceba91ff70703f7ff621151d985cb2aa2bbca30150342331903f2a3c94",
}
# A network of the same make that is quick to build, and the space that stands for it.
TINY = Network(
    (8, 8, 8, 16, 16, 8), (1, 1, 2), ("relu", "relu", "h_swish"), (False, False, True), 1.5, 2, 1, 3
)
TINY_SPACE = SearchSpace.model_validate(
    {
        **tiny_space().model_dump(),
        "padding": "symmetric",
        "stem": {**tiny_space().stem.model_dump(), "activation": "hard_swish"},
    }
)


def make_divisible(value: float) -> int:
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def block_inputs(network: Network) -> Iterator[tuple[int, int, int]]:
    """Yield (stage, input channels, output channels) of every block, the first block left out."""
    feature_dim = network.base_stage_width[1]
    for stage, width in enumerate(network.base_stage_width[2:-2], 1):
        for _ in range(network.max_depth):
            yield stage, feature_dim, width
            feature_dim = width


def published_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(key: str, channels: int) -> None:
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{statistic}"] = (channels,)
        shapes[f"{key}.num_batches_tracked"] = ()

    widths = network.base_stage_width
    shapes["first_conv.conv.weight"] = (widths[0], network.image_channels, 3, 3)
    norm("first_conv.bn", widths[0])
    shapes["blocks.0.conv.depth_conv.conv.weight"] = (widths[0], 1, 3, 3)
    norm("blocks.0.conv.depth_conv.bn", widths[0])
    shapes["blocks.0.conv.point_linear.conv.weight"] = (widths[1], widths[0], 1, 1)
    norm("blocks.0.conv.point_linear.bn", widths[1])
    for number, (stage, in_channel, out_channel) in enumerate(block_inputs(network), 1):
        block = f"blocks.{number}.conv"
        middle = make_divisible(round(in_channel * network.max_expand_ratio))
        shapes[f"{block}.inverted_bottleneck.conv.conv.weight"] = (middle, in_channel, 1, 1)
        norm(f"{block}.inverted_bottleneck.bn.bn", middle)
        shapes[f"{block}.depth_conv.conv.conv.weight"] = (middle, 1, 7, 7)
        shapes[f"{block}.depth_conv.conv.5to3_matrix"] = (9, 9)
        shapes[f"{block}.depth_conv.conv.7to5_matrix"] = (25, 25)
        norm(f"{block}.depth_conv.bn.bn", middle)
        if network.se_stages[stage]:
            reduced = make_divisible(middle // 4)
            shapes[f"{block}.depth_conv.se.fc.reduce.weight"] = (reduced, middle, 1, 1)
            shapes[f"{block}.depth_conv.se.fc.reduce.bias"] = (reduced,)
            shapes[f"{block}.depth_conv.se.fc.expand.weight"] = (middle, reduced, 1, 1)
            shapes[f"{block}.depth_conv.se.fc.expand.bias"] = (middle,)
        shapes[f"{block}.point_linear.conv.conv.weight"] = (out_channel, middle, 1, 1)
        norm(f"{block}.point_linear.bn.bn", out_channel)
    shapes["final_expand_layer.conv.weight"] = (widths[-2], widths[-3], 1, 1)
    norm("final_expand_layer.bn", widths[-2])
    shapes["feature_mix_layer.conv.weight"] = (widths[-1], widths[-2], 1, 1)
    shapes["classifier.linear.weight"] = (network.n_classes, widths[-1])
    shapes["classifier.linear.bias"] = (network.n_classes,)
    return shapes


def random_state(network: Network, seed: int = 0) -> State:
    """Random weights in the size that keeps activations alive; kernel matrices near the identity."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for key, shape in published_shapes(network).items():
        values = torch.randn(shape, generator=generator)
        if key.endswith("_matrix"):
            values = torch.eye(shape[0]) + 0.2 * values
        elif len(shape) > 1:
            values = values * (2 / int(np.prod(shape[1:]))) ** 0.5
        elif key.endswith(("bn.weight", "running_var")):
            values = 1 + 0.1 * values.abs()
        elif not shape:
            values = torch.tensor(100)
        state[key] = values
    return state


def published_logits(state: State, network: Network, arch: Arch, images: Tensor) -> Tensor:
    """What upstream's extracted subnet answers in training mode.

    That is ``set_active_subnet`` and a forward pass, except that a block of expand ratio 1 has no
    expand convolution, as in ``MBConvLayer``; the published supernet keeps it there.
    """

    def conv(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)

    def norm(x: Tensor, key: str) -> Tensor:
        gain, shift = (state[f"{key}.{name}"][: x.shape[1]] for name in ("weight", "bias"))
        return functional.batch_norm(x, None, None, gain, shift, training=True)

    def h_swish(x: Tensor) -> Tensor:
        return x * functional.relu6(x + 3) / 6

    acts: dict[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu, "h_swish": h_swish}
    x = h_swish(norm(conv(images, state["first_conv.conv.weight"], 2), "first_conv.bn"))
    block, act = "blocks.0.conv", acts[network.act_stages[0]]
    y = conv(x, state[f"{block}.depth_conv.conv.weight"], network.stride_stages[0], x.shape[1])
    y = conv(act(norm(y, f"{block}.depth_conv.bn")), state[f"{block}.point_linear.conv.weight"])
    y = norm(y, f"{block}.point_linear.bn")
    x = x + y if x.shape[1] == y.shape[1] else y
    for stage, (kernels, expands) in enumerate(zip(arch.kernel_sizes, arch.expand_ratios, strict=True), 1):
        act = acts[network.act_stages[stage]]
        for index, (kernel, expand) in enumerate(zip(kernels, expands, strict=True)):
            block = f"blocks.{1 + (stage - 1) * network.max_depth + index}.conv"
            middle = make_divisible(round(x.shape[1] * expand))
            y = x
            if expand != 1:
                y = conv(y, state[f"{block}.inverted_bottleneck.conv.conv.weight"][:middle])
                y = act(norm(y, f"{block}.inverted_bottleneck.bn.bn"))
            filters = state[f"{block}.depth_conv.conv.conv.weight"][:middle]
            for source, target in ((7, 5), (5, 3)):
                if kernel < source:
                    centre = filters[:, :, 1:-1, 1:-1].reshape(middle, target * target)
                    matrix = state[f"{block}.depth_conv.conv.{source}to{target}_matrix"]
                    filters = functional.linear(centre, matrix).view(middle, 1, target, target)
            stride = network.stride_stages[stage] if index == 0 else 1
            y = act(norm(conv(y, filters, stride, middle), f"{block}.depth_conv.bn.bn"))
            if network.se_stages[stage]:
                mid, se = make_divisible(middle // 4), f"{block}.depth_conv.se.fc"
                z = y.mean(3, keepdim=True).mean(2, keepdim=True)
                reduce, expand_back = state[f"{se}.reduce.weight"], state[f"{se}.expand.weight"]
                z = functional.conv2d(z, reduce[:mid, :middle], state[f"{se}.reduce.bias"][:mid])
                z = functional.conv2d(
                    functional.relu(z), expand_back[:middle, :mid], state[f"{se}.expand.bias"][:middle]
                )
                y = y * functional.relu6(z + 3) / 6
            y = conv(y, state[f"{block}.point_linear.conv.conv.weight"][:, :middle])
            y = norm(y, f"{block}.point_linear.bn.bn")
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
    x = h_swish(norm(conv(x, state["final_expand_layer.conv.weight"]), "final_expand_layer.bn"))
    x = x.mean(3, keepdim=True).mean(2, keepdim=True)
    x = h_swish(conv(x, state["feature_mix_layer.conv.weight"])).flatten(1)
    return functional.linear(x, state["classifier.linear.weight"], state["classifier.linear.bias"])


def saved(folder: Path, state: object) -> Path:
    path = folder / "published"
    torch.save(state, path)
    return path


def same(one: Supernet, other: Supernet) -> bool:
    weights, expected = one.state_dict(), other.state_dict()
    return weights.keys() == expected.keys() and all(torch.equal(weights[n], expected[n]) for n in expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_description_is_upstreams_own_list_of_keys_and_shapes(name: str) -> None:
    lines = sorted(f"{key} {shape}" for key, shape in published_shapes(NETWORKS[name]).items())
    assert len(lines) == 475
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == LISTINGS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_published_network_is_accepted(tmp_path: Path, name: str) -> None:
    # A file of one repeated number a tensor is small, whatever the shapes.
    state = {key: torch.ones(()).expand(shape) for key, shape in published_shapes(NETWORKS[name]).items()}
    supernet = import_ofa(saved(tmp_path, {"state_dict": state}), load_space(name))
    learned = [shape for key, shape in published_shapes(NETWORKS[name]).items() if "bn.r" not in key]
    if name != "compofa-fixed-kernel":
        numbers = sum(int(np.prod(shape)) for shape in learned if shape)
        published = [p.numel() for name, p in supernet.named_parameters() if "unexpanded/" not in name]
        assert sum(published) == numbers


def compare_with_upstream(
    folder: Path, network: Network, space: SearchSpace, archs: list[Arch], side: int
) -> None:
    state = random_state(network)
    supernet = import_ofa(saved(folder, {"state_dict": state}), space)
    images = torch.randn(4, network.image_channels, side, side, generator=torch.Generator().manual_seed(1))
    for arch in archs:
        with torch.no_grad():
            expected = published_logits(state, network, arch, images)
            answer = supernet(images, arch)
        assert expected.std() > 0.1
        torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)


def test_all_tiny_subnets_answer_as_upstream_computes_them(tmp_path: Path) -> None:
    genomes = TINY_SPACE.sample(12, np.random.default_rng(0))
    archs = [TINY_SPACE.largest(), TINY_SPACE.smallest(), *(TINY_SPACE.decode(g) for g in genomes)]
    compare_with_upstream(tmp_path, TINY, TINY_SPACE, archs, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ofa", "compofa-fixed-kernel", "mcofa-v2"])
def test_imagenet_subnets_answer_as_upstream_computes_them(tmp_path: Path, name: str) -> None:
    space = load_space(name)
    arch = space.decode(space.sample(1, np.random.default_rng(0))[0])
    # 128 pixels leave the last stage with more than one.
    archs = [space.largest(), space.smallest(), arch]
    compare_with_upstream(tmp_path, NETWORKS[name], space, archs, 128)


RENAMINGS: dict[str, Callable[[str], str]] = {
    "data parallel": lambda key: f"module.{key}",
    "first release": lambda key: re.sub(r"^(blocks\.\d+)\.conv\.", r"\1.mobile_inverted_conv.", key),
    "elastic classifier": lambda key: key.replace("classifier.linear.", "classifier.linear.linear."),
    "elastic stem": lambda key: re.sub(r"^first_conv\.(conv|bn)", r"first_conv.\1.\1", key),
    "static blocks": lambda key: key.replace(".conv.conv.weight", ".conv.weight").replace(".bn.bn.", ".bn."),
}


@pytest.mark.parametrize("renaming", RENAMINGS)
def test_older_names_are_read(tmp_path: Path, renaming: str) -> None:
    state = random_state(TINY)
    renamed = {RENAMINGS[renaming](key): value for key, value in state.items()}
    assert renamed.keys() != state.keys()
    expected = import_ofa(saved(tmp_path, state), TINY_SPACE)
    assert same(import_ofa(saved(tmp_path, renamed), TINY_SPACE), expected)


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    state = random_state(TINY)
    state["module.classifier.linear.bias"] = state["classifier.linear.bias"]
    with pytest.raises(FileFormatError, match="the same tensor under an older and a newer name"):
        import_ofa(saved(tmp_path, state), TINY_SPACE)


def test_what_a_training_run_saves_beside_the_weights_is_ignored(tmp_path: Path) -> None:
    state = random_state(TINY)
    content = {"epoch": 7, "best_acc": 71.5, "optimizer": {"state": {}}, "state_dict": state}
    expected = import_ofa(saved(tmp_path, state), TINY_SPACE)
    assert same(import_ofa(saved(tmp_path, content), TINY_SPACE), expected)


def test_files_of_old_torch_releases_are_read(tmp_path: Path) -> None:
    state = random_state(TINY)
    torch.save({"state_dict": state}, tmp_path / "old", _use_new_zipfile_serialization=False)
    expected = import_ofa(saved(tmp_path, state), TINY_SPACE)
    assert same(import_ofa(tmp_path / "old", TINY_SPACE), expected)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in random_state(TINY).items()}
    supernet = import_ofa(saved(tmp_path, state), TINY_SPACE)
    assert {parameter.dtype for parameter in supernet.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in supernet.parameters())


def test_running_statistics_are_left_behind(tmp_path: Path) -> None:
    state = random_state(TINY)
    expected = import_ofa(saved(tmp_path, state), TINY_SPACE)
    for key in state:
        if "running" in key:
            state[key] = state[key] + 5
    assert same(import_ofa(saved(tmp_path, state), TINY_SPACE), expected)


def test_a_fixed_kernel_size_takes_the_kernels_made_from_the_larger_ones(tmp_path: Path) -> None:
    path = saved(tmp_path, random_state(TINY))
    stages = [
        {**stage.model_dump(), "kernel_size": size}
        for stage, size in zip(TINY_SPACE.stages, (3, 5), strict=True)
    ]
    fixed = SearchSpace.model_validate({**TINY_SPACE.model_dump(), "name": "fixed", "stages": stages})
    free, narrow = import_ofa(path, TINY_SPACE), import_ofa(path, fixed)
    images = torch.randn(4, 1, 12, 12)
    with torch.no_grad():
        for arch in (fixed.largest(), fixed.smallest()):
            torch.testing.assert_close(narrow(images, arch), free(images, arch), rtol=1e-5, atol=1e-5)


# Refusals


def refusal(folder: Path, state: object, space: SearchSpace = TINY_SPACE) -> str:
    with pytest.raises(FileFormatError) as caught:
        import_ofa(saved(folder, state), space)
    return str(caught.value)


def test_a_missing_an_unexpected_and_a_misshaped_tensor_are_listed(tmp_path: Path) -> None:
    state = random_state(TINY)
    del state["blocks.2.conv.depth_conv.conv.5to3_matrix"]
    state["blocks.9.conv.extra"] = torch.zeros(2, 3)
    state["blocks.1.conv.inverted_bottleneck.conv.conv.weight"] = torch.zeros(16, 8)
    message = refusal(tmp_path, state)
    assert "3 keys or shapes do not fit the space tiny" in message
    assert "missing blocks.2.conv.depth_conv.conv.5to3_matrix (9, 9)" in message
    assert "unexpected blocks.9.conv.extra (2, 3)" in message
    weight = "blocks.1.conv.inverted_bottleneck.conv.weight"
    assert f"{weight} has shape (16, 8), expected (16, 8, 1, 1)" in message
    assert "more" not in message


@pytest.mark.parametrize(
    "key",
    [
        "first_conv.bn.bias",
        "blocks.0.conv.point_linear.conv.weight",
        "blocks.2.conv.depth_conv.conv.7to5_matrix",
        "blocks.3.conv.depth_conv.se.fc.reduce.bias",
        "blocks.4.conv.inverted_bottleneck.bn.bn.num_batches_tracked",
        "blocks.4.conv.point_linear.bn.bn.running_var",
        "classifier.linear.weight",
    ],
)
def test_every_single_tensor_is_needed_in_its_shape(tmp_path: Path, key: str) -> None:
    state: State = {name: torch.ones(()).expand(shape) for name, shape in published_shapes(TINY).items()}
    removed = {name: value for name, value in state.items() if name != key}
    assert "1 keys or shapes do not fit" in refusal(tmp_path, removed)
    assert "1 keys or shapes do not fit" in refusal(tmp_path, {**state, key: torch.ones(2, 3)})


def test_the_first_ten_of_many_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    state = {key: value for key, value in random_state(TINY).items() if "num_batches" not in key}
    message = refusal(tmp_path, state)
    assert message.count("missing ") == 10
    norms = len(published_shapes(TINY)) - len(state)
    assert f"{norms} keys or shapes" in message
    assert f"and {norms - 10} more" in message


def test_weights_of_another_space_name_it(tmp_path: Path) -> None:
    shapes = published_shapes(NETWORKS["mcofa-v3"])
    state = {key: torch.ones(()).expand(shape) for key, shape in shapes.items()}
    assert "its keys and shapes are those of mcofa-v3: give --space mcofa-v3" in refusal(
        tmp_path, state, load_space("ofa")
    )


def test_a_network_for_fewer_classes_needs_a_space_file(tmp_path: Path) -> None:
    shapes = {
        **published_shapes(OFA),
        "classifier.linear.weight": (10, 1280),
        "classifier.linear.bias": (10,),
    }
    state = {key: torch.ones(()).expand(shape) for key, shape in shapes.items()}
    message = refusal(tmp_path, state, load_space("ofa"))
    assert "classifier.linear.weight has shape (10, 1280), expected (1000, 1280)" in message
    assert "write a space file with its widths, expand ratios and classes" in message
    ten = SearchSpace.model_validate({**load_space("ofa").model_dump(), "classes": 10})
    assert import_ofa(saved(tmp_path, state), ten).space.classes == 10


def test_a_space_with_tensorflows_padding_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, random_state(TINY), tiny_space())
    assert "pads symmetrically, the space tiny has padding same" in message


def test_a_space_of_another_family_is_refused(tmp_path: Path) -> None:
    space = depthwise_separable_space(padding="symmetric")
    assert "of kind mbconv, the space ds-tiny also ds" in refusal(tmp_path, random_state(TINY), space)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {"state_dict": [1]}, {"a": 3}, 5], ids=str
)
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    assert "holds no state dict" in refusal(tmp_path, content)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_file_is_not_run(tmp_path: Path, save: Callable[[object, Path], None]) -> None:
    save({"state_dict": Trap(tmp_path / "touched")}, tmp_path / "published")
    with pytest.raises(FileFormatError, match="no file of tensors that torch reads"):
        import_ofa(tmp_path / "published", TINY_SPACE)
    assert names_in(tmp_path) == ["published"]


@given(content=st.binary(max_size=200))
@example(b"")
@example(b"PK\x03\x04")
@settings(max_examples=50)
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"random: (no file of tensors|holds no state dict)"):
        import_ofa(path, TINY_SPACE)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float, zipped: bool) -> None:
    path = tmp_path / "published"
    torch.save(random_state(TINY), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(FileFormatError, match="no file of tensors that torch reads"):
        import_ofa(path, TINY_SPACE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch", tmp_path):
        with pytest.raises(MissingFileError, match=f"file with published weights not found: {path}"):
            import_ofa(path, TINY_SPACE)


# Checkpoints


def test_a_checkpoint_of_imported_weights_is_read_again(tmp_path: Path) -> None:
    path, checkpoint = saved(tmp_path, random_state(TINY)), tmp_path / "new" / "imported.safetensors"
    written = import_checkpoint(path, TINY_SPACE, checkpoint)
    read, supernet = load_supernet(checkpoint)
    assert read == written
    assert read.space == TINY_SPACE
    assert read.space.padding == "symmetric"
    assert read.origin == f"published (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()})"
    assert (read.config, read.step, read.validation_top1_percent) == (None, 0, {})
    assert same(supernet, import_ofa(path, TINY_SPACE))


def test_imported_weights_name_no_data_set(tmp_path: Path) -> None:
    checkpoint = tmp_path / "imported.safetensors"
    import_checkpoint(saved(tmp_path, random_state(TINY)), TINY_SPACE, checkpoint)
    with pytest.raises(
        FileFormatError, match=r"published \(sha256 .*\): imported weights, which name no data"
    ):
        assert load_checkpoint(checkpoint)[0].data
    assert header(TINY_SPACE, config(tmp_path)).data == str(tmp_path / "images")


def test_a_checkpoint_that_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    path = saved(tmp_path, random_state(TINY))
    with pytest.raises(DiskWriteError, match="cannot write"):
        import_checkpoint(path, TINY_SPACE, path / "checkpoint.safetensors")

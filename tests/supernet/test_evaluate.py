"""Calibration, accuracy, and the accuracy of a checkpoint's subnets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CLASSES, SIDE, config, header, randomised, tiny_space, write_image, write_inputs
from torch import Tensor, nn

from mcofa.errors import FileFormatError, InvalidArchError, MissingFileError
from mcofa.supernet.data.splits import Preprocessing, Split
from mcofa.supernet.measure.evaluate import calibrate, top1_percent
from mcofa.supernet.measure.evaluate_checkpoint import evaluate_checkpoint
from mcofa.supernet.network.checkpoint import save_checkpoint
from mcofa.supernet.network.subnet import Subnet

pytestmark = pytest.mark.torch

SPACE = tiny_space()
PREPROCESSING = Preprocessing(0.4, 0.3)


def random_split(count: int, side: int = SIDE) -> Split:
    rng = np.random.default_rng(count)
    images = torch.from_numpy(rng.integers(0, 256, (count, 1, side, side)).astype(np.uint8))
    return Split(images, torch.from_numpy(rng.integers(0, len(CLASSES), count)))


def norms(subnet: Subnet) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in subnet.named_modules() if isinstance(module, nn.BatchNorm2d)}


def test_batch_norm_gets_the_plain_average_over_the_batches() -> None:
    subnet = randomised(SPACE).extract(SPACE.largest())
    means: dict[str, list[Tensor]] = {name: [] for name in norms(subnet)}
    variances: dict[str, list[Tensor]] = {name: [] for name in norms(subnet)}

    def remember(name: str, inputs: Tensor) -> None:
        means[name].append(inputs.mean((0, 2, 3)))
        variances[name].append(inputs.transpose(0, 1).flatten(1).var(1))

    hooks = [
        module.register_forward_pre_hook(lambda _, arguments, name=name: remember(name, arguments[0]))
        for name, module in norms(subnet).items()
    ]
    calibrate(subnet, random_split(1_300), PREPROCESSING)
    for hook in hooks:
        hook.remove()
    assert len(means) == 1 + 2 + 4 * 3 + 1
    for name, module in norms(subnet).items():
        assert len(means[name]) == 3, "batches of 512, 512 and 276 images"
        assert module.running_mean is not None
        assert module.running_var is not None
        torch.testing.assert_close(module.running_mean, torch.stack(means[name]).mean(0))
        torch.testing.assert_close(module.running_var, torch.stack(variances[name]).mean(0))


def test_the_stems_statistics_equal_numpys() -> None:
    split = random_split(700, 4)
    subnet = randomised(SPACE).extract(SPACE.smallest())
    calibrate(subnet, split, PREPROCESSING)
    pixels = (split.images.numpy().astype(np.float64)[:, 0] / 255 - 0.4) / 0.3
    padded = np.pad(pixels, ((0, 0), (0, 1), (0, 1)))
    weight = subnet.stem.conv.weight.detach().double().numpy()[:, 0]
    outputs = np.zeros((len(weight), 700, 2, 2))
    for y in range(2):
        for x in range(2):
            window = padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            outputs[:, :, y, x] = np.einsum("cij,nij->cn", weight, window)
    batches = [outputs[:, :512].reshape(8, -1), outputs[:, 512:].reshape(8, -1)]
    assert subnet.stem.norm.running_mean is not None
    assert subnet.stem.norm.running_var is not None
    np.testing.assert_allclose(
        subnet.stem.norm.running_mean.numpy(), np.mean([batch.mean(1) for batch in batches], 0), atol=1e-5
    )
    np.testing.assert_allclose(
        subnet.stem.norm.running_var.numpy(),
        np.mean([batch.var(1, ddof=1) for batch in batches], 0),
        rtol=1e-4,
    )


def test_calibrating_again_forgets_the_earlier_statistics_and_ends_in_eval_mode() -> None:
    once = calibrate(randomised(SPACE).extract(SPACE.smallest()), random_split(100), PREPROCESSING)
    twice = randomised(SPACE).extract(SPACE.smallest())
    calibrate(twice, random_split(64), Preprocessing(0.9, 0.1))
    calibrate(twice, random_split(100), PREPROCESSING)
    assert not twice.training
    for name, module in norms(once).items():
        other = norms(twice)[name]
        assert module.running_mean is not None
        assert other.running_mean is not None
        torch.testing.assert_close(module.running_mean, other.running_mean)


def test_calibration_leaves_the_weights_alone() -> None:
    supernet = randomised(SPACE)
    subnet = calibrate(supernet.extract(SPACE.largest()), random_split(50), PREPROCESSING)
    for name, weight in supernet.weights(SPACE.largest()).items():
        assert torch.equal(subnet.get_parameter(name), weight)


def test_2048_images_spread_over_the_training_split_are_used() -> None:
    # Image i holds i in two pixels' base-256 digits.
    numbers = torch.arange(5_000)
    images = torch.zeros(5_000, 1, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers // 256, numbers % 256
    subnet = Subnet(SPACE, SPACE.smallest())
    seen: list[int] = []

    def remember(_: nn.Module, arguments: tuple[Tensor]) -> None:
        digits = (arguments[0][:, 0, 0, :2] * 255).round().long()
        seen.extend((digits[:, 0] * 256 + digits[:, 1]).tolist())

    subnet.register_forward_pre_hook(remember)
    calibrate(subnet, Split(images, numbers), Preprocessing(0, 1))
    assert len(set(seen)) == len(seen) == 2_048
    assert seen[0] == 0
    assert seen[-1] == 4_999
    assert set(np.diff(seen).tolist()) == {2, 3}


class FirstPixel(nn.Module):
    """Answers the class that the first pixel names."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot((images[:, 0, 0, 0] * 255).round().long(), 5).float()


@pytest.mark.parametrize(("count", "wrong"), [(7, 3), (512, 0), (1_300, 1_300), (1_025, 1)])
def test_top1_is_the_share_of_right_answers(count: int, wrong: int) -> None:
    targets = torch.arange(count) % 5
    images = targets.to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    targets[:wrong] = (targets[:wrong] + 1) % 5
    classifier = FirstPixel()
    top1 = top1_percent(classifier, Split(images, targets), Preprocessing(0, 1))  # type: ignore[arg-type]
    assert top1 == pytest.approx(100 * (count - wrong) / count)


# Checkpoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet that always answers the second class; 10 of the 30 test images are of it."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_inputs(folder)
    supernet = randomised(SPACE)
    with torch.no_grad():
        supernet.shared["classifier/weight"].zero_()
        supernet.shared["classifier/bias"].copy_(torch.tensor([0.0, 1.0, 0.5]))
    path = folder / "rigged.safetensors"
    save_checkpoint(path, header(SPACE, config(folder)), dict(supernet.state_dict()))
    return path


@pytest.mark.parametrize("choice", ["largest", "smallest"])
def test_a_subnet_is_tested_on_the_test_images(checkpoint: Path, choice: str) -> None:
    result = evaluate_checkpoint(checkpoint, choice, 0)
    arch = SPACE.largest() if choice == "largest" else SPACE.smallest()
    assert result["arch"] == arch.to_json()
    assert result["arch_text"] == str(arch)
    assert result["checkpoint"] == str(checkpoint)
    assert result["space"] == "tiny"
    assert result["test_images"] == 30
    assert result["float_top1_percent"] == 33.33
    json.dumps(result)


def test_test_images_and_not_training_images_decide(checkpoint: Path, tmp_path: Path) -> None:
    for part, counts in (("train", (12, 12, 12)), ("test", (1, 4, 0))):
        for name, count in zip(CLASSES, counts, strict=True):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                write_image(tmp_path / part / name / f"{index}.png", np.full((SIDE, SIDE), index, np.uint8))
    write_image(tmp_path / "test" / CLASSES[2] / "0.png", np.zeros((SIDE, SIDE), np.uint8))
    path = tmp_path / "other.safetensors"
    supernet = randomised(SPACE)
    with torch.no_grad():
        supernet.shared["classifier/weight"].zero_()
        supernet.shared["classifier/bias"].copy_(torch.tensor([0.0, 1.0, 0.5]))
    changed = config(checkpoint.parent, data=str(tmp_path))
    save_checkpoint(path, header(SPACE, changed), dict(supernet.state_dict()))
    result = evaluate_checkpoint(path, "smallest", 0)
    assert (result["test_images"], result["float_top1_percent"]) == (6, 66.67)


def test_macs_of_the_smallest_subnet_by_hand(checkpoint: Path) -> None:
    stem = 36 * (9 * 8 + 9 * 8 + 8 * 8)
    stage_1 = 36 * (9 * 8 + 8 * 8)
    stage_2 = 9 * (9 * 8 + 8 * 16) + 2 * 8 * 8
    head = 9 * 16 * 16 + 16 * 8 + 8 * 3
    assert evaluate_checkpoint(checkpoint, "smallest", 0)["macs"] == stem + stage_1 + stage_2 + head


def test_a_random_subnet_depends_on_the_seed_alone(checkpoint: Path) -> None:
    archs = [str(evaluate_checkpoint(checkpoint, "random", seed)["arch"]) for seed in (0, 0, 1, 2, 3)]
    assert archs[0] == archs[1]
    assert len(set(archs)) > 2


def test_a_subnet_is_named_by_a_file(checkpoint: Path, tmp_path: Path) -> None:
    arch = SPACE.decode(SPACE.sample(1, np.random.default_rng(5))[0])
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(arch.to_json()))
    assert evaluate_checkpoint(checkpoint, str(path), 0)["arch"] == arch.to_json()


def test_a_missing_arch_file_lists_the_choices(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MissingFileError, match=r"arch not found: .*nosuch\n  next: use largest, smallest, random"
    ):
        evaluate_checkpoint(checkpoint, str(tmp_path / "nosuch"), 0)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff", b"[]", b"{}", b'{"resolution": 12}'])
def test_a_damaged_arch_file_is_named(checkpoint: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "arch.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"{path}: not "):
        evaluate_checkpoint(checkpoint, str(path), 0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"resolution": 28}, "resolution 28"),
        ({"kernel_sizes": [[9], [3]]}, "stage 1: kernel size 9"),
        ({"expand_ratios": [[1], [6]]}, "stage 2: expand ratio 6"),
        ({"kernel_sizes": [[3], [3] * 3], "expand_ratios": [[1], [1] * 3]}, "stage 2: depth 3"),
        ({"kernel_sizes": [[3]], "expand_ratios": [[1]]}, "stage count 1"),
    ],
)
def test_an_arch_outside_the_space_is_refused(
    checkpoint: Path, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = tmp_path / "arch.json"
    path.write_text(json.dumps({**SPACE.smallest().to_json(), **change}))
    with pytest.raises(InvalidArchError, match=f"{problem}.* is not in tiny; options: "):
        evaluate_checkpoint(checkpoint, str(path), 0)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="checkpoint not found"):
        evaluate_checkpoint(tmp_path / "nosuch.safetensors", "largest", 0)


def test_data_that_has_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, header(SPACE, config(tmp_path)), dict(randomised(SPACE).state_dict()))
    with pytest.raises(MissingFileError, match=r"data set not found: .*images"):
        evaluate_checkpoint(path, "largest", 0)

"""One training step against the formulas: what each subnet learns from, and how the weights then move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_training import SHRINKING, config, one_thread, tiny_space, write_inputs
from torch import Tensor

from mcofa.space.arch import Arch
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.phase_run import PhaseRun
from mcofa.supernet.training.phases import PhaseFiles
from mcofa.supernet.training.recipes import learn_from_the_largest, learn_from_the_teacher

pytestmark = pytest.mark.torch

Floats = npt.NDArray[np.float64]

TARGETS = torch.tensor([2, 0])
SMOOTHING, SHARE = 0.1, 0.25


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def smoothed(targets: Tensor, classes: int) -> Floats:
    return np.asarray((1 - SMOOTHING) * np.eye(classes)[targets] + SMOOTHING / classes)


def cross_entropy(logits: Floats, wanted: Floats) -> float:
    return float(-(wanted * np.log(softmax(logits))).sum(1).mean())


def pull(logits: Floats, wanted: Floats) -> Floats:
    """The gradient of the cross-entropy, averaged over the images, with respect to the logits."""
    return np.asarray((softmax(logits) - wanted) / len(logits))


@pytest.fixture
def logits() -> dict[Arch, Tensor]:
    """Logits of three archs for two images and three classes, as leaves."""
    space = tiny_space()
    archs = [space.largest(), space.smallest(), space.decode(space.sample(1, np.random.default_rng(3))[0])]
    rng = np.random.default_rng(0)
    return {arch: torch.tensor(rng.normal(0, 2, (2, 3)), requires_grad=True) for arch in archs}


def gradients(logits: dict[Arch, Tensor]) -> list[Floats]:
    return [values.grad.numpy() for values in logits.values() if values.grad is not None]


def test_the_largest_learns_labels_and_the_others_its_answers(logits: dict[Arch, Tensor]) -> None:
    shown, loss = learn_from_the_largest(logits.__getitem__, list(logits), TARGETS, SMOOTHING, SHARE)
    largest, *others = (values.detach().numpy() for values in logits.values())
    labels = smoothed(TARGETS, 3)
    expected = [pull(largest, labels), *(pull(other, softmax(largest)) for other in others)]
    np.testing.assert_allclose(gradients(logits), [SHARE * each for each in expected], atol=1e-12)
    assert loss.item() == pytest.approx(cross_entropy(largest, labels))
    assert torch.equal(shown, torch.from_numpy(largest))


@pytest.mark.parametrize("taught", [True, False])
def test_every_subnet_learns_labels_and_the_answers_of_the_teacher(
    logits: dict[Arch, Tensor], *, taught: bool
) -> None:
    answers = softmax(np.random.default_rng(1).normal(0, 2, (2, 3)))
    _, loss = learn_from_the_teacher(
        logits.__getitem__,
        list(logits),
        TARGETS,
        SMOOTHING,
        SHARE,
        torch.from_numpy(answers) if taught else None,
    )
    labels = smoothed(TARGETS, 3)
    values = [each.detach().numpy() for each in logits.values()]
    expected = [pull(each, labels) + (pull(each, answers) if taught else 0) for each in values]
    np.testing.assert_allclose(gradients(logits), [SHARE * each for each in expected], atol=1e-12)
    assert loss.item() == pytest.approx(cross_entropy(values[0], labels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize("phases", [None, SHRINKING], ids=["sandwich", "teacher"])
def test_steps_follow_nesterov_with_decay_on_filters_alone(folder: Path, phases: object) -> None:
    """Sutskever's form as PyTorch writes it: v ← m·v + g, w ← w - rate · (g + m·v); clipping never bites."""
    changes = {"weight_decay": 0.01, "max_gradient_norm": 1e9}
    settings = config(folder, **changes) if phases is None else config(folder, **changes, phases=phases)
    space = tiny_space()
    with one_thread():
        run = PhaseRun(
            PhaseFiles(settings, space, folder / "net.safetensors"),
            0,
            load_data(settings.data, space.resolutions[-1], space.input_channels),
            World(0, 1, torch.device("cpu")),
        )
        weights = {name: value.detach().clone() for name, value in run.supernet.named_parameters()}
        speed = {name: torch.zeros_like(value) for name, value in weights.items()}
        kept = {name for name in weights if "/norm/" in name or name.endswith("/bias")}
        batches = run.batches.start(0)
        for step in range(3):
            run.advance(batches)
            rate = run.plan.learning_rate(step)
            for name, value in run.supernet.named_parameters():
                if value.grad is None:
                    continue
                gradient = value.grad + 0.01 * weights[name] * (name not in kept)
                speed[name] = 0.9 * speed[name] + gradient
                weights[name] = weights[name] - rate * (gradient + 0.9 * speed[name])
                torch.testing.assert_close(value.detach(), weights[name], msg=name)
                weights[name] = value.detach().clone()
    assert 0 < len(kept) < len(weights)
    # The largest subnet, which all recipes train, expands in every block.
    assert all(speed[name].any() for name in kept if "unexpanded/" not in name)

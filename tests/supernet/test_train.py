"""Training: interrupted runs go on as if nothing had happened, and what cannot be resumed is refused."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from depthwise_separable import depthwise_separable_space
from tiny_training import SANDWICH, SHRINKING, TINY, config, names_in, one_thread, tiny_space, write_inputs

from mcofa.cli import main
from mcofa.errors import DivergedError, FileFormatError, McofaError, MissingFileError, UnknownNameError
from mcofa.supernet.data.batches import Batches
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.network.checkpoint import Header, load_checkpoint, load_supernet
from mcofa.supernet.training import phase_run as phase_run_module
from mcofa.supernet.training import train as train_module
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.schedule import schedule
from mcofa.supernet.training.train import Progress, train

pytestmark = pytest.mark.torch

STEPS = 16


def files_of(path: Path) -> list[str]:
    """What a run leaves."""
    return [path.with_suffix(suffix).name for suffix in (".csv", ".safetensors", ".svg", ".tensorboard")]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> tuple[Path, Header, list[Progress]]:
    """The checkpoint of a whole run, its header, and what the run reported."""
    reports: list[Progress] = []
    path = folder / "uninterrupted" / "whole.safetensors"
    header = train(config(folder), path, reports.append)
    return path, header, reports


def assert_same_weights(path: Path, other: Path) -> None:
    tensors, expected = load_checkpoint(path)[1], load_checkpoint(other)[1]
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name


def interrupt_at(step: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return report


# A whole run


def test_a_run_takes_every_batch_of_every_epoch(uninterrupted: tuple[Path, Header, list[Progress]]) -> None:
    _, header, reports = uninterrupted
    assert [progress.step for progress in reports] == list(range(1, STEPS + 1))
    assert {progress.steps for progress in reports} == {STEPS}
    assert all(progress.loss > 0 and progress.images_per_second > 0 for progress in reports)
    assert {progress.phase for progress in reports} == {"sandwich"}
    assert header.step == STEPS


def test_the_checkpoint_says_how_it_was_made(
    folder: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path, header, _ = uninterrupted
    assert load_checkpoint(path)[0] == header
    assert header.space == tiny_space()
    assert header.config == config(folder)
    assert header.phase == "sandwich"
    assert header.torch_version == torch.__version__
    assert header.validation_top1_percent.keys() == {"smallest", "largest"}
    assert not [name for name in load_checkpoint(path)[1] if name.startswith("momentum.")]
    assert names_in(path.parent) == files_of(path)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    train(config(folder), tmp_path / "same.safetensors")
    assert_same_weights(tmp_path / "same.safetensors", uninterrupted[0])
    train(config(folder, seed=1), tmp_path / "other.safetensors")
    with pytest.raises(AssertionError, match="kernel_transforms"):
        assert_same_weights(tmp_path / "other.safetensors", uninterrupted[0])


def test_training_lowers_the_loss_and_finds_the_classes(folder: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    header = train(
        config(folder, epochs=14.5, batch_size=32, shift_pixels=0),
        tmp_path / "long.safetensors",
        reports.append,
    )
    losses = [progress.loss for progress in reports]
    assert sum(losses[-4:]) / 4 < 0.75 * sum(losses[:4]) / 4
    assert header.validation_top1_percent["largest"] > 80
    assert header.validation_top1_percent["smallest"] > 60
    assert header.seconds > 0


def test_gradients_train_the_kernel_transformations_too(
    uninterrupted: tuple[Path, Header, list[Progress]],
) -> None:
    _, supernet = load_supernet(uninterrupted[0])
    matrices = supernet.kernel_transforms.items()
    moved = {key for key, matrix in matrices if not torch.equal(matrix, torch.eye(len(matrix)))}
    # All subnets have the first block of each stage; 24 steps do not draw every way to be a later one.
    assert {key for key in supernet.kernel_transforms if re.search(r"stages/\d/0", key)} < moved


# Interrupted runs


@pytest.mark.parametrize("step", [1, 7, 8, 15, 16])
def test_an_interrupted_run_ends_as_the_uninterrupted_one(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]], step: int
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(config(folder), path, interrupt_at(step))
    saved, _ = load_checkpoint(path)
    assert (saved.step, saved.validation_top1_percent) == (step, {})
    reports: list[Progress] = []
    header = train(config(folder), path, reports.append)
    assert [progress.step for progress in reports] == list(range(step + 1, STEPS + 1))
    assert header.validation_top1_percent == uninterrupted[1].validation_top1_percent
    assert header.seconds >= saved.seconds
    assert header.training_macs == uninterrupted[1].training_macs
    assert_same_weights(path, uninterrupted[0])
    assert names_in(tmp_path) == files_of(path)


def test_a_run_interrupted_at_every_step_ends_as_the_uninterrupted_one(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for step in range(1, STEPS):
        with pytest.raises(KeyboardInterrupt):
            train(config(folder), path, interrupt_at(step))
    train(config(folder), path)
    assert_same_weights(path, uninterrupted[0])


def test_ctrl_c_in_the_middle_of_an_update_waits_for_its_end(
    folder: Path,
    tmp_path: Path,
    uninterrupted: tuple[Path, Header, list[Progress]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    whole_step = torch.optim.SGD.step
    updates = 0

    def update(optimizer: torch.optim.SGD) -> None:
        nonlocal updates
        updates += 1
        if updates == 5:
            signal.raise_signal(signal.SIGINT)
        whole_step(optimizer)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.SGD, "step", update)
            with pytest.raises(KeyboardInterrupt):
                train(config(folder), path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert load_checkpoint(path)[0].step == 5
    train(config(folder), path)
    assert_same_weights(path, uninterrupted[0])


def test_ctrl_c_while_accuracy_is_measured_saves_the_epoch(
    folder: Path,
    tmp_path: Path,
    uninterrupted: tuple[Path, Header, list[Progress]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(phase_run_module, "calibrate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config(folder), path)
    assert load_checkpoint(path)[0].step == 8
    assert train(config(folder), path).validation_top1_percent == uninterrupted[1].validation_top1_percent
    assert_same_weights(path, uninterrupted[0])


def test_a_failure_resumes_from_the_last_save(
    folder: Path,
    tmp_path: Path,
    uninterrupted: tuple[Path, Header, list[Progress]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(progress: Progress) -> None:
        if progress.step == 6:
            raise RuntimeError

    path = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(train_module, "_SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(RuntimeError):
        train(config(folder), path, fail)
    assert load_checkpoint(path)[0].step == 5
    train(config(folder), path)
    assert_same_weights(path, uninterrupted[0])


@pytest.mark.parametrize(
    ("pause", "most_points", "expected"),
    [(1, 5, [4, 8, 12, 16]), (3, 4, [6, 12, 16]), (3, 99, [3, 6, 9, 12, 15, 16])],
)
def test_long_runs_report_evenly_whatever_the_device(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pause: int,
    most_points: int,
    expected: list[int],
) -> None:
    monkeypatch.setattr(train_module, "_STEPS_BETWEEN_LOOKS", {"cpu": pause})
    monkeypatch.setattr(train_module, "_MOST_POINTS", most_points)
    reports: list[Progress] = []
    train(config(folder), tmp_path / "net.safetensors", reports.append)
    assert [progress.step for progress in reports] == expected


# Runs that diverge


def test_a_run_that_diverges_stops_and_saves_nothing(folder: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    with pytest.raises(DivergedError, match=r"phase sandwich diverged: .* of 16 \(learning rate") as caught:
        train(config(folder, base_learning_rate=1e30), tmp_path / "net.safetensors", reports.append)
    step = caught.value.next_step
    assert "lower base_learning_rate of the phase (now 1e+30) or max_gradient_norm (now 5)" in step
    assert "away" not in step
    assert len(reports) < STEPS
    assert all(math.isfinite(progress.loss) for progress in reports)
    assert not [name for name in names_in(tmp_path) if name != "net.tensorboard"]


@pytest.mark.parametrize("step", [9, 16])
def test_weights_that_are_no_longer_finite_are_never_saved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The loss of a step is that of the weights before it, so the last step's shows nothing."""
    path = tmp_path / "net.safetensors"
    whole_step = torch.optim.SGD.step
    updates = 0

    def update(optimizer: torch.optim.SGD) -> None:
        nonlocal updates
        updates += 1
        whole_step(optimizer)
        if updates == step:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0][0] = math.inf

    monkeypatch.setattr(torch.optim.SGD, "step", update)
    monkeypatch.setattr(train_module, "_SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(DivergedError, match=f"weights are no longer finite at step {step} of 16") as caught:
        train(config(folder), path)
    assert f"move {path} away" in caught.value.next_step
    saved, tensors = load_checkpoint(path)
    assert (saved.step, saved.is_finished) == (step - 1, False)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert "nan" not in path.with_suffix(".csv").read_text()


def test_training_works_in_another_thread(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def run() -> None:
        with one_thread():
            train(config(folder), path)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert_same_weights(path, uninterrupted[0])


# What is refused


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("epochs", 3, "1.5 there, 3.0 here"),
        ("batch_size", 8, "16 there, 8 here"),
        ("seed", 7, "0 there, 7 here"),
        ("base_learning_rate", 0.2, "0.4 there, 0.2 here"),
        ("flip", False, "True there, False here"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(
    folder: Path, tmp_path: Path, key: str, value: object, shown: str
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(config(folder), path, interrupt_at(1))
    before = path.read_bytes()
    with pytest.raises(
        FileFormatError, match=rf"{path}: belongs to .* another configuration: .*{key} \({shown}\)"
    ):
        train(config(folder, **{key: value}), path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_space_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(config(folder), path, interrupt_at(1))
    space_file = tmp_path / "other.yaml"
    space_file.write_text(yaml.safe_dump({**TINY, "depths": [1, 2, 3]}))
    with pytest.raises(
        FileFormatError, match=r"configuration: space\.depths \(\[1, 2\] there, \[1, 2, 3\] here\)\n"
    ):
        train(config(folder, space=str(space_file)), path)
    stages = [TINY["stages"][0], {**TINY["stages"][1], "width": 24}]
    space_file = tmp_path / "wider.yaml"
    space_file.write_text(yaml.safe_dump({**TINY, "stages": stages}))
    with pytest.raises(
        FileFormatError, match=r"configuration: space\.stages\.1\.width \(16 there, 24 here\)\n"
    ):
        train(config(folder, space=str(space_file)), path)
    with pytest.raises(FileFormatError, match=r"configuration: space \(tiny there, mcofa-micro here\)\n"):
        train(config(folder, space="mcofa-micro"), path)


def test_a_space_that_moved_but_is_the_same_is_accepted(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(config(folder), path, interrupt_at(3))
    moved = tmp_path / "moved.yaml"
    moved.write_text((folder / "tiny.yaml").read_text())
    train(config(folder, space=str(moved)), path)
    assert_same_weights(path, uninterrupted[0])


def test_a_finished_checkpoint_is_refused(
    folder: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path = uninterrupted[0]
    before = path.read_bytes()
    with pytest.raises(
        FileFormatError, match=r"training is already finished \(16 steps\)\n  next: choose another"
    ):
        train(config(folder), path)
    assert path.read_bytes() == before


def test_a_truncated_checkpoint_is_refused(
    folder: Path, tmp_path: Path, uninterrupted: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "truncated.safetensors"
    path.write_bytes(uninterrupted[0].read_bytes()[:5_000])
    with pytest.raises(FileFormatError, match=r"truncated.safetensors: truncated or damaged"):
        train(config(folder), path)


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"batch_size": 139}, FileFormatError, "138 training images are fewer than one batch of 139"),
        ({"data": "nosuch"}, MissingFileError, "data set not found: nosuch"),
        ({"space": "nosuch"}, UnknownNameError, "unknown search space 'nosuch'"),
        (
            {"space": "mcofa-micro"},
            FileFormatError,
            "has 3 classes, the search space mcofa-micro has 10\n  next: .*`classes: 3` in a copy",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        train(config(folder, **changes), tmp_path / "checkpoint.safetensors")
    assert names_in(tmp_path) == []


def test_a_folder_is_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(McofaError, match=f"^{tmp_path} is a folder.*\n.*{tmp_path}/supernet.safetensors"):
        train(config(folder), tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("suffix", [".csv", ".svg", ".tensorboard"])
def test_a_checkpoint_in_the_place_of_its_curves_is_refused(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(McofaError, match=f"net{suffix} is where the run's curves go.*\n.*net.safetensors"):
        train(config(folder), tmp_path / f"net{suffix}")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_used_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native
    )
    assert phase_run_module._has_bfloat16(torch.device("cuda", 0)) == native
    assert not phase_run_module._has_bfloat16(torch.device("cpu"))


def test_the_smallest_and_the_largest_batch_train(folder: Path, tmp_path: Path) -> None:
    assert (
        train(config(folder, batch_size=138, epochs=1, warmup_epochs=0), tmp_path / "large.safetensors").step
        == 1
    )
    with pytest.raises(KeyboardInterrupt):
        train(config(folder, batch_size=2), tmp_path / "small.safetensors", interrupt_at(2))
    _, tensors = load_checkpoint(tmp_path / "small.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


# Batches


def batches(folder: Path, train_config: TrainConfig) -> list[tuple[torch.Tensor, torch.Tensor]]:
    data = load_data(train_config.data, 12, 1)
    plan = schedule(train_config, train_config.phases[0], len(data.train))
    alone = World(0, 1, torch.device("cpu"))
    return list(Batches(train_config, data, 0, plan, alone).start(0))


def test_an_epoch_shows_every_image_at_most_once(folder: Path) -> None:
    found = batches(folder, config(folder, flip=False, shift_pixels=0))
    for epoch in (found[:8], found[8:]):
        images = torch.cat([images for images, _ in epoch]).flatten(1)
        assert len(images.unique(dim=0)) == 128
    assert not torch.equal(found[0][0], found[8][0])


def test_augmentation_mirrors_and_shifts_within_its_limits(folder: Path) -> None:
    plain = batches(folder, config(folder, flip=False, shift_pixels=0))
    changed = batches(folder, config(folder, flip=True, shift_pixels=1))
    black = load_data(str(folder / "images"), 12, 1).preprocessing.normalise(
        torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    )
    seen = set()
    for (images, targets), (others, same_targets) in zip(plain, changed, strict=True):
        assert torch.equal(targets, same_targets)
        for image, other in zip(images[:, 0], others[:, 0], strict=True):
            framed = torch.full((14, 14), black.item())
            framed[1:13, 1:13] = image
            crops = {(y, x): framed[y : y + 12, x : x + 12] for y in range(3) for x in range(3)}
            ways = [(False, place) for place, crop in crops.items() if torch.equal(other, crop)]
            ways += [(True, place) for place, crop in crops.items() if torch.equal(other, crop.flip(1))]
            assert len(ways) == 1
            seen.add(ways[0])
    assert len(seen) == 2 * 3 * 3


# The command

# Saves after every step, so that the test can see the run begin.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
torch.set_num_threads(1)
from mcofa.supernet.training import train
train._SECONDS_BETWEEN_SAVES = 0
from mcofa.cli import main
sys.exit(main(sys.argv[1:]))
"""


LONG_STEPS = 64


@pytest.fixture(scope="module")
def long_run(folder: Path) -> Path:
    """The checkpoint of a whole run of 64 steps."""
    path = folder / "long" / "whole.safetensors"
    train(config(folder, epochs=7.5), path)
    return path


def started(config_file: Path, path: Path) -> subprocess.Popen[str]:
    """Start `mcofa train` and wait until it has saved once."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "train", str(config_file), "--out", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "training did not begin"
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_is_resumed_by_the_same_command(
    folder: Path,
    tmp_path: Path,
    long_run: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    path = tmp_path / "out" / "checkpoint.safetensors"
    config_file = tmp_path / "long.yaml"
    config_file.write_text(yaml.safe_dump(config(folder, epochs=7.5).model_dump()))
    process = started(config_file, path)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert "Traceback" not in stderr
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert f"interrupted; saved in {path.parent}, the same command goes on from there" in stderr
        assert stdout == ""
    else:
        assert process.returncode == -signal.SIGKILL
    assert 1 <= load_checkpoint(path)[0].step < LONG_STEPS

    assert main(["train", str(config_file), "--out", str(path)]) == 0
    assert f"{path}: 64 steps, validation top-1: smallest" in capsys.readouterr().out
    assert_same_weights(path, long_run)


def test_an_interrupt_before_the_first_step_claims_no_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    config_file = tmp_path / "config.yaml"
    config_file.write_text(yaml.safe_dump(config(folder).model_dump()))
    monkeypatch.setattr(train_module, "load_data_for", interrupted)
    assert main(["train", str(config_file), "--out", str(tmp_path / "checkpoint.safetensors")]) == 130
    assert "saved" not in capsys.readouterr().err
    assert names_in(tmp_path) == ["config.yaml"]


# Other families of networks


@pytest.mark.parametrize(
    ("kinds", "phases"),
    [({"ds"}, [SANDWICH]), ({"ds"}, SHRINKING[:3]), ({"ds", "mbconv"}, SHRINKING)],
    ids=["sandwich", "shrinking", "two kinds"],
)
def test_depthwise_separable_networks_for_oblong_images_train(
    folder: Path, tmp_path: Path, kinds: set[str], phases: list[dict[str, Any]]
) -> None:
    stages = [stage.model_dump() for stage in depthwise_separable_space().stages if stage.block in kinds]
    space = depthwise_separable_space(stages=stages, resolutions=[[8, 12], [12, 16]], classes=3)
    (tmp_path / "ds.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
    reports: list[Progress] = []
    header = train(
        config(folder, space=str(tmp_path / "ds.yaml"), phases=phases),
        tmp_path / "ds.safetensors",
        reports.append,
    )
    assert header.space == space
    assert reports[-1].loss < reports[0].loss
    assert {"smallest", "largest"} <= header.validation_top1_percent.keys()

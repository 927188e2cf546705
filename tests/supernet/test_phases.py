"""Progressive shrinking: each phase starts from the one before, and none is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_training import SHRINKING, TINY, config, names_in, one_thread, write_inputs

from mcofa.cli import main
from mcofa.errors import FileFormatError, McofaError, MissingFileError
from mcofa.supernet.network.checkpoint import Header, load_checkpoint, load_supernet
from mcofa.supernet.training import phase_run as phase_run_module
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.train import Progress, train

pytestmark = pytest.mark.torch

PHASES = ["teacher", "kernel-1", "depth-1", "expand-1"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phases")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[Path, Header, list[Progress]]:
    """The last checkpoint of all phases in one go, its header, and what was reported."""
    reports: list[Progress] = []
    path = folder / "whole" / "net.safetensors"
    return path, train(shrinking(folder), path, reports.append), reports


def shrinking(folder: Path, **changes: Any) -> TrainConfig:
    return config(folder, **{"phases": SHRINKING, **changes})


def checkpoint_of(path: Path, phase: str) -> Path:
    return path if phase == PHASES[-1] else path.with_name(f"{path.stem}-{phase}.safetensors")


def assert_same_weights(path: Path, other: Path) -> None:
    tensors, expected = load_checkpoint(path)[1], load_checkpoint(other)[1]
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name


def test_all_phases_run_in_one_go(whole: tuple[Path, Header, list[Progress]]) -> None:
    path, header, reports = whole
    assert list(dict.fromkeys(progress.phase for progress in reports)) == PHASES
    assert [reports[0].steps, reports[-1].steps] == [8, 4]
    headers = [load_checkpoint(checkpoint_of(path, phase))[0] for phase in PHASES]
    assert [each.phase for each in headers] == PHASES
    assert headers[-1] == header
    assert [each.is_finished for each in headers] == [True] * 4
    assert headers[0].validation_top1_percent.keys() == {"largest"}
    assert headers[1].validation_top1_percent.keys() == {"smallest", "largest"}
    macs = [each.training_macs for each in headers]
    assert macs == sorted(set(macs)), "computing adds up over the phases"


def test_phases_one_by_one_give_the_same(
    folder: Path, tmp_path: Path, whole: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "net.safetensors"
    for phase in PHASES:
        assert train(shrinking(folder), path, phase=phase).phase == phase
    for phase in PHASES:
        assert_same_weights(checkpoint_of(path, phase), checkpoint_of(whole[0], phase))


def test_an_interrupted_sequence_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, whole: tuple[Path, Header, list[Progress]]
) -> None:
    def interrupt(progress: Progress) -> None:
        if (progress.phase, progress.step) == ("depth-1", 3):
            raise KeyboardInterrupt

    path = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(shrinking(folder), path, interrupt)
    assert not path.exists()
    reports: list[Progress] = []
    train(shrinking(folder), path, reports.append)
    assert (reports[0].phase, reports[0].step) == ("depth-1", 4)
    assert_same_weights(path, whole[0])


@pytest.mark.parametrize(
    ("phase", "missing", "options"),
    [
        ("kernel-1", "teacher", "`--step teacher`"),
        ("depth-1", "kernel-1", "`--step kernel --phase 1`"),
        ("expand-1", "depth-1", "`--step depth --phase 1`"),
    ],
)
def test_a_phase_is_not_skipped(folder: Path, tmp_path: Path, phase: str, missing: str, options: str) -> None:
    with pytest.raises(MissingFileError, match=f"checkpoint of the phase {missing} not found") as caught:
        train(shrinking(folder), tmp_path / "net.safetensors", phase=phase)
    assert options in caught.value.next_step
    assert names_in(tmp_path) == []


def test_an_unfinished_phase_is_no_start(folder: Path, tmp_path: Path) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(shrinking(folder), path, interrupt)
    with pytest.raises(FileFormatError, match=r"phase teacher stopped at step 1\n.*`--step teacher`"):
        train(shrinking(folder), path, phase="kernel-1")


def test_later_phases_may_change_while_earlier_ones_stay(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    train(shrinking(folder), path, phase="teacher")
    longer = [*SHRINKING[:-1], {**SHRINKING[-1], "epochs": 1}]
    assert train(shrinking(folder, phases=longer), path, phase="kernel-1").is_finished
    other = [{**SHRINKING[0], "epochs": 2}, *SHRINKING[1:]]
    with pytest.raises(FileFormatError, match=r"configuration: teacher.epochs \(1.0 there, 2.0 here\)"):
        train(shrinking(folder, phases=other), path, phase="depth-1")


def test_a_finished_phase_is_refused_and_a_finished_sequence_too(
    folder: Path, whole: tuple[Path, Header, list[Progress]]
) -> None:
    for phase in ("teacher", None):
        with pytest.raises(FileFormatError, match="training is already finished"):
            train(shrinking(folder), whole[0], phase=phase)


def test_a_checkpoint_in_the_place_of_another_phase_is_refused(
    folder: Path, tmp_path: Path, whole: tuple[Path, Header, list[Progress]]
) -> None:
    path = tmp_path / "net.safetensors"
    checkpoint_of(path, "teacher").write_bytes(checkpoint_of(whole[0], "kernel-1").read_bytes())
    with pytest.raises(FileFormatError, match="holds the phase kernel-1, not teacher"):
        train(shrinking(folder), path)


def test_a_phase_that_the_configuration_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(McofaError, match="no phase kernel-2; it has teacher, kernel-1, depth-1, expand-1\n"):
        train(shrinking(folder), tmp_path / "net.safetensors", phase="kernel-2")


def test_channels_are_sorted_once_when_smaller_expand_ratios_come(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[float, ...]] = []
    whole_sort = phase_run_module.sort_channels

    def remember(supernet: Any, trained: tuple[float, ...]) -> None:
        calls.append(trained)
        whole_sort(supernet, trained)

    monkeypatch.setattr(phase_run_module, "sort_channels", remember)
    train(shrinking(folder), tmp_path / "net.safetensors")
    assert calls == [(1.5,)]


def test_blocks_without_expansion_start_from_what_the_expanded_ones_learned(
    folder: Path, tmp_path: Path
) -> None:
    *before, expand = SHRINKING
    path = tmp_path / "net.safetensors"
    train(shrinking(folder, phases=[*before, {**expand, "base_learning_rate": 1e-9}]), path)
    _, untrained = load_supernet(checkpoint_of(path, "depth-1"))
    _, started = load_supernet(path)
    unexpanded = [name for name in started.shared if name.startswith("unexpanded/")]
    assert unexpanded
    for name in unexpanded:
        own, trained = started.shared[name], started.shared[name.removeprefix("unexpanded/")]
        torch.testing.assert_close(own, trained[tuple(slice(size) for size in own.shape)])
    assert any(not torch.equal(started.shared[name], untrained.shared[name]) for name in unexpanded)


def test_a_coupled_space_needs_no_step_expand(folder: Path, tmp_path: Path) -> None:
    space_file = tmp_path / "coupled.yaml"
    space_file.write_text(yaml.safe_dump({**TINY, "coupled": True}))
    with pytest.raises(McofaError, match="tiny couples expand ratios to depths"):
        train(shrinking(folder, space=str(space_file)), tmp_path / "net.safetensors")
    coupled = shrinking(folder, space=str(space_file), phases=SHRINKING[:3])
    header = train(coupled, tmp_path / "net.safetensors")
    assert header.phase == "depth-1"
    assert header.validation_top1_percent["largest"] > 60


def test_each_image_size_is_trained_and_measured(folder: Path, tmp_path: Path) -> None:
    space_file = tmp_path / "sizes.yaml"
    space_file.write_text(yaml.safe_dump({**TINY, "resolutions": [8, 12]}))
    for phases in (SHRINKING, None):
        sized = config(folder, space=str(space_file), **({"phases": phases} if phases else {}))
        path = tmp_path / f"{len(sized.phases)}.safetensors"
        train(sized, path)
        assert load_supernet(path)[0].space.resolutions == (8, 12)


def test_the_command_trains_one_step_and_then_the_rest(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    whole: tuple[Path, Header, list[Progress]],
) -> None:
    config_file, out = tmp_path / "shrinking.yaml", tmp_path / "out" / "net.safetensors"
    config_file.write_text(yaml.safe_dump(shrinking(folder).model_dump(mode="json")))
    arguments = ["train", str(config_file), "--out", str(out)]
    assert main([*arguments, "--step", "kernel", "--phase", "1"]) == 1
    assert "train it first: the same command with `--step teacher`" in capsys.readouterr().err
    assert main([*arguments, "--step", "teacher"]) == 0
    assert "net-teacher.safetensors: 8 steps, validation top-1: largest" in capsys.readouterr().out
    assert main([*arguments, "--step", "kernel", "--phase", "2"]) == 1
    assert "the configuration has no phase kernel-2" in capsys.readouterr().err
    assert main([*arguments, "--phase", "2"]) == 2
    assert main(arguments) == 0
    assert "net.safetensors: 4 steps" in capsys.readouterr().out
    assert_same_weights(out, whole[0])

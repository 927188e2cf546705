"""Archs that training has not come to are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_training import SHRINKING, config, header, names_in, randomised, tiny_space, write_inputs

from mcofa.boards import load_board
from mcofa.errors import FileFormatError
from mcofa.runs.run import Run
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.finetune.searched import load_searched
from mcofa.supernet.measure.evaluate_checkpoint import evaluate_checkpoint
from mcofa.supernet.measure.measure import measure
from mcofa.supernet.network.checkpoint import save_checkpoint
from mcofa.supernet.network.trained import check_trained

pytestmark = pytest.mark.torch

SPACE = tiny_space()
LARGEST, SMALLEST = SPACE.largest(), SPACE.smallest()
ARCHS = {
    "largest": LARGEST,
    "kernels": replace(LARGEST, kernel_sizes=((3, 7), (5, 7))),
    "depths": SPACE.uniform(12, 1, 3, 1.5),
    "smallest": SMALLEST,
}


def refused(phase: str, arch: Arch, space: SearchSpace = SPACE, **changes: Any) -> str:
    """What is said of the arch, nothing when it is trained."""
    found = header(space, config(Path("folder"), phases=SHRINKING), phase=phase, **changes)
    try:
        check_trained(Path("net.safetensors"), found, arch)
    except FileFormatError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("phase", "trained"),
    [
        ("teacher", {"largest"}),
        ("kernel-1", {"largest", "kernels"}),
        ("depth-1", {"largest", "kernels", "depths"}),
        ("expand-1", set(ARCHS)),
    ],
)
def test_each_phase_trains_more_archs(phase: str, trained: set[str]) -> None:
    assert {name for name, arch in ARCHS.items() if not refused(phase, arch)} == trained


def test_the_error_names_the_phase_the_arch_and_the_last_phase() -> None:
    said = refused("teacher", SMALLEST)
    assert f"net.safetensors: holds the phase teacher, which does not train the arch {SMALLEST}" in said
    assert "take the checkpoint of the last phase, expand-1" in said


def test_the_teacher_is_trained_at_every_resolution() -> None:
    space = SPACE.model_copy(update={"resolutions": (8, 12)})
    assert [refused("teacher", replace(LARGEST, resolution=side), space) for side in (8, 12)] == ["", ""]


def test_an_unfinished_phase_is_refused() -> None:
    said = refused("expand-1", LARGEST, validation_top1_percent={}, step=7)
    assert "training stopped at step 7 of the phase expand-1" in said
    assert "`mcofa train`" in said


def test_imported_weights_are_taken_for_trained() -> None:
    assert refused("", SMALLEST, config=None, validation_top1_percent={}) == ""


@pytest.mark.parametrize(
    "changes", [{"phase": "teacher"}, {"phase": "expand-1", "validation_top1_percent": {}}]
)
def test_nothing_is_measured_or_taken(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_inputs(tmp_path)
    path, found = tmp_path / "net.safetensors", config(tmp_path, phases=SHRINKING)
    save_checkpoint(path, header(SPACE, found, **changes), dict(randomised(SPACE).state_dict()))
    run = Run(tmp_path / "run")
    run.record(
        "search",
        {"space": SPACE.name, "space_fingerprint": SPACE.fingerprint, "arch": SMALLEST.to_json()},
    )
    before = names_in(tmp_path)
    with pytest.raises(FileFormatError, match="phase"):
        load_searched(run, path)
    with pytest.raises(FileFormatError, match="phase"):
        measure(path, 2, 0, load_board("stm32f746"), tmp_path / "table.csv")
    with pytest.raises(FileFormatError, match="phase"):
        evaluate_checkpoint(path, "smallest", 0)
    assert names_in(tmp_path) == before

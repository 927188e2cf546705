"""Checkpoints: round trips, damaged files, and disks that fail."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tiny_training import config, header, names_in, randomised, tiny_space
from torch import Tensor

from mcofa.errors import DiskWriteError, FileFormatError, MissingFileError
from mcofa.space.search_space import load_space
from mcofa.supernet.network import checkpoint as checkpoint_module
from mcofa.supernet.network.checkpoint import load_checkpoint, load_supernet, save_checkpoint

pytestmark = pytest.mark.torch

SPACE = tiny_space()
HEADER = header(SPACE, config(Path("folder")))


def tensors() -> dict[str, Tensor]:
    return dict(randomised(SPACE).state_dict())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good checkpoint."""
    target = tmp_path / "checkpoint.safetensors"
    save_checkpoint(target, HEADER, tensors())
    return target


def test_what_was_saved_is_read(path: Path) -> None:
    read_header, read_tensors = load_checkpoint(path)
    assert read_header == HEADER
    assert read_tensors.keys() == tensors().keys()
    assert all(torch.equal(read_tensors[name], tensor) for name, tensor in tensors().items())


def test_the_supernet_answers_as_before(path: Path) -> None:
    images = torch.randn(4, 1, 12, 12)
    _, supernet = load_supernet(path)
    with torch.no_grad():
        for arch in (SPACE.smallest(), SPACE.largest()):
            assert torch.equal(supernet(images, arch), randomised(SPACE)(images, arch))


def test_momentum_is_no_weight(tmp_path: Path) -> None:
    weights = tensors()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, HEADER, {**weights, **{f"momentum.{name}": -t for name, t in weights.items()}})
    _, supernet = load_supernet(path)
    assert all(torch.equal(weights[name], tensor) for name, tensor in supernet.state_dict().items())


def test_saving_makes_folders_and_leaves_only_a_file_that_others_may_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "checkpoint.safetensors"
    save_checkpoint(path, HEADER, tensors())
    save_checkpoint(path, HEADER, tensors())
    assert names_in(path.parent) == ["checkpoint.safetensors"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 2_000, 0.5, -1])
def test_a_truncated_file_is_refused(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else int(kept)])
    with pytest.raises(FileFormatError, match=r"checkpoint.safetensors: truncated or damaged checkpoint \("):
        load_checkpoint(path)


@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"random\.safetensors"):
        load_checkpoint(path)


def test_other_file_formats_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "numpy.npz", a=np.zeros(100))
    torch.save({"a": torch.zeros(100)}, tmp_path / "torch.pt")
    for name in ("numpy.npz", "torch.pt"):
        with pytest.raises(FileFormatError, match=f"{name}: truncated or damaged"):
            load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata)
    with pytest.raises(FileFormatError, match=r"foreign.safetensors: .*not a checkpoint of mcofa"):
        load_checkpoint(path)


def without(key: str) -> str:
    values = json.loads(HEADER.model_dump_json())
    del values[key]
    return json.dumps(values)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", without("space"), without("step"), '{"a": 1, ' + HEADER.model_dump_json()[1:]],
)
def test_an_unreadable_header_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(3)}, path, {"mcofa": text})
    with pytest.raises(FileFormatError, match=r"odd.safetensors: checkpoint with an unreadable header"):
        load_checkpoint(path)


def test_weights_of_another_space_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, header(load_space("mcofa-micro"), HEADER.config), tensors())
    with pytest.raises(
        FileFormatError, match=r"checkpoint.safetensors: weights do not fit the space mcofa-micro"
    ):
        load_supernet(path)
    fewer = tensors()
    fewer.popitem()
    save_checkpoint(path, HEADER, fewer)
    with pytest.raises(FileFormatError, match="weights do not fit the space tiny"):
        load_supernet(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch.safetensors", tmp_path):
        with pytest.raises(MissingFileError, match=f"checkpoint not found: {path}\n  next: .*mcofa train"):
            load_supernet(path)


def test_an_interrupt_while_writing_leaves_the_earlier_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def interrupted(_: object, target: Path, metadata: dict[str, str]) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_module, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, HEADER, tensors())
    assert path.read_bytes() == before
    assert names_in(path.parent) == [path.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_earlier_checkpoint(small_disk: Path) -> None:
    path = small_disk / "checkpoint.safetensors"
    save_checkpoint(path, HEADER, {"weights": torch.ones(5_000)})
    before = path.read_bytes()
    with pytest.raises(DiskWriteError, match=rf"cannot write {path}: .*No space left on device"):
        save_checkpoint(path, HEADER, {"weights": torch.ones(20_000)})
    assert path.read_bytes() == before
    assert names_in(small_disk) == [path.name]
    assert load_checkpoint(path)[0] == HEADER


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskWriteError, match=r"cannot write .*checkpoint.safetensors: "):
        save_checkpoint(tmp_path / "file" / "checkpoint.safetensors", HEADER, tensors())

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.errors import DiskWriteError
from mcofa.files.atomic import atomic_path, write_atomic


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


@given(st.binary())
def test_writes_what_it_is_given(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    write_atomic(path, data)
    assert path.read_bytes() == data


def test_creates_folders_and_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first" / "model.c"
    write_atomic(path, b"int x;")
    write_atomic(path, b"int y;")
    assert path.read_bytes() == b"int y;"
    assert entries(path.parent) == ["model.c"]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o000])
def test_a_new_file_has_the_permissions_of_any_new_file(umask: int, tmp_path: Path) -> None:
    earlier = os.umask(umask)
    try:
        write_atomic(tmp_path / "model.c", b"")
        (tmp_path / "other").write_bytes(b"")
    finally:
        os.umask(earlier)
    assert mode(tmp_path / "model.c") == mode(tmp_path / "other") == 0o666 & ~umask


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_an_earlier_file_keeps_its_permissions(permissions: int, tmp_path: Path) -> None:
    path = tmp_path / "model.c"
    path.write_bytes(b"earlier")
    path.chmod(permissions)
    write_atomic(path, b"later")
    assert (path.read_bytes(), mode(path)) == (b"later", permissions)


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        before = path.stat().st_mode
        with pytest.raises(DiskWriteError, match="is no file"):
            write_atomic(path, b"x")
        assert path.stat().st_mode == before
    assert entries(tmp_path) == ["pipe"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("x" * 255), b"x")
    assert entries(tmp_path) == ["x" * 255]


def test_nothing_is_there_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.c"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"int x;")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert entries(tmp_path) == ["model.c"]


@pytest.mark.parametrize(
    "error", [ValueError(), KeyboardInterrupt(), DiskWriteError("model.c", OSError("full"))]
)
def test_a_failing_block_leaves_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "model.c"
    path.write_bytes(b"earlier")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half of it")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"earlier"
    assert entries(tmp_path) == ["model.c"]


@pytest.mark.parametrize(
    ("owner", "function"),
    [(Path, "write_bytes"), (Path, "replace"), (Path, "chmod"), (os, "fsync"), (os, "close")],
    ids=["write", "rename", "mode", "flush", "close"],
)
def test_a_refused_write_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, function: str
) -> None:
    path = tmp_path / "model.c"
    path.write_bytes(b"earlier")
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, full_disk)
        with pytest.raises(DiskWriteError, match="No space left on device") as refusal:
            write_atomic(path, b"later")
    assert str(path) in refusal.value.problem
    assert path.read_bytes() == b"earlier"
    assert entries(tmp_path) == ["model.c"]


def test_a_block_that_moves_the_temporary_file_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiskWriteError), atomic_path(tmp_path / "model.c") as temporary:
        temporary.unlink()
    assert entries(tmp_path) == []


def test_refuses_a_folder_as_file(tmp_path: Path) -> None:
    (tmp_path / "model.c").mkdir()
    with pytest.raises(DiskWriteError):
        write_atomic(tmp_path / "model.c", b"")
    assert entries(tmp_path) == ["model.c"]


def test_refuses_a_file_as_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(DiskWriteError):
        write_atomic(tmp_path / "runs" / "model.c", b"")
    assert (tmp_path / "runs").read_bytes() == b""


def test_refuses_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(DiskWriteError):
        write_atomic(tmp_path / ("x" * 300), b"")
    assert entries(tmp_path) == []

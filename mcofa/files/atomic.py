"""Writing files so that nothing is ever left half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from mcofa.errors import DiskWriteError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    Creates missing parent folders. The permissions are those of the file that was there, or of a new file
    under the umask. On any error or interrupt the temporary file is removed.

    Raises:
        DiskWriteError: the operating system refused to write, or a folder, pipe or device is there.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of(path)
        temporary = _create_beside(path)
        if mode is None:
            mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(mode)  # a library that writes there may have put a file of its own in place
        _sync(temporary)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # some file systems do not sync folders
            _sync(path.parent)
    except OSError as error:
        raise DiskWriteError(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _mode_of(path: Path) -> int | None:
    """The permissions of the file that will be replaced, None if there is none.

    Raises:
        OSError: something else than a file is there, which must not be replaced.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EEXIST, "it is there and is no file")
    return stat.S_IMODE(found.st_mode)


def _create_beside(path: Path) -> Path:
    """Create an empty file with the permissions that the umask gives to new files."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    temporary.open("xb").close()
    return temporary


def _sync(path: Path) -> None:
    """Have the disk hold what a file, or the list of files in a folder, says."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)

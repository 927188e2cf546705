"""One command at a time writes to a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mcofa.errors import DiskWriteError, RunError

LOCK = ".lock"
_LONGEST_WAIT_S = 60.0


@contextlib.contextmanager
def held(folder: Path, longest_wait_s: float = _LONGEST_WAIT_S) -> Iterator[None]:
    """Hold the run in ``folder`` for the block; wait while another process or thread holds it.

    The system lets go when a process ends, however it does. The file ``.lock`` stays.

    Raises:
        RunError: the other one does not let go for so long.
        DiskWriteError: the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=longest_wait_s, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"run {folder} has been held by another command for {longest_wait_s:g} s",
            "end that command, or name another folder with --out",
        ) from error
    except OSError as error:
        raise DiskWriteError(folder, error) from error
    try:
        yield
    finally:
        lock.release()

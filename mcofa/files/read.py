"""Reading files that a user names.

They are read once, from start to end, so that pipes (``<(…)``) are read like files. Weights alone
are mapped into memory, and must be files.
"""

from __future__ import annotations

from pathlib import Path

from mcofa.errors import FileFormatError, MissingFileError


def read_file(path: Path, what: str, next_step: str) -> bytes:
    """Return what a file or a pipe holds; ``what`` names it in errors.

    Raises:
        MissingFileError: there is no such file; ``next_step`` says what to do then.
        FileFormatError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise MissingFileError(path, what, next_step) from error
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise FileFormatError(path, problem, "check the file and its permissions") from error


def require_file(path: Path, what: str, next_step: str) -> None:
    """Check that ``path`` is a file, which may be read more than once; ``what`` names it in errors.

    Raises:
        MissingFileError: there is no such file; ``next_step`` says what to do then.
        FileFormatError: it is a pipe or a device.
    """
    if path.is_file():
        return
    if path.exists() and not path.is_dir():
        problem = f"is a pipe or a device; a {what} is read more than once"
        raise FileFormatError(path, problem, "write it to a file and name that")
    raise MissingFileError(path, what, next_step)

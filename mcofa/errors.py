"""Everything that can go wrong for a user, one class for each kind.

An error says what is wrong, with the value and the limit, and names the next
step to take. The command line prints it on stderr and exits with 1; no class
here knows about click.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class McofaError(Exception):
    """What every error a user may see derives from."""

    def __init__(self, problem: str, next_step: str) -> None:
        self.problem = problem
        self.next_step = next_step
        super().__init__(f"{problem}\n  next: {next_step}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error pass between processes, whatever its class is made from."""
        return _restored, (type(self), self.problem, self.next_step)


def _restored(kind: type[McofaError], problem: str, next_step: str) -> McofaError:
    error = kind.__new__(kind)
    McofaError.__init__(error, problem, next_step)
    return error


class UnknownNameError(McofaError):
    """A name that is not among the ones known."""

    def __init__(self, kind: str, name: str, known: Sequence[str], list_command: str) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        super().__init__(
            f"unknown {kind} {name!r}{hint}; known: {', '.join(known) or 'none'}",
            f"list them with `{list_command}`",
        )


class FileFormatError(McofaError):
    """A file that exists but does not hold what it should."""

    def __init__(self, path: Path | str, detail: str, next_step: str) -> None:
        super().__init__(f"{path}: {detail}", next_step)


class MissingFileError(McofaError):
    """A file or folder that should be there and is not."""

    def __init__(self, path: Path | str, what: str, next_step: str) -> None:
        super().__init__(f"{what} not found: {path}", next_step)


class DiskWriteError(McofaError):
    """The operating system refused to write a file (disk full, no permission)."""

    def __init__(self, path: Path | str, cause: OSError) -> None:
        super().__init__(
            f"cannot write {path}: {cause.strerror or cause}",
            "free some space or choose another folder; nothing was left half-written",
        )


class RunError(McofaError):
    """A run that lacks what a command needs, or that another command changes."""


class BudgetError(McofaError):
    """No arch of the space fits the budget."""


class TimeLimitError(BudgetError):
    """The time limit ended a search before it found anything."""


class UnsupportedOpError(McofaError):
    """The model holds an op that the memory accounting or the exporter has no rule for."""


class UnstreamableInputError(McofaError):
    """An input that cannot be taken row by row, or an engine that takes none so."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, "leave out --stream-input: the image is then in the arena")


class ArenaCheckError(McofaError):
    """Predicted and measured memory differ, or the board's budget is exceeded."""


class InvalidArchError(McofaError):
    """An arch that its search space does not contain."""


class SharedError(McofaError):
    """An error that every process of a run raises; the first one shows it for all."""


class LostProcessError(McofaError):
    """A process of a run ended before the others, or does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this run ended or does not answer", "see the error that it shows"
        )


class DivergedError(SharedError):
    """A training whose loss or weights are no longer finite."""


class McofaWarning(UserWarning):
    """What a user should know, and what stops nothing; the command line prints it on stderr."""

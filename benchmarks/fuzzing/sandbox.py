"""Run the command line in this process, and see whether it did what no input may make it do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
import types
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcofa.cli import main

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
}
_PROGRAMS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "socket.connect"}
)
_WAITING = 20
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code (None after an exception), what it printed, what was wrong with that.

    ``seconds`` are of the processor.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    problem: str

    @property
    def document(self) -> Any:
        """What ``--json`` printed."""
        return json.loads(self.stdout)


class HangError(BaseException):
    """The time for one input is over."""


class Sandbox:
    """Runs commands in ``folder``, the only place where they may write, one at a time."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self._seconds = seconds

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Run the command line on ``arguments``, in the folder."""
        out, err = io.StringIO(), io.StringIO()
        problem, code = "", None
        started = time.process_time()
        with _watched(self.folder) as touched, contextlib.chdir(self.folder), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                with _alarm(self._seconds), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    code = main(list(arguments))
            except HangError:
                problem = f"hangs for more than {self._seconds:g} s"
            except BaseException as error:
                problem = _where(error)
        seconds = time.process_time() - started
        problem = problem or _said(code, out.getvalue(), err.getvalue(), "--json" in arguments)
        problem = problem or (f"touches {touched[0]}" if touched else "")
        return Outcome(code, out.getvalue(), err.getvalue(), seconds, problem)


def _said(code: int | None, stdout: str, stderr: str, as_json: bool) -> str:
    """What is wrong with exit code and messages."""
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if "Traceback" in stderr or "Warning:" in stderr:
        return f"stderr: {stderr[-300:]}"
    errors = sum(line.startswith(("error:", "Error:")) for line in stderr.splitlines())
    if errors != (code != 0):
        return f"{errors} error messages with exit code {code}"
    if as_json and (code == 0 or stdout):
        try:
            json.loads(stdout, parse_constant=_refused)
        except ValueError as error:
            return f"stdout is not one JSON document: {error}"
    return ""


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _where(error: BaseException) -> str:
    """An exception, by its kind and the last place in the project that it went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}"
    return f"{type(error).__name__} in {place}: {str(error)[:200]}"


def _is_ours(file: str) -> bool:
    return str(Path(file).parent).startswith(
        (str(_ROOT / "mcofa"), str(_ROOT / "export"), str(_ROOT / "benchmarks"))
    )


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise after ``seconds`` of the processor, or many times that: others may be at work, too."""

    def ring(_number: int, _frame: types.FrameType | None) -> None:
        raise HangError

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, _WAITING * seconds),
    }
    before = {number: signal.signal(number, ring) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


_allowed: list[Path] = []
_touched: list[str] = []


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    """Collect what is changed outside ``folder``, and every program that is started."""
    _install()
    _touched.clear()
    _allowed[:] = [folder.resolve(), Path("/dev/null")]
    try:
        yield _touched
    finally:
        _allowed.clear()


def _install() -> None:
    """Audit hooks cannot be removed: one, which does nothing while nothing is watched."""
    if not getattr(sys, "_mcofa_fuzzing", False):
        sys._mcofa_fuzzing = True  # type: ignore[attr-defined]
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed:
        return
    if event == "open":
        path, mode, flags = arguments
        if (mode and set(mode) & set("wax+")) or (flags and flags & _WRITES):
            _check(event, path)
    elif event in _CHANGES:
        for path in arguments[: _CHANGES[event]]:
            _check(event, path)
    elif event in _PROGRAMS:
        _touched.append(f"{event} {str(arguments[:2])[:200]}")


def _check(event: str, path: Any) -> None:
    if isinstance(path, int) or path is None:
        return
    absolute = os.path.realpath(os.fsdecode(path))
    if not any(absolute.startswith(str(place)) for place in _allowed) and not absolute.endswith(".pyc"):
        _touched.append(f"{event} {absolute[:200]}")

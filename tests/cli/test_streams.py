"""Where the output goes wrong: closed, full, read only in part, or interrupted; never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "import sys; from mcofa.cli import main; sys.exit(main())"]
PRINTING = [["boards"], ["boards", "--json"], ["spaces", "show", "ofa"], ["--help"], ["boards", "--help"]]


def shell(words: list[str], redirection: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = f'"$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", line, "bash", *PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_output_that_cannot_be_written_is_one_error(words: list[str], tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = shell(words, "> /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the output: No space left on device",
        "  next: check the disk and permissions",
    ]


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_reader_that_has_had_enough_is_no_error_to_tell(words: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as pipe:
        done = subprocess.run(
            [*PROGRAM, *words], cwd=tmp_path, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_what_is_closed_gets_nothing(redirection: str, tmp_path: Path) -> None:
    done = shell(["search", "--max-peak-items", "10000"], redirection, tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert (tmp_path / "runs" / "mcofa-micro-10000" / "manifest.json").is_file()


def test_an_interrupt_ends_it_with_130(tmp_path: Path) -> None:
    words = [*PROGRAM, "search", "--board", "all"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        while b"searching" not in running.stderr.readline():
            assert running.poll() is None
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        printed, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert printed == b""
    assert said.rstrip().endswith(b"interrupted")
    assert b"Traceback" not in said
    assert not list(tmp_path.rglob("*.tmp"))

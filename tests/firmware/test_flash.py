"""Flashing: OpenOCD parses its configurations, the other tools are recording stand-ins."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from device_projects import copied_images, copy_engine, make

from export.firmware.project import render_firmware
from mcofa.boards import Board, board_names, load_board

FLASHED = [name for name in board_names() if load_board(name).flash]
TOOLS = {"bossac", "dfu-util", "nrfjprog", "openocd", "picotool", "st-flash", "teensy_loader_cli"}


@pytest.fixture(params=FLASHED)
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


@pytest.fixture
def project(board: Board, tmp_path: Path) -> Path:
    """A project whose program is there already, so that no compiler is needed."""
    render_firmware(board, copy_engine(), copied_images(board), tmp_path / "project")
    return tmp_path / "project"


def command(board: Board) -> list[str]:
    assert board.flash is not None
    return board.flash.command_for(Path("build/firmware"))


def flash(project: Path, board: Board, programs: Path) -> subprocess.CompletedProcess[str]:
    assert board.flash is not None
    program = f"build/firmware.{board.flash.program_format}"
    (project / "build").mkdir()
    (project / program).write_text("a program")
    return make(project, "flash", "--old-file", program, programs=programs)


def stand_in(programs: Path, tool: str, status: int) -> Path:
    """A program that writes down what it is asked to do."""
    programs.mkdir()
    script, record = programs / tool, programs / "asked"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" > {record}\nexit {status}\n')
    script.chmod(0o755)
    return record


def test_the_tools_are_the_ones_that_are_documented() -> None:
    assert {command(load_board(name))[0] for name in FLASHED} == TOOLS


def test_the_tool_gets_the_command_of_the_profile(project: Path, board: Board, tmp_path: Path) -> None:
    record = stand_in(tmp_path / "bin", command(board)[0], status=0)
    done = flash(project, board, tmp_path / "bin")
    assert (done.returncode, done.stderr) == (0, "")
    tool, *arguments = record.read_text().splitlines()
    assert [Path(tool).name, *arguments] == command(board)


def test_a_board_that_does_not_answer_is_named(project: Path, board: Board, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", command(board)[0], status=1)
    done = flash(project, board, tmp_path / "bin")
    assert done.returncode == 2
    assert f"{board.title} was not written: is it connected and powered" in done.stderr


def test_a_missing_tool_says_where_it_comes_from(project: Path, board: Board, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "echo"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    assert board.flash is not None
    program = f"build/firmware.{board.flash.program_format}"
    (project / "build").mkdir()
    (project / program).write_text("a program")
    make_program = shutil.which("make")
    assert make_program is not None
    done = subprocess.run(
        [make_program, "flash", "--old-file", program],
        cwd=project,
        env={"PATH": str(programs), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{command(board)[0]} is not installed: {board.flash.install}" in done.stderr


def test_dry_run_only_prints_the_command(project: Path, board: Board, tmp_path: Path) -> None:
    record = stand_in(tmp_path / "bin", command(board)[0], status=0)
    done = make(project, "flash", "DRY_RUN=1", programs=tmp_path / "bin")
    assert done.returncode == 0
    assert shlex.split(done.stdout) == command(board)
    assert not record.exists()
    assert not (project / "build").exists()


def test_openocd_parses_its_configuration_with_the_dummy_adapter(board: Board) -> None:
    words = command(board)
    if words[0] != "openocd":
        pytest.skip(f"{board.name} is flashed with {words[0]}")
    if shutil.which("openocd") is None:
        pytest.skip("openocd is not installed (Debian package openocd)")
    adapter = words.index("interface/stlink.cfg")
    for interface in (
        ["-c", "adapter driver dummy", "-c", "transport select jtag"],
        words[adapter - 1 : adapter + 1],
    ):
        parsed = subprocess.run(
            ["openocd", *interface, *words[adapter + 1 : -2], "-c", "shutdown"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert parsed.returncode == 0, parsed.stderr
        assert "Error" not in parsed.stderr


def test_a_board_that_is_only_emulated_says_so(tmp_path: Path) -> None:
    board = load_board("mps2-an500")
    render_firmware(board, copy_engine(), copied_images(board), tmp_path / "project")
    assert "run the firmware with make emulate" in make(tmp_path / "project", "flash").stderr

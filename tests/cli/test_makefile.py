"""The Makefile: what it promises, with stand-ins for the programs that would change the machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ABSENT = "exit 1"


def make(repo_root: Path, *words: str, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.environ["PATH"] if programs is None else f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "DEBIAN_FRONTEND" and not name.startswith("MAKE")
    }
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=repo_root,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def stand_in(programs: Path, name: str, body: str) -> None:
    script = programs / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


def test_alone_it_lists_the_targets(repo_root: Path) -> None:
    listed = make(repo_root).stdout
    assert all(
        f"make {target} " in listed
        for target in ("setup", "demo", "test", "lint", "bench", "emulate", "flash")
    )


def test_demo_runs_the_chain_in_order(repo_root: Path) -> None:
    lines = make(repo_root, "--dry-run", "demo", "BOARD=b", "RUN=runs/r").stdout.splitlines()
    assert [line.partition("bin/mcofa ")[2] for line in lines if "bin/mcofa " in line] == [
        "search --board b --out runs/r",
        "export runs/r",
        "evaluate runs/r",
        "verify runs/r",
        "arena-check runs/r --board b",
        "firmware runs/r --board b",
        "report runs/r",
    ]


def mcofa_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.partition("bin/mcofa ")[2] for line in done.stdout.splitlines() if "bin/mcofa " in line]


def test_emulate_makes_what_the_run_lacks(repo_root: Path, tmp_path: Path) -> None:
    asked = ("--dry-run", "emulate", "BOARD=mps2-an500", "ENGINE=aot", f"RUN={tmp_path}")
    search, export, emulate = (
        f"search --board mps2-an500 --engine aot --out {tmp_path}",
        f"export {tmp_path} --engine aot",
        f"firmware {tmp_path} --board mps2-an500 --engine aot --emulate",
    )
    assert mcofa_lines(make(repo_root, *asked)) == [search, export, emulate]
    (tmp_path / "manifest.json").write_text("{}")
    assert mcofa_lines(make(repo_root, *asked)) == [export, emulate]
    (tmp_path / "network.tflite").write_text("")
    assert mcofa_lines(make(repo_root, *asked)) == [emulate]


def test_without_engine_the_run_decides(repo_root: Path, tmp_path: Path) -> None:
    for made in ("manifest.json", "network.tflite"):
        (tmp_path / made).write_text("{}")
    for target, more in (("firmware", ""), ("emulate", " --emulate")):
        done = make(repo_root, "--dry-run", target, "BOARD=b", f"RUN={tmp_path}")
        assert [line.split() for line in mcofa_lines(done)] == [
            f"firmware {tmp_path} --board b{more}".split()
        ]


def test_flash_hands_dry_run_to_the_project(repo_root: Path, tmp_path: Path) -> None:
    project = tmp_path / "firmware" / "stm32f746-tflm"
    project.mkdir(parents=True)
    (project / "Makefile").write_text("flash:\n\t@echo flash $(DRY_RUN)\n")
    for made in ("manifest.json", "network.tflite"):
        (tmp_path / made).write_text("{}")
    (tmp_path / "mcofa").write_text("#!/bin/sh\n")
    (tmp_path / "mcofa").chmod(0o755)
    stamp = tmp_path / "stamp"
    stamp.write_text("")
    words = ["BOARD=stm32f746", f"RUN={tmp_path}", f"MCOFA={tmp_path}/mcofa", f"STAMP={stamp}", "DRY_RUN=1"]
    done = make(repo_root, "flash", *words, "SYSTEM_PACKAGES=")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "flash 1"


def test_an_old_python_is_refused_with_both_versions(repo_root: Path, programs: Path, tmp_path: Path) -> None:
    stand_in(programs, "oldpython", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    done = make(
        repo_root, f"{tmp_path}/venv/bin/pip", f"VENV={tmp_path}/venv", "PYTHON=oldpython", programs=programs
    )
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and oldpython is Python 3.9.2" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_names_the_package_to_install(
    repo_root: Path, programs: Path, tmp_path: Path
) -> None:
    stand_in(
        programs,
        "bare",
        'case "$*" in *ensurepip*) exit 1 ;; *-venv*) echo python3.12-venv ;; *version_info*) exit 0 ;; esac',
    )
    stand_in(programs, "id", "echo 1000")
    done = make(
        repo_root, f"{tmp_path}/venv/bin/pip", f"VENV={tmp_path}/venv", "PYTHON=bare", programs=programs
    )
    assert done.returncode != 0
    assert "sudo apt-get install -y python3.12-venv" in done.stderr


def test_without_root_it_says_what_to_install(repo_root: Path, programs: Path) -> None:
    stand_in(programs, "dpkg-query", ABSENT)
    stand_in(programs, "id", "echo 1000")
    done = make(repo_root, "system", programs=programs)
    assert done.returncode == 0
    command = shlex.split(done.stderr.splitlines()[-1])
    assert command[:4] == ["sudo", "apt-get", "install", "-y"]
    assert {"dataset-fashion-mnist", "gcc-arm-none-eabi", "g++", "qemu-system-arm", "openocd"} <= set(command)


def test_as_root_it_installs_only_what_is_missing(repo_root: Path, programs: Path, tmp_path: Path) -> None:
    log = tmp_path / "apt.log"
    stand_in(programs, "dpkg-query", 'case "$*" in *gcc-arm*) exit 1 ;; *) printf installed ;; esac')
    stand_in(programs, "id", "echo 0")
    stand_in(programs, "apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {log}')
    assert make(repo_root, "system", programs=programs).returncode == 0
    update, install = log.read_text().splitlines()
    assert update.strip() == "-qq update"
    assert install.startswith("noninteractive ")
    assert install.endswith(" gcc-arm-none-eabi")


def test_a_package_that_cannot_be_installed_is_a_warning(repo_root: Path, programs: Path) -> None:
    stand_in(programs, "dpkg-query", ABSENT)
    stand_in(programs, "id", "echo 0")
    stand_in(programs, "apt-get", ABSENT)
    done = make(repo_root, "system", programs=programs)
    assert done.returncode == 0
    assert "warning: could not install gcc-arm-none-eabi" in done.stderr


def test_nothing_missing_means_nothing_done(repo_root: Path, programs: Path) -> None:
    stand_in(programs, "dpkg-query", "printf installed")
    done = make(repo_root, "system", programs=programs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

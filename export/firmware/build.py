"""Building a rendered firmware project, and what the linker made of it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from export.firmware.project import PROGRAM
from mcofa.boards import families
from mcofa.errors import McofaError, MissingFileError

_TEST_IMAGES = ".test_images"
_SHOWN_LINES = 20
_TFLM = "TFLM_DIR"


class FirmwareBuildError(McofaError):
    """The compiler or the linker refused a project."""


@dataclass(frozen=True, slots=True)
class LinkedSizes:
    """What the linked program takes, in bytes.

    ``flash_bytes`` is without the self-test's images, ``ram_bytes`` with stack and arena.
    """

    flash_bytes: int
    test_image_bytes: int
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int


def build(project: Path) -> LinkedSizes:
    """Run make in ``project`` and return what was linked.

    Raises:
        FirmwareBuildError: make failed; the message holds the end of what it said.
        McofaError: make is not installed.
    """
    run_make(project, "all")
    return linked_sizes(project / PROGRAM.with_suffix(".elf"))


def run_make(project: Path, target: str) -> str:
    """Make ``target`` in ``project`` and return what make printed.

    Raises:
        FirmwareBuildError: make failed; the message holds the end of what it said.
        McofaError: make is not installed.
    """
    try:
        done = subprocess.run(
            ["make", "--silent", f"--jobs={os.cpu_count() or 1}", target],
            cwd=project,
            env=_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise McofaError("make is not installed", "sudo apt-get install make") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        told = [line for line in lines if not line.startswith("make: ***")] or lines
        said = "\n".join(told[:_SHOWN_LINES])
        raise FirmwareBuildError(f"building {project} failed:\n{said}", _next_step(said, project))
    return done.stdout


def linked_sizes(elf: Path) -> LinkedSizes:
    """Return what a linked program takes.

    Raises:
        MissingFileError: there is no such file.
    """
    if not elf.is_file():
        raise MissingFileError(elf, "firmware", "build it with `mcofa firmware --build`")
    with elf.open("rb") as file:
        allocated = [
            section
            for section in ELFFile(file).iter_sections()
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]
        ]
        sizes = {section.name: int(section["sh_size"]) for section in allocated}
        stored = {section.name for section in allocated if section["sh_type"] != "SHT_NOBITS"}
    in_ram = (".stack", ".data", ".bss", ".arena")
    test_image_bytes = sizes.get(_TEST_IMAGES, 0)
    return LinkedSizes(
        flash_bytes=sum(sizes[name] for name in stored) - test_image_bytes,
        test_image_bytes=test_image_bytes,
        ram_bytes=sum(sizes.get(name, 0) for name in in_ram),
        arena_bytes=sizes.get(".arena", 0),
        stack_bytes=sizes.get(".stack", 0),
    )


def _next_step(said: str, project: Path) -> str:
    if "overflowed by" in said or "will not fit" in said:
        return "choose a smaller network (`mcofa search`) or a board with more memory (`mcofa boards`)"
    if f"set {_TFLM}" in said:
        return "export TFLM_DIR=/path/to/tflite-micro, or use `--engine aot`"
    missing = (family for family in families() if "not found" in said and f"{family.toolchain}-" in said)
    for family in missing:
        return f"sudo apt-get install {' '.join(family.toolchain_packages)}"
    return f"see all of it with `make -C {project}`"


def _environment() -> dict[str, str]:
    """The environment, less what a make that runs us passes on, and with an absolute TFLM_DIR."""
    found = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    if found.get(_TFLM):
        found[_TFLM] = str(Path(found[_TFLM]).absolute())
    return found

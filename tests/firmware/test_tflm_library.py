"""The library of TFLM that is there: compiled for another FPU it is refused, and its code is measured."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from device_projects import MODEL, copied_images, copy_engine, cross_tool

from export.engines.project import FirmwareProject
from export.engines.tflm.firmware import tflm_part
from export.engines.tflm.library import WrongLibraryError, check_library, measured_library
from export.firmware.archive import archive_members
from export.firmware.engine_part import LinkedLibrary
from export.firmware.project import render_firmware
from mcofa.boards import Board, load_board
from mcofa.errors import FileFormatError, McofaWarning

M7 = ("-mcpu=cortex-m7", "-mthumb")
DOUBLE, SINGLE = ("-mfloat-abi=hard", "-mfpu=fpv5-d16"), ("-mfloat-abi=hard", "-mfpu=fpv5-sp-d16")
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
SOFT = ("-mfloat-abi=soft",)
CODE = "enum e { A, B } e; float half(float x) { return x / 2; }"

Flags = Sequence[str]


def archive(folder: Path, *members: tuple[str, Flags]) -> Path:
    """Compile each source with its flags and return a library of the objects."""
    gcc, ar = cross_tool("gcc"), cross_tool("ar")
    library = folder / "library.a"
    for number, (source, flags) in enumerate(members):
        # Names of more than 15 characters lie in a member of their own.
        compiled = folder / f"member_with_a_long_name_{number}.o"
        subprocess.run(
            [gcc, "-Os", *flags, "-ffunction-sections", "-x", "c", "-c", "-", "-o", compiled],
            input=source.encode(),
            check=True,
        )
        subprocess.run([ar, "rcs", library, compiled], check=True)
    return library


@pytest.mark.parametrize(
    ("board", "flags"),
    [
        ("stm32f746", (*M7, *SINGLE)),
        ("mps2-an500", (*M7, *DOUBLE)),
        ("mps2-an500", (*M7, *SINGLE)),
        ("mps2-an500", M4),
        ("nrf52840", M4),
        ("stm32f103", ("-mcpu=cortex-m3", "-mthumb")),
        ("mps3-an547", ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard")),
    ],
)
def test_a_library_for_the_board_is_taken(board: str, flags: Flags, tmp_path: Path) -> None:
    """A simpler FPU than the board's will do."""
    check_library(archive(tmp_path, (CODE, flags)), load_board(board))


@pytest.mark.parametrize(
    ("board", "flags", "said"),
    [
        ("stm32f746", (*M7, *DOUBLE), "was compiled for a double-precision FPU; stm32f746 has a single"),
        ("nrf52840", (*M7, *SINGLE), "was compiled for a single-precision FPU of a newer kind; nrf52840"),
        ("stm32f103", M4, "was compiled for a single-precision FPU; stm32f103 has no FPU"),
        ("mps2-an500", (*M7, *SOFT), "passes floats in integer registers; mps2-an500 has a double"),
        ("stm32f746", (*M7, *SINGLE, "-fno-short-enums"), "was compiled with long enums"),
    ],
)
def test_a_library_for_something_else_is_refused(board: str, flags: Flags, said: str, tmp_path: Path) -> None:
    """One wrong object is enough, wherever it lies."""
    right = load_board(board).toolchain.compiler_flags
    library = archive(tmp_path, (CODE, right), (CODE, flags))
    with pytest.raises(WrongLibraryError) as refused:
        check_library(library, load_board(board))
    assert str(library) in refused.value.problem
    assert said in refused.value.problem
    fpu = load_board(board).fpu
    assert ("FPU=" in refused.value.next_step) == (fpu != "none")
    for argument in (
        "BUILD_TYPE=release",
        " KERNEL_OPTIMIZATION_LEVEL=-Os",
        "THIRD_PARTY_KERNEL_OPTIMIZATION_LEVEL=-Os",
        "TARGET_TOOLCHAIN_ROOT=/usr/bin/",
    ):
        assert argument in refused.value.next_step


def test_members_are_those_that_ar_lists(tmp_path: Path) -> None:
    library = archive(tmp_path, (CODE, M7), ("char odd[3];", M7))
    listed = subprocess.run([cross_tool("ar"), "t", library], capture_output=True, text=True, check=True)
    objects = [data for _, data in archive_members(library) if data.startswith(b"\x7fELF")]
    assert len(objects) == len(listed.stdout.split()) == 2
    for number, data in enumerate(objects):
        assert data == (tmp_path / f"member_with_a_long_name_{number}.o").read_bytes()


@pytest.mark.parametrize("what", ["text", "empty", "cut", "flipped"])
def test_what_is_no_library_is_refused_in_words(what: str, tmp_path: Path) -> None:
    library = archive(tmp_path, (CODE, (*M7, *SINGLE)))
    data = library.read_bytes()
    broken = data.replace(b"\x7fELF\x01", b"\x7fELF\x07")
    library.write_bytes({"text": b"hello", "empty": data[:8], "cut": data[:-9], "flipped": broken}[what])
    with pytest.raises(FileFormatError, match=r"library\.a: (is no static|is damaged|holds)"):
        check_library(library, load_board("stm32f746"))


@pytest.fixture
def board() -> Board:
    return load_board("stm32f746")


def test_the_code_that_is_linked_is_measured(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the library, what the network's ops need: not what they do not, and not what lies in RAM."""
    project = tmp_path / "project"
    part = tflm_part(board, MODEL)
    render_firmware(board, part, copied_images(board), project)
    engine = 'extern "C" { extern const char used[]; int engine_setup() { return used[9]; }'
    (project / "src" / "engine_tflm.cc").write_text(engine + "int engine_run() { return 1; } }")
    flags = board.toolchain.compiler_flags
    members = [("const char used[5000] = {1};", flags), ("const char other[9000] = {1};", flags)]
    library = archive(tmp_path, *members, ("char zero[7000];", flags))
    monkeypatch.setenv("TFLM_DIR", str(tmp_path))
    monkeypatch.setenv("TFLM_LIB", str(library))
    found = measured_library(project, board)
    assert found.file == library
    assert 5_000 < found.code_bytes < 5_200

    counted = dataclasses.replace(part, code_bytes=3_000, measure_library=lambda *_: found)
    told = FirmwareProject(project, board, counted, (), 1, ())
    with pytest.warns(
        McofaWarning, match=f"{library} links {found.code_bytes:,} B of code, and 3,000 B were"
    ):
        flash_bytes, basis = told.predicted_flash()
    assert flash_bytes == part.flash_bytes - 3_000 + found.code_bytes
    assert str(library) in basis


def test_a_library_as_counted_needs_no_word(board: Board, tmp_path: Path) -> None:
    """Warnings are errors here."""
    part = dataclasses.replace(
        copy_engine(), code_bytes=5_000, measure_library=lambda *_: LinkedLibrary(tmp_path, 5_100, "X=1")
    )
    assert FirmwareProject(tmp_path, board, part, (), 1, ()).predicted_flash()[0] == part.flash_bytes + 100

"""The library of TFLM that a firmware project is to be linked with: whether it fits, how large it is."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from export.engines.tflm.arguments import library_arguments
from export.firmware.archive import BuildAttributes, library_attributes, mismatch, object_attributes
from export.firmware.build import linked_sizes, run_make
from export.firmware.engine_part import LinkedLibrary
from mcofa.boards import Board
from mcofa.errors import McofaError, MissingFileError

_ARM = "arm-none-eabi"
_CODE = "build/engine_code.elf"


class WrongLibraryError(McofaError):
    """A library that was compiled for another FPU, float ABI or layout of structs than the board's."""


def measured_library(project: Path, board: Board) -> LinkedLibrary:
    """Return the library that a rendered project links, once it is known to suit the board, and its code.

    Raises:
        WrongLibraryError: it was compiled for something else.
        FileFormatError: it is no static library with object files.
        FirmwareBuildError: there is none, or it lacks what the network needs.
    """
    library = Path(run_make(project, "tflm-library").strip())
    check_library(library, board)
    run_make(project, _CODE)
    return LinkedLibrary(library, linked_sizes(project / _CODE).flash_bytes, library_arguments(board))


def check_library(library: Path, board: Board) -> None:
    """Do nothing where all object files of ``library`` were compiled for a board like this one.

    Raises:
        WrongLibraryError: names the first difference.
        FileFormatError: not a static library with object files.
        MissingFileError: the board's compiler is not installed.
    """
    if board.core_facts.family.toolchain != _ARM:
        return
    needed = _board_attributes(board)
    for found in library_attributes(library):
        if why := mismatch(found, needed):
            own = f"has {needed.precision} ({board.fpu})" if needed.fp_arch else "has no FPU"
            raise WrongLibraryError(
                f"{library} {why}; {board.name} {own}, and is compiled for it with "
                f"{' '.join(_float_flags(board)) or 'no FPU flags'}",
                f"build the library with {library_arguments(board)}",
            )


def _float_flags(board: Board) -> list[str]:
    return [flag for flag in board.toolchain.compiler_flags if flag.startswith(("-mfloat-abi", "-mfpu"))]


def _board_attributes(board: Board) -> BuildAttributes:
    """What the board's compiler writes into an object file."""
    compiler = f"{board.core_facts.family.toolchain}-gcc"
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "enumeration.o"
        command = [compiler, *board.toolchain.compiler_flags, "-x", "c", "-c", "-", "-o", str(compiled)]
        try:
            # An object file tells the size of enums only where there is one.
            subprocess.run(command, input=b"enum e { A } e;", check=True, capture_output=True)
        except FileNotFoundError as error:
            packages = " ".join(board.core_facts.family.toolchain_packages)
            raise MissingFileError(compiler, "compiler", f"sudo apt-get install {packages}") from error
        found = object_attributes(compiled.read_bytes(), compiled)
    assert found is not None
    return found

"""What a library for Arm was compiled for, read from the object files in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import ARMAttributesSection

from mcofa.errors import FileFormatError

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_SIZE = slice(48, 58)
_SINGLE_PRECISION_ONLY = 1
_VFP_REGISTERS = 1
_NEXT_STEP = "build it again with the board's compiler"


@dataclass(frozen=True, slots=True)
class BuildAttributes:
    """What an object file says it was compiled for; numbers are those of the ABI for Arm.

    ``fp_arch`` is 0 without an FPU, and grows with what the FPU can do; ``enum_size`` is 1 for enums as
    small as their values, 2 for enums of 4 bytes.
    Source: Arm, "Addenda to, and Errata in, the ABI for the Arm Architecture" (Tag_FP_arch and others).
    """

    fp_arch: int
    single_only: bool
    hard_float_abi: bool
    enum_size: int

    @property
    def precision(self) -> str:
        """The FPU in a word."""
        if not self.fp_arch:
            return "no FPU"
        return "a single-precision FPU" if self.single_only else "a double-precision FPU"


def archive_members(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where each member of a static library starts, and what it holds.

    Raises:
        FileFormatError: not a static library.
    """
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise FileFormatError(path, "is no static library", _NEXT_STEP)
    at = len(_MAGIC)
    while at + _HEADER_BYTES <= len(data):
        size = data[at:][_SIZE].strip()
        if not size.isdigit() or at + _HEADER_BYTES + int(size) > len(data):
            raise FileFormatError(path, f"is damaged at byte {at:,}", _NEXT_STEP)
        start = at + _HEADER_BYTES
        yield start, data[start : start + int(size)]
        at = start + int(size) + int(size) % 2


def library_attributes(path: Path) -> list[BuildAttributes]:
    """Return the distinct builds of the object files in a library.

    Raises:
        FileFormatError: not a static library with object files for Arm.
    """
    found = {
        attributes: None
        for _, member in archive_members(path)
        if member.startswith(b"\x7fELF") and (attributes := object_attributes(member, path))
    }
    if not found:
        raise FileFormatError(path, "holds no object files for Arm", _NEXT_STEP)
    return list(found)


def object_attributes(data: bytes, name: Path) -> BuildAttributes | None:
    """Return what one object file was compiled for, None where it does not say.

    Raises:
        FileFormatError: a damaged object file.
    """
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".ARM.attributes")
        if not isinstance(section, ARMAttributesSection):
            return None
        tags = {
            attribute.tag: attribute.value
            for part in section.iter_subsections()
            for subpart in part.iter_subsubsections()
            for attribute in subpart.iter_attributes()
        }
    except (ELFError, ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(name, f"holds a damaged object file: {error}", _NEXT_STEP) from error
    return BuildAttributes(
        fp_arch=tags.get("TAG_FP_ARCH", 0),
        single_only=tags.get("TAG_ABI_HARDFP_USE", 0) == _SINGLE_PRECISION_ONLY,
        hard_float_abi=tags.get("TAG_ABI_VFP_ARGS", 0) == _VFP_REGISTERS,
        enum_size=tags.get("TAG_ABI_ENUM_SIZE", 0),
    )


def mismatch(library: BuildAttributes, board: BuildAttributes) -> str:
    """Say why code of ``library`` cannot run in a program for ``board``, or "".

    A simpler FPU than the board's is no fault.
    """
    if library.fp_arch > board.fp_arch or (board.single_only and library.fp_arch and not library.single_only):
        newer = library.fp_arch > board.fp_arch and library.precision == board.precision
        return f"was compiled for {library.precision}{' of a newer kind' if newer else ''}"
    if library.hard_float_abi != board.hard_float_abi:
        return f"passes floats in {'FPU' if library.hard_float_abi else 'integer'} registers"
    if library.enum_size and board.enum_size and library.enum_size != board.enum_size:
        return f"was compiled with {'short' if library.enum_size == 1 else 'long'} enums"
    return ""

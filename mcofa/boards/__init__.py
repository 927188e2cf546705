"""Boards: memories, core, toolchain, and what is left for a network."""

from mcofa.boards.commands import Emulation, Flash, Toolchain
from mcofa.boards.cores import Core, Extension, Family, core_named, core_names, families
from mcofa.boards.load import board_names, load_board
from mcofa.boards.memories import ARENA_ALIGNMENT_BYTES, ARENA_GUARD_BYTES, MemoryRegion, Reserved, Use
from mcofa.boards.profile import Board, Kernels, Source, Uart
from mcofa.boards.start import START_CODES, Start

__all__ = [
    "ARENA_ALIGNMENT_BYTES",
    "ARENA_GUARD_BYTES",
    "START_CODES",
    "Board",
    "Core",
    "Emulation",
    "Extension",
    "Family",
    "Flash",
    "Kernels",
    "MemoryRegion",
    "Reserved",
    "Source",
    "Start",
    "Toolchain",
    "Uart",
    "Use",
    "board_names",
    "core_named",
    "core_names",
    "families",
    "load_board",
]

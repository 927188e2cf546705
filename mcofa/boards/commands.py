"""Words of a profile that become a command line: compiler flags, flash tools, emulator arguments.

A profile may come from anywhere, so it may only say what is listed here. No word can name a file other
than the program's (OpenOCD's own scripts apart), hold white space outside OpenOCD's ``program`` command, or
start a program that is not a flash tool or the emulator of the core.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mcofa.boards.memories import STRICT
from mcofa.files.names import checked_name, checked_text

PROGRAM_FORMATS = ("elf", "bin", "hex")
"""Files that a flash command may name, as ``{elf}``, ``{bin}`` or ``{hex}``."""

COMPILER_FLAG = re.compile(
    r"-m[a-z0-9-]+(=[A-Za-z0-9][A-Za-z0-9+._-]*)?"
    r"|-f(no-)?(short-enums|omit-frame-pointer|strict-aliasing|unroll-loops|jump-tables|common)"
    r"|-D[A-Z][A-Z0-9_]*(=[A-Za-z0-9_.-]+)?"
)
"""Instruction set, code generation, and defines in capitals."""

_PROGRAM = r"\{(elf|bin|hex)\}"
_VALUE = r"[A-Za-z0-9][A-Za-z0-9:_-]*"
_SCRIPT = r"(interface|target|board|cpld)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+\.cfg"
_OPENOCD_COMMAND = (
    r'program "\{(elf|bin|hex)\}"( (verify|reset|exit|preverify|0x[0-9a-fA-F]{1,8}))*'
    r"|adapter speed [0-9]{1,6}|transport select [a-z_]+"
)
FLASH_TOOLS: Mapping[str, str] = {
    "openocd": rf"-f|-c|{_SCRIPT}|{_OPENOCD_COMMAND}",
    "nrfjprog": (
        r"--(family|coprocessor|program|sectorerase|chiperase|sectoranduicrerase|verify|reset|recover|snr"
        r"|clockspeed)"
    ),
    "bossac": r"-[eewvRbiU]|--(erase|write|verify|reset|boot|info|arduino-erase|offset=0x[0-9a-fA-F]{1,8})",
    "picotool": r"load|--(verify|execute|force|update|ignore-partitions)|-[vxfun]",
    "st-flash": r"--(reset|connect-under-reset|hot-plug|area=main|format=(binary|ihex))|write",
    "STM32_Programmer_CLI": r"-(c|w|v|rst|hardRst|s|e)|port=(SWD|JTAG)|mode=(UR|HOTPLUG|NORMAL)",
    "dfu-util": r"--(device|alt|dfuse-address|download|reset)|-[adsDR]|0x[0-9a-fA-F]{1,8}(:leave)?",
    "teensy_loader_cli": r"--mcu=[A-Za-z0-9_]+|-[wvsbr]",
    "pyocd": r"flash|load|--(target|erase|frequency|base-address)|-[tefa]",
    "probe-rs": r"download|run|--(chip|speed|protocol|base-address|binary-format|verify|chip-erase)",
    "avrdude": r"-[cpeDV]|flash:w:\{(elf|bin|hex)\}:[eir]|-U",
    "blhost": r"-u|-p|--|write-memory|flash-erase-region|receive-sb-file|reset",
    "wlink": r"flash|--(chip|speed|address)|erase",
    "esptool.py": r"--(chip|baud|before|after|flash_mode|flash_freq|flash_size)|write_flash",
}
"""The tools that may write to a board, and the words they may be given besides plain values.

OpenOCD takes scripts, so it gets no plain values: letters, digits, colons, hyphens and underscores.
"""

_QEMU_OPTIONS: Mapping[str, str] = {
    "-icount": r"shift=([0-9]|10|auto)",
    "-display": "none",
    "-monitor": "none",
    "-serial": "stdio|null",
    "-semihosting-config": r"enable=on,target=(native|auto)",
    "-cpu": r"[a-z0-9][a-z0-9._-]*",
    "-m": r"[0-9]{1,6}[KMG]?",
    "-smp": r"[0-9]{1,2}",
    "-bios": "none",
}


@dataclass(frozen=True)
class Toolchain:
    """Flags that the compiler needs for the core and its floating-point unit."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    compiler_flags: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the flags.

        Raises:
            ValueError: one that is not known to be harmless, or one of two minds.
        """
        for flag in self.compiler_flags:
            if not COMPILER_FLAG.fullmatch(flag):
                raise ValueError(
                    f"compiler_flags holds {flag!r}; allowed are -m…, -DNAME=VALUE with a name in capitals, "
                    "and a few -f… of code generation (boards/README.md)"
                )
        options = [flag.split("=")[0] for flag in self.compiler_flags]
        for option in options:
            if options.count(option) > 1:
                raise ValueError(f"compiler_flags holds {option} {options.count(option)} times; give it once")


@dataclass(frozen=True)
class Flash:
    """How to write a program to the board.

    ``command`` is an argument list with ``{elf}``, ``{bin}`` or ``{hex}`` where the path of the
    program in that format goes; ``install`` says where its first word, the tool, comes from.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    command: tuple[str, ...]
    install: str = "see its vendor"

    def __post_init__(self) -> None:
        """Check the template.

        Raises:
            ValueError: no known tool, a word that it may not be given, or no or more than one place for
                the program's path.
        """
        checked_text("install", self.install)
        named = [name for name in PROGRAM_FORMATS if any("{" + name + "}" in word for word in self.command)]
        if len(named) != 1:
            raise ValueError(
                f"command names {len(named)} of {{elf}}, {{bin}} and {{hex}}, the places for the program's "
                "path; it must name 1"
            )
        tool = self.command[0]
        if tool not in FLASH_TOOLS:
            raise ValueError(f"command starts with {tool!r}; known flash tools: {', '.join(FLASH_TOOLS)}")
        allowed = re.compile(
            "|".join([FLASH_TOOLS[tool], *([] if tool == "openocd" else [_PROGRAM, _VALUE])])
        )
        _check_words("command", self.command[1:], allowed, tool)

    @property
    def program_format(self) -> str:
        """The file that the command writes: ``elf``, ``bin`` or ``hex``."""
        return next(
            name for name in PROGRAM_FORMATS if any("{" + name + "}" in word for word in self.command)
        )

    def command_for(self, program: Path) -> list[str]:
        """Return the argument list that writes ``program``, a path without suffix, to the board."""
        path = f"{program}.{self.program_format}"
        return [word.replace("{" + self.program_format + "}", path) for word in self.command]


@dataclass(frozen=True)
class Emulation:
    """The QEMU machine that stands in for the board, and the arguments it needs."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    machine: str
    arguments: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the words.

        Raises:
            ValueError: a machine that is no name, or an argument that is not known to be harmless.
        """
        try:
            checked_name(self.machine)
        except ValueError as error:
            raise ValueError(f"machine: {error}") from error
        options, values = self.arguments[::2], self.arguments[1::2]
        _check_words("arguments", options, re.compile("|".join(_QEMU_OPTIONS)), "QEMU")
        for option, value in zip(options, [*values, ""][: len(options)], strict=True):
            _check_words("arguments", [value], re.compile(_QEMU_OPTIONS[option]), f"QEMU after {option}")

    def command_for(self, emulator: str, elf: Path) -> list[str]:
        """Return the argument list that runs ``elf`` in ``emulator``."""
        return [emulator, "-machine", self.machine, *self.arguments, "-kernel", str(elf)]


def _check_words(what: str, words: Sequence[str], allowed: re.Pattern[str], whom: str) -> None:
    for word in words:
        if not allowed.fullmatch(word):
            raise ValueError(
                f"{what} holds {word!r}, which a profile may not give to {whom}; what it may is listed in "
                "mcofa/boards/commands.py"
            )

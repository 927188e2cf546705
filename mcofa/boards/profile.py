"""What a board is: memories, core, toolchain, and what is left for a network.

A board is one ``boards/NAME.yaml``. The dataclasses are its schema: a file is checked against them
(no unknown key, no wrong type), and their ``__post_init__`` methods check what types cannot say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from mcofa.boards.commands import Emulation, Flash, Toolchain
from mcofa.boards.cores import Core, Extension, core_named
from mcofa.boards.memories import (
    ARENA_ALIGNMENT_BYTES,
    ARENA_GUARD_BYTES,
    STRICT,
    MemoryRegion,
    Reserved,
    Use,
    check_memories,
)
from mcofa.boards.start import Start
from mcofa.errors import UnknownNameError
from mcofa.files.names import checked_name, checked_text
from mcofa.tflm_versions import DEFAULT_VERSION, TflmVersion, load_version, version_names

Kernels = Literal["reference", "cmsis-nn"]

NEXT_STEP = "correct the file; boards/README.md explains every key, `mcofa boards show nrf52840` shows one"
_FASTEST_CLOCK_HZ = 2_000_000_000
_LONGEST_NOTES = 4_000
_LONGEST_CITATION = 400


@dataclass(frozen=True)
class Uart:
    """Where the firmware's text leaves the chip: the device, the pin, and its registers where known."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    name: str
    tx_pin: str
    address: int | None = None

    def __post_init__(self) -> None:
        """Check the texts and the address.

        Raises:
            ValueError: text that is not one printable line, or an address at which no register can be.
        """
        checked_text("name", self.name)
        checked_text("tx_pin", self.tx_pin)
        if self.address is not None and (not 0 <= self.address < 1 << 32 or self.address % 4):
            raise ValueError(f"address is {self.address:#x}; it must be a multiple of 4 below 0x100000000")


@dataclass(frozen=True)
class Source:
    """Where numbers of the profile were read: a document, the place in it, and its commit or version."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    document: str
    location: str
    commit: str | None = None

    def __post_init__(self) -> None:
        """Check the texts.

        Raises:
            ValueError: text that is not one printable line.
        """
        for field in dataclasses.fields(self):
            checked_text(field.name, getattr(self, field.name) or "", _LONGEST_CITATION)


@dataclass(frozen=True)
class Board:
    """One board profile: what ``boards/NAME.yaml`` holds, checked.

    ``tflm`` is the version of TFLM that the firmware is built with, whole or by the name of one that comes
    with mcofa; None is the default one. ``boot_words`` stand right behind the vector table, for a boot ROM
    that looks for them.
    ``verified`` is true when core, FPU, clock and every address and size were read in
    one of ``sources``; it does not say that firmware ran on the board.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    name: str
    title: str
    core: str
    clock_hz: int
    fpu: str
    memories: tuple[MemoryRegion, ...]
    reserved: Reserved
    toolchain: Toolchain
    sources: tuple[Source, ...]
    verified: bool
    notes: str
    kernels: Kernels = "cmsis-nn"
    tflm: TflmVersion | str | None = None
    uart: Uart | None = None
    boot_words: tuple[int, ...] = ()
    start: Start | None = None
    flash: Flash | None = None
    emulate: Emulation | None = None

    def __post_init__(self) -> None:
        """Check what concerns more than one key, and texts.

        Raises:
            ValueError: overlapping or missing memories, flags that do not fit the core, reserved
                bytes that do not fit their memory, no source, or no way to run a program.
        """
        checked_name(self.name)
        checked_text("title", self.title)
        checked_text("notes", self.notes.replace("\n", " "), _LONGEST_NOTES)
        if not 1 <= self.clock_hz <= _FASTEST_CLOCK_HZ:
            raise ValueError(
                f"clock_hz is {self.clock_hz}; it must be at least 1 and at most {_FASTEST_CLOCK_HZ}"
            )
        if not self.sources:
            raise ValueError("sources is empty; at least one document must be cited")
        if self.flash is None and self.emulate is None:
            raise ValueError("one of flash and emulate must say how a program runs")
        if isinstance(self.tflm, str) and self.tflm not in version_names():
            raise ValueError(f"tflm is {self.tflm!r}; it must be one of {', '.join(version_names())}")
        self._check_core()
        check_memories(self.memories, self.reserved)
        self._check_start()

    def _check_core(self) -> None:
        core = core_named(self.core)
        if self.fpu not in core.fpus:
            raise ValueError(f"fpu is {self.fpu!r}; core {self.core} has {' or '.join(core.fpus)}")
        if self.kernels not in core.family.kernels:
            raise ValueError(
                f"kernels is {self.kernels!r}; core {self.core} has {' or '.join(core.family.kernels)}"
            )
        needed = [*core.compiler_flags, *([f"-mfpu={self.fpu}"] if self.fpu != "none" else [])]
        for flag in needed:
            if flag not in self.toolchain.compiler_flags:
                raise ValueError(
                    f"toolchain.compiler_flags lacks {flag}, which core {self.core} and fpu {self.fpu} need"
                )

    def _check_start(self) -> None:
        start_up = self.core_facts.start_up
        if self.start and start_up is None:
            raise ValueError(f"start.code is {self.start.code!r}; there is none for core {self.core} yet")
        if self.start and (self.uart is None or self.uart.address is None):
            raise ValueError(f"start.code {self.start.code} drives a UART: uart.address must say where it is")
        if start_up and self.code_region.address % start_up.vector_alignment_bytes:
            raise ValueError(
                f"memories puts code at address {self.code_region.address:#x}; the vector table stands "
                f"there, and on {self.core} it must start at a multiple of {start_up.vector_alignment_bytes}"
            )
        for word in self.boot_words:
            if not 0 <= word < 1 << 32:
                raise ValueError(f"boot_words holds {word}; a word is 0 to 0xffffffff")

    @classmethod
    def from_json(cls, document: Mapping[Any, Any], where: Path | str) -> Board:
        """Return the board that plain keys and values describe, as in a profile or from ``to_json``.

        Raises:
            FileFormatError: says ``where`` the document is, which key is wrong, and what it must be.
        """
        from mcofa.files.records import read_record

        return read_record(cls, document, where, NEXT_STEP)

    def with_kernels(self, kernels: Kernels) -> Board:
        """Return the board with another kernel set.

        Raises:
            UnknownNameError: its core has no such kernel set.
        """
        known = self.core_facts.family.kernels
        if kernels not in known:
            raise UnknownNameError(f"kernel set on {self.core}", kernels, known, "mcofa boards")
        return dataclasses.replace(self, kernels=kernels)

    def with_tflm(self, version: TflmVersion) -> Board:
        """Return the board with another version of TFLM."""
        if version.name == DEFAULT_VERSION:
            return dataclasses.replace(self, tflm=None)
        named = version.name in version_names()
        return dataclasses.replace(self, tflm=version.name if named else version)

    @property
    def tflm_version(self) -> TflmVersion:
        """The version of TFLM that the firmware is built with."""
        return self.tflm if isinstance(self.tflm, TflmVersion) else load_version(self.tflm or DEFAULT_VERSION)

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain keys and values, without those that are not set."""
        plain = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return plain | ({"tflm": self.tflm.to_json()} if isinstance(self.tflm, TflmVersion) else {})

    def _region_for(self, use: Use) -> MemoryRegion:
        return next(region for region in self.memories if use in region.good_for)

    @property
    def core_facts(self) -> Core:
        """What is known of the board's core."""
        return core_named(self.core)

    @property
    def extension(self) -> Extension:
        """The instruction-set extension that CMSIS-NN uses on the core."""
        return self.core_facts.extension

    @property
    def arena_region(self) -> MemoryRegion:
        """The memory that holds the arena."""
        return self._region_for("arena")

    @property
    def stack_region(self) -> MemoryRegion:
        """The memory that holds the stack."""
        return self._region_for("stack")

    @property
    def data_region(self) -> MemoryRegion:
        """The memory that holds static variables."""
        return self._region_for("data")

    @property
    def code_region(self) -> MemoryRegion:
        """The memory that holds the program."""
        return self._region_for("code")

    @property
    def boot_region(self) -> MemoryRegion | None:
        """The memory of a second-stage bootloader that the program brings along, if the chip wants one."""
        return next((region for region in self.memories if "boot" in region.good_for), None)

    @property
    def images_region(self) -> MemoryRegion:
        """The memory that holds the self-test's images: the model's unless another is good for them."""
        own = (region for region in self.memories if "images" in region.good_for)
        return next(own, self.flash_region)

    @property
    def flash_region(self) -> MemoryRegion:
        """The memory that holds the model."""
        return self._region_for("model")

    @property
    def arena_budget_bytes(self) -> int:
        """Bytes that an arena may take.

        ``arena_region.bytes`` from its first multiple of 16 on, minus ``stack_bytes`` if the stack is
        in that region, minus ``runtime_ram_bytes`` if static data is (else the guards around the
        arena), rounded down to a multiple of 16; at least 0.
        """
        region = self.arena_region
        guard_bytes = 0 if "data" in region.good_for else ARENA_GUARD_BYTES
        free_bytes = region.arena_bytes - self.reserved.bytes_in(region) - guard_bytes
        return max(0, free_bytes - free_bytes % ARENA_ALIGNMENT_BYTES)

    def emulator_command(self, elf: Path) -> list[str]:
        """Return the argument list that runs ``elf`` in the emulator; empty if nothing emulates the board."""
        if self.emulate is None:
            return []
        return self.emulate.command_for(self.core_facts.family.emulator, elf)

    @property
    def flash_budget_bytes(self) -> int:
        """Bytes that model, runtime and firmware may take: the memories that hold program and model."""
        return sum(region.bytes for region in {self.code_region, self.flash_region})

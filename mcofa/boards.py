"""What a board is: memories, core, toolchain, and what is left for a network.

A board is one ``boards/NAME.yaml``. The dataclasses below are its schema:
pydantic checks a file against them (no unknown key, no wrong type), and their
``__post_init__`` methods check what types cannot say. Addresses and sizes are
plain bytes; a region is the half-open interval ``[address, address + bytes)``.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mcofa.errors import FileFormatError, MissingFileError, UnknownNameError
from mcofa.files.named_file import file_of
from mcofa.files.resources import data_folder

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Core = Literal[
    "cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"
]
Kernels = Literal["reference", "cmsis-nn"]
Fpu = Literal["none", "fpv4-sp-d16", "fpv5-d16", "fpv5-sp-d16", "auto"]
Use = Literal["boot", "code", "model", "images", "arena", "data", "stack"]
Extension = Literal["none", "dsp", "mve"]
StartCode = Literal["cmsdk", "stm32-usart", "nrf51", "stm32f7", "nrf52"]

ARENA_ALIGNMENT_BYTES = 16
ARENA_GUARD_BYTES = 32
"""Guard words of the firmware, 16 bytes on each side of the arena."""
_ADDRESS_SPACE_BYTES = 1 << 32
_KIND_FOR: Mapping[Use, str] = {
    "boot": "flash",
    "code": "flash",
    "model": "flash",
    "images": "flash",
    "arena": "ram",
    "data": "ram",
    "stack": "ram",
}
_EACH_USE_ONCE: tuple[Use, ...] = ("code", "model", "arena", "data", "stack")
_EXTENSIONS: Mapping[Core, Extension] = {
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
}
PROGRAM_FORMATS = ("elf", "bin", "hex")
"""Files that a flash command may name, as ``{elf}``, ``{bin}`` or ``{hex}``."""
_NEXT_STEP = "correct the file; boards/README.md explains every key, `mcofa boards show nrf52840` shows one"
_STRICT: Mapping[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class MemoryRegion:
    """One contiguous memory: ``[address, address + bytes)``.

    ``good_for`` says what the firmware puts there; empty means unused.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    name: str
    kind: Literal["flash", "ram"]
    address: int
    bytes: int
    good_for: tuple[Use, ...]

    def __post_init__(self) -> None:
        """Check the region against the 32-bit address space and its kind.

        Raises:
            ValueError: an address or size out of range, or a use that its kind cannot serve.
        """
        if self.bytes <= 0:
            raise ValueError(f"bytes is {self.bytes}; it must be at least 1")
        if not 0 <= self.address <= _ADDRESS_SPACE_BYTES - self.bytes:
            raise ValueError(
                f"address {self.address:#x} with bytes {self.bytes:,} leaves the 32-bit address space"
            )
        for use in self.good_for:
            if _KIND_FOR[use] != self.kind:
                raise ValueError(
                    f"good_for names {use!r}, which needs kind {_KIND_FOR[use]}, but kind is {self.kind}"
                )

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.address + self.bytes


@dataclass(frozen=True)
class Reserved:
    """What the firmware needs besides the arena, the model and the runtime's code, in bytes.

    ``runtime_ram_bytes`` is static RAM (interpreter, op resolver, C library, the
    firmware's own variables); ``firmware_flash_bytes`` is everything in flash but model and
    runtime.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    stack_bytes: int
    runtime_ram_bytes: int
    firmware_flash_bytes: int

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: a size is negative.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 0:
                raise ValueError(f"{field.name} is {value}; it must be at least 0")


@dataclass(frozen=True)
class Toolchain:
    """Flags that arm-none-eabi-gcc needs for the core and its floating-point unit."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    compiler_flags: tuple[str, ...]


@dataclass(frozen=True)
class Uart:
    """Where the firmware's text leaves the chip: the device, the pin, and its registers where known."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    name: str
    tx_pin: str
    address: int | None = None


@dataclass(frozen=True)
class Start:
    """Which ``firmware_templates/start/CODE.c.jinja`` sets clock and UART, and the numbers it needs."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    code: StartCode
    settings: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Flash:
    """How to write a program to the board.

    ``command`` is an argument list with ``{elf}``, ``{bin}`` or ``{hex}`` where the path of the
    program in that format goes; ``install`` says where its first word, the tool, comes from.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    command: tuple[str, ...]
    install: str = "see its vendor"

    def __post_init__(self) -> None:
        """Check the template.

        Raises:
            ValueError: no or more than one place for the program's path.
        """
        named = [name for name in PROGRAM_FORMATS if any("{" + name + "}" in word for word in self.command)]
        if len(named) != 1:
            raise ValueError(
                f"command names {len(named)} of {{elf}}, {{bin}} and {{hex}}, the places for the program's "
                "path; it must name 1"
            )

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

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    machine: str
    arguments: tuple[str, ...]

    def command_for(self, elf: Path) -> list[str]:
        """Return the argument list that runs ``elf`` in QEMU."""
        return ["qemu-system-arm", "-machine", self.machine, *self.arguments, "-kernel", str(elf)]


@dataclass(frozen=True)
class Source:
    """Where numbers of the profile were read: a document, the place in it, and its commit or version."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    document: str
    location: str
    commit: str | None = None


@dataclass(frozen=True)
class Board:
    """One board profile: what ``boards/NAME.yaml`` holds, checked.

    ``boot_words`` stand right behind the vector table, for a boot ROM that looks for them.
    ``verified`` is true when core, FPU, clock and every address and size were read in
    one of ``sources``; it does not say that firmware ran on the board.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    name: str
    title: str
    core: Core
    clock_hz: int
    fpu: Fpu
    memories: tuple[MemoryRegion, ...]
    reserved: Reserved
    toolchain: Toolchain
    sources: tuple[Source, ...]
    verified: bool
    notes: str
    kernels: Kernels = "cmsis-nn"
    uart: Uart | None = None
    boot_words: tuple[int, ...] = ()
    start: Start | None = None
    flash: Flash | None = None
    emulate: Emulation | None = None

    def __post_init__(self) -> None:
        """Check what concerns more than one key.

        Raises:
            ValueError: overlapping or missing memories, flags that do not fit the core, reserved
                bytes that do not fit their memory, no source, or no way to run a program.
        """
        if self.clock_hz <= 0:
            raise ValueError(f"clock_hz is {self.clock_hz}; it must be at least 1")
        if not self.sources:
            raise ValueError("sources is empty; at least one document must be cited")
        if self.flash is None and self.emulate is None:
            raise ValueError("one of flash and emulate must say how a program runs")
        self._check_memories()
        self._check_flags()
        self._check_reserved()

    def _check_memories(self) -> None:
        by_address = sorted(self.memories, key=lambda region: region.address)
        for low, high in itertools.pairwise(by_address):
            overlap_bytes = min(low.end, high.end) - high.address
            if overlap_bytes > 0:
                raise ValueError(
                    f"memories {low.name!r} ({low.address:#x} to {low.end:#x}) and {high.name!r} "
                    f"({high.address:#x} to {high.end:#x}) overlap by {overlap_bytes:,} B"
                )
        for name, count in Counter(region.name for region in self.memories).items():
            if count > 1:
                raise ValueError(f"memories has {count} regions named {name!r}; names must differ")
        for use in _EACH_USE_ONCE:
            holders = [region.name for region in self.memories if use in region.good_for]
            if len(holders) != 1:
                raise ValueError(
                    f"memories has {len(holders)} regions good_for {use!r}"
                    f"{' (' + ', '.join(holders) + ')' if holders else ''}; exactly 1 must be"
                )
        if self.arena_region.address % ARENA_ALIGNMENT_BYTES:
            raise ValueError(
                f"memories puts the arena at address {self.arena_region.address:#x}; "
                f"it must be a multiple of {ARENA_ALIGNMENT_BYTES}"
            )

    def _check_flags(self) -> None:
        needed = [f"-mcpu={self.core}"] + ([f"-mfpu={self.fpu}"] if self.fpu != "none" else [])
        for flag in needed:
            if flag not in self.toolchain.compiler_flags:
                raise ValueError(
                    f"toolchain.compiler_flags lacks {flag}, which core {self.core} and fpu {self.fpu} need"
                )

    def _check_reserved(self) -> None:
        for region in self.memories:
            needed_bytes = self._reserved_bytes(region)
            if needed_bytes > region.bytes:
                raise ValueError(
                    f"reserved needs {needed_bytes:,} B of memory {region.name!r}, "
                    f"which has {region.bytes:,} B"
                )

    def _region_for(self, use: Use) -> MemoryRegion:
        return next(region for region in self.memories if use in region.good_for)

    def _reserved_bytes(self, region: MemoryRegion) -> int:
        reserved = self.reserved
        needs: tuple[tuple[Use, int], ...] = (
            ("stack", reserved.stack_bytes),
            ("data", reserved.runtime_ram_bytes),
            ("code", reserved.firmware_flash_bytes),
        )
        return sum(needed for use, needed in needs if use in region.good_for)

    @property
    def extension(self) -> Extension:
        """The instruction-set extension that CMSIS-NN uses on the core."""
        return _EXTENSIONS.get(self.core, "none")

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

        ``arena_region.bytes``, minus ``stack_bytes`` if the stack is in that region, minus
        ``runtime_ram_bytes`` if static data is (else the guards around the arena), rounded down
        to a multiple of 16.
        """
        region = self.arena_region
        guard_bytes = 0 if "data" in region.good_for else ARENA_GUARD_BYTES
        free_bytes = region.bytes - self._reserved_bytes(region) - guard_bytes
        return free_bytes - free_bytes % ARENA_ALIGNMENT_BYTES

    @property
    def flash_budget_bytes(self) -> int:
        """Bytes that model, runtime and firmware may take: the memories that hold program and model."""
        return sum(region.bytes for region in {self.code_region, self.flash_region})


def board_names() -> list[str]:
    """Return the names of the board profiles that come with mcofa, sorted."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def load_board(name_or_path: str) -> Board:
    """Load a board profile by name (``nrf52840``) or from a file (see ``file_of``).

    Raises:
        UnknownNameError: no profile has that name.
        MissingFileError: no such file.
        FileFormatError: the file does not hold a board; the message names the key, its value and
            what it must be.
    """
    if file := file_of(name_or_path):
        return _read_board(file)
    names = board_names()
    if name_or_path not in names:
        raise UnknownNameError("board", name_or_path, names, "mcofa boards")
    return _read_board(data_folder("boards") / f"{name_or_path}.yaml")


def _read_board(path: Path) -> Board:
    from pydantic import ValidationError

    from mcofa.files.yaml_file import describe, read_yaml, unknown_keys_first

    try:
        document = read_yaml(path, _NEXT_STEP)
    except FileNotFoundError as error:
        raise MissingFileError(path, "board file", "list the boards with `mcofa boards`") from error
    try:
        # From JSON, pydantic tells a list and a mapping from a scalar strictly.
        return _board_adapter().validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        problem = unknown_keys_first(error.errors())[0]
        place = [str(part) for part in problem["loc"]]
        detail = describe(problem, ".".join(place), _valid_keys(place[:-1]))
        raise FileFormatError(path, detail, _NEXT_STEP) from error
    except (TypeError, ValueError) as error:
        raise FileFormatError(path, f"not plain keys and values: {error}", _NEXT_STEP) from error


@cache
def _board_adapter() -> TypeAdapter[Board]:
    from pydantic import TypeAdapter

    return TypeAdapter(Board)


def _valid_keys(place: list[str]) -> list[str]:
    parts: Mapping[str, type[Any]] = {
        "memories": MemoryRegion,
        "reserved": Reserved,
        "toolchain": Toolchain,
        "uart": Uart,
        "start": Start,
        "flash": Flash,
        "emulate": Emulation,
        "sources": Source,
    }
    part = parts[place[0]] if place and place[0] in parts else Board
    return [field.name for field in dataclasses.fields(part)]

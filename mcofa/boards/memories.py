"""The memories of a board: regions of its address space and what the firmware puts there.

Addresses and sizes are plain bytes; a region is the half-open interval
``[address, address + bytes)``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mcofa.files.names import checked_name

Use = Literal["boot", "code", "model", "images", "arena", "data", "stack"]

ARENA_ALIGNMENT_BYTES = 16
ARENA_GUARD_BYTES = 32
"""Guard words of the firmware, 16 bytes on each side of the arena."""
STRICT: Mapping[str, Any] = {"extra": "forbid", "strict": True}
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


@dataclass(frozen=True)
class MemoryRegion:
    """One contiguous memory: ``[address, address + bytes)``.

    ``good_for`` says what the firmware puts there; empty means unused.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    name: str
    kind: Literal["flash", "ram"]
    address: int
    bytes: int
    good_for: tuple[Use, ...]

    def __post_init__(self) -> None:
        """Check the name, and the region against the 32-bit address space and its kind.

        Raises:
            ValueError: no name, an address or size out of range, or a use that its kind cannot serve.
        """
        checked_name(self.name)
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

    @property
    def arena_bytes(self) -> int:
        """Bytes from the first address at which an arena may start."""
        return self.bytes - -self.address % ARENA_ALIGNMENT_BYTES


@dataclass(frozen=True)
class Reserved:
    """What the firmware needs besides the arena, the model and the runtime's code, in bytes.

    ``runtime_ram_bytes`` is static RAM (interpreter, op resolver, C library, the
    firmware's own variables); ``firmware_flash_bytes`` is everything in flash but model and
    runtime.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

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

    def bytes_in(self, region: MemoryRegion) -> int:
        """Return what is reserved of ``region``."""
        needs: tuple[tuple[Use, int], ...] = (
            ("stack", self.stack_bytes),
            ("data", self.runtime_ram_bytes),
            ("code", self.firmware_flash_bytes),
        )
        return sum(needed for use, needed in needs if use in region.good_for)


def check_memories(memories: Sequence[MemoryRegion], reserved: Reserved) -> None:
    """Do nothing if the memories lie apart, serve every use once, and have room for what is reserved.

    Raises:
        ValueError: names the regions and their bytes.
    """
    by_address = sorted(memories, key=lambda region: region.address)
    for low, high in itertools.pairwise(by_address):
        overlap_bytes = min(low.end, high.end) - high.address
        if overlap_bytes > 0:
            raise ValueError(
                f"memories {low.name!r} ({low.address:#x} to {low.end:#x}) and {high.name!r} "
                f"({high.address:#x} to {high.end:#x}) overlap by {overlap_bytes:,} B"
            )
    for name, count in Counter(region.name for region in memories).items():
        if count > 1:
            raise ValueError(f"memories has {count} regions named {name!r}; names must differ")
    for use in _EACH_USE_ONCE:
        holders = [region.name for region in memories if use in region.good_for]
        if len(holders) != 1:
            raise ValueError(
                f"memories has {len(holders)} regions good_for {use!r}"
                f"{' (' + ', '.join(holders) + ')' if holders else ''}; exactly 1 must be"
            )
    for region in memories:
        needed_bytes = reserved.bytes_in(region)
        if needed_bytes > region.bytes:
            raise ValueError(
                f"reserved needs {needed_bytes:,} B of memory {region.name!r}, which has {region.bytes:,} B"
            )

"""How many bytes the tables of a flatbuffer take, from a description of their fields.

A table is written back to front, its fields in the order of the description: each at a multiple of
its size, then the reference to the vtable, which lists where the fields lie. Fields that
hold their default are left out. Equal vtables are written once.

Source: https://flatbuffers.dev/internals, and the package ``flatbuffers``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE_BYTES = 4
_VTABLE_ENTRY_BYTES = 2


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a table: a number of ``bytes``, or a reference to something written before."""

    name: str
    slot: int
    bytes: int
    default: int = 0
    is_reference: bool = False


def reference(name: str, slot: int) -> Field:
    """Return a field that refers to a table or a vector."""
    return Field(name, slot, REFERENCE_BYTES, is_reference=True)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the schema: its name there, and its fields in the order in which they are written.

    ``option_code`` is its number in the schema's union of op options, if it is one of those.
    """

    name: str
    fields: tuple[Field, ...]
    option_code: int = 0

    @property
    def slots(self) -> int:
        """How many slots the vtable has when all fields are present."""
        return 1 + max(field.slot for field in self.fields)

    def without(self, *names: str) -> tuple[Field, ...]:
        """Return the fields but those of these names."""
        return tuple(field for field in self.fields if field.name not in names)

    def present(self, values: Mapping[str, int]) -> tuple[Field, ...]:
        """Return the fields that are written for ``values``, by name: those not at their default."""
        return tuple(field for field in self.fields if values.get(field.name, field.default) != field.default)


Fields = tuple[Field, ...]


@functools.cache
def positions(fields: Fields) -> tuple[int, ...]:
    """Return what the vtable holds: the table's size, then each slot's position in it (0: absent)."""
    size, ends = 0, {}
    for field in fields:
        size = round_up(size, field.bytes) + field.bytes
        ends[field.slot] = size
    size = round_up(size, REFERENCE_BYTES) + REFERENCE_BYTES
    return size, *(size - ends[slot] if slot in ends else 0 for slot in range(max(ends, default=-1) + 1))


def table_bytes(fields: Fields) -> int:
    """Return the bytes of a table that starts aligned: its fields and the reference to its vtable."""
    return positions(fields)[0]


def vtable_bytes(fields: Fields) -> int:
    """Return the bytes of a table's vtable, up to the next aligned start."""
    return round_up(_VTABLE_ENTRY_BYTES * (1 + len(positions(fields))), REFERENCE_BYTES)


def vector_bytes(item_bytes: int, items: int) -> int:
    """Return the bytes of a vector: its length, then its items."""
    return REFERENCE_BYTES + item_bytes * items


def round_up(size_bytes: int, alignment: int) -> int:
    """Return the next multiple of ``alignment`` that is not below ``size_bytes``."""
    return -(-size_bytes // alignment) * alignment

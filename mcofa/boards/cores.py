"""What is known of each processor core: one entry in ``cores.json``, read by everything that asks.

A family shares a toolchain, an emulator and the rules by which a compiler lays out structs; a core
adds its instructions, its start-up and the measurements that hold for it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Extension = Literal["none", "dsp", "mve"]

_TABLE_FILE = Path(__file__).with_name("cores.json")


@dataclass(frozen=True)
class Family:
    """Cores that are compiled for and emulated alike.

    ``toolchain`` is the prefix of its programs, ``toolchain_packages`` are the Debian packages they
    come in, and ``library_flags`` choose a small C library; ``emulator`` comes in ``emulator_package``.
    ``struct_sizes`` names the sizes of TFLM's structs, ``tflm_target`` is what TFLM's makefiles call
    the family, and ``kernels`` are the kernel sets that TFLM has for it.
    """

    toolchain: str
    toolchain_packages: tuple[str, ...]
    library_flags: tuple[str, ...]
    emulator: str
    emulator_package: str
    struct_sizes: str
    tflm_target: str
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class StartUp:
    """What the start-up of a core must know, and which registers it has.

    The table of exception vectors starts at a multiple of ``vector_alignment_bytes``; without a
    ``vector_register`` it lies where reset finds it. The others: a limit of the stack, the kind of a
    fault, a counter of cycles.
    """

    vector_alignment_bytes: int
    vector_register: bool
    stack_limit: bool
    fault_status: bool
    cycle_counter: bool


@dataclass(frozen=True)
class TflmArch:
    """What TFLM's makefiles call a core, where they tell one with an FPU apart.

    Source: tensorflow/lite/micro/tools/make/targets/cortex_m_generic_makefile.inc at 90b983c2b3f1.
    """

    without_fpu: str
    with_fpu: str


@dataclass(frozen=True)
class MeasuredAs:
    """The cores whose measurements hold for a core, its own name where it was measured itself.

    Sizes of code: ``tflm_code``, the kernels of engine aot, and the firmware around them. ``latency`` is
    instructions by kernel set.
    """

    tflm_code: str
    aot_kernels: str
    aot_firmware: str
    latency: Mapping[str, str]


@dataclass(frozen=True)
class Core:
    """One core: its instruction-set extension, what a compiler must be told, and its FPUs.

    ``compiler_flags`` every board with it must give, ``other_flags`` too where code sizes are measured.
    Without ``start_up`` there is no start code for it yet: networks can be searched, not deployed.
    ``not_measured`` says, where other cores stand in for it, which and for what; empty where what is
    shown was measured on the core or on one with the same instructions.
    """

    name: str
    family: Family
    tflm_arch: TflmArch
    extension: Extension
    compiler_flags: tuple[str, ...]
    other_flags: tuple[str, ...]
    fpus: tuple[str, ...]
    start_up: StartUp | None
    measured_as: MeasuredAs
    not_measured: str = ""


def core_names() -> tuple[str, ...]:
    """Return the names of all cores."""
    return tuple(_table())


def core_named(name: str) -> Core:
    """Return the core of that name.

    Raises:
        ValueError: there is none.
    """
    found = _table().get(name)
    if found is None:
        raise ValueError(f"core is {name!r}; it must be one of {', '.join(core_names())}")
    return found


def families() -> list[Family]:
    """Return all families, each once."""
    return list({core.family.toolchain: core.family for core in _table().values()}.values())


@functools.cache
def _table() -> dict[str, Core]:
    document = json.loads(_TABLE_FILE.read_text(encoding="utf-8"))
    by_name = {
        name: Family(
            **{
                **entry,
                "toolchain_packages": tuple(entry["toolchain_packages"]),
                "library_flags": tuple(entry["library_flags"]),
                "kernels": tuple(entry["kernels"]),
            }
        )
        for name, entry in document["families"].items()
    }
    return {name: _core(name, entry, by_name) for name, entry in document["cores"].items()}


def _core(name: str, entry: dict[str, Any], families: Mapping[str, Family]) -> Core:
    return Core(
        name=name,
        family=families[entry["family"]],
        tflm_arch=TflmArch(**entry["tflm_arch"]),
        extension=entry["extension"],
        compiler_flags=tuple(entry["compiler_flags"]),
        other_flags=tuple(entry["other_flags"]),
        fpus=tuple(entry["fpus"]),
        start_up=StartUp(**entry["start_up"]) if entry["start_up"] else None,
        measured_as=MeasuredAs(**entry["measured_as"]),
        not_measured=entry.get("not_measured", ""),
    )

"""What TFLM was built for and how large its own things are there: cores, kernel sets, structs, ops."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mcofa.errors import UnknownNameError
from mcofa.graph import OpKind

INT32_BYTES = 4
_CONSTANTS_FILE = Path(__file__).parent / "tflm-90b983c2b3f1.json"


class KernelSet(StrEnum):
    """Which kernels TFLM was built with; ``CMSIS_NN`` means built for size."""

    REFERENCE = "reference"
    CMSIS_NN = "cmsis-nn"
    CMSIS_NN_SPEED = "cmsis-nn-speed"


class Extension(StrEnum):
    """Instruction-set extension of the core, which chooses CMSIS-NN's code paths."""

    NONE = "none"
    DSP = "dsp"
    MVE = "mve"


@dataclass(frozen=True, slots=True)
class Target:
    """A core (or ``x86-64``, the wheel) and the kernel set that runs on it."""

    name: str
    abi: str
    extension: Extension
    kernels: KernelSet


@dataclass(frozen=True, slots=True)
class Structs:
    """Sizes in bytes of TFLM's structs under one ABI; all are aligned to a word."""

    pointer: int
    single_arena_allocator: int
    recording_single_arena_allocator: int
    planner: int
    micro_allocator: int
    recording_micro_allocator: int
    builtin_data_allocator: int
    subgraph_allocations: int
    eval_tensor: int
    node_and_registration: int
    scratch_handle: int
    tensor: int
    affine_quantization: int
    scratch_request: int
    allocation_info: int
    subgraph_offset: int
    planner_buffer: int


@dataclass(frozen=True, slots=True)
class OpRule:
    """What one kind of op costs on a target, whatever its shapes.

    ``builtin_data_bytes`` is 0 for ops without; ``op_data_bytes`` is not yet rounded
    up to 16. ``temporaries`` name the tensors that Prepare borrows: ``input0``, ….
    """

    builtin_data_bytes: int
    builtin_data_align: int
    op_data_bytes: int
    temporaries: tuple[str, ...]


@functools.cache
def constants() -> dict[str, Any]:
    """Return the constants of the TFLM version that this module follows (read only)."""
    loaded: dict[str, Any] = json.loads(_CONSTANTS_FILE.read_text(encoding="utf-8"))
    return loaded


def target_names() -> tuple[str, ...]:
    """Return the names that ``target`` knows."""
    return tuple(constants()["targets"])


def kernel_sets(target_name: str) -> tuple[str, ...]:
    """Return the kernel sets there are for a target: the x86-64 wheel has only one."""
    if constants()["targets"][target_name]["abi"] == "x86-64":
        return (KernelSet.REFERENCE.value,)
    return tuple(kernels.value for kernels in KernelSet)


@functools.cache
def target(name: str, kernels: str) -> Target:
    """Return the target ``name`` with the kernel set ``kernels``.

    Raises:
        UnknownNameError: no such target, or no such kernel set on it.
    """
    if name not in target_names():
        raise UnknownNameError("target", name, target_names(), "mcofa arena --help")
    if kernels not in kernel_sets(name):
        raise UnknownNameError(f"kernel set on {name}", kernels, kernel_sets(name), "mcofa arena --help")
    entry = constants()["targets"][name]
    return Target(name, entry["abi"], Extension(entry["extension"]), KernelSet(kernels))


@functools.cache
def structs(abi: str) -> Structs:
    """Return the struct sizes under ``abi`` (``arm32`` or ``x86-64``)."""
    return Structs(**constants()["struct_bytes"][abi])


@functools.cache
def op_rules(on: Target) -> dict[OpKind, OpRule]:
    """Return the rule of every op in the table, for the target ``on``."""
    family = "reference" if on.kernels is KernelSet.REFERENCE else "cmsis-nn"
    return {OpKind(name): _op_rule(entry, on.abi, family) for name, entry in constants()["ops"].items()}


def _op_rule(entry: dict[str, Any], abi: str, family: str) -> OpRule:
    builtin_bytes, builtin_align = entry["builtin_data"][abi] or (0, 1)
    return OpRule(
        builtin_data_bytes=builtin_bytes,
        builtin_data_align=builtin_align,
        op_data_bytes=entry["op_data_bytes"][f"{abi} {family}"],
        temporaries=tuple(entry["prepare_temporaries"][family]),
    )


def int_array_bytes(items: int) -> int:
    """Return the size of a TfLiteIntArray: its length, then its items."""
    return INT32_BYTES * (1 + items)


def requests_per_op() -> int:
    """Return how many scratch requests TFLM keeps room for while it prepares one op."""
    reserved: int = constants()["scratch_requests_per_op"]
    return reserved

"""What TFLM was built for and how large its own things are there: cores, kernel sets, structs."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcofa.boards import Board, core_named, core_names
from mcofa.errors import UnknownNameError
from mcofa.ops.record import INT32_BYTES
from mcofa.ops.target import Extension, KernelSet, Target

WHEEL = "x86-64"
"""The target that is no core: where TFLM's wheel runs."""

_CONSTANTS_FILE = Path(__file__).parent / "tflm-90b983c2b3f1.json"


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


@functools.cache
def constants() -> dict[str, Any]:
    """Return the constants of the TFLM version that this module follows (read only)."""
    loaded: dict[str, Any] = json.loads(_CONSTANTS_FILE.read_text(encoding="utf-8"))
    return loaded


def target_names() -> tuple[str, ...]:
    """Return the names that ``target`` knows: the wheel's and those of all cores."""
    return (WHEEL, *core_names())


def kernel_sets(target_name: str) -> tuple[str, ...]:
    """Return the kernel sets there are for a target: the x86-64 wheel has only one."""
    if target_name == WHEEL:
        return (KernelSet.REFERENCE.value,)
    return core_named(target_name).family.kernels


def default_kernels(target_name: str) -> str:
    """Return the kernel set that fits a target: CMSIS-NN's where there is one."""
    known = kernel_sets(target_name) if target_name in target_names() else ()
    return KernelSet.CMSIS_NN.value if KernelSet.CMSIS_NN.value in known else KernelSet.REFERENCE.value


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
    if name == WHEEL:
        return Target(WHEEL, WHEEL, Extension.NONE, KernelSet(kernels))
    core = core_named(name)
    return Target(name, core.family.struct_sizes, Extension(core.extension), KernelSet(kernels))


def board_target(board: Board) -> Target:
    """Return the target of a board: its core and kernel set."""
    return target(board.core, board.kernels)


@functools.cache
def structs(abi: str) -> Structs:
    """Return the struct sizes under ``abi`` (``arm32``, ``riscv32`` or ``x86-64``)."""
    return Structs(**constants()["struct_bytes"][abi])


def int_array_bytes(items: int) -> int:
    """Return the size of a TfLiteIntArray: its length, then its items."""
    return INT32_BYTES * (1 + items)


def requests_per_op() -> int:
    """Return how many scratch requests TFLM keeps room for while it prepares one op."""
    reserved: int = constants()["scratch_requests_per_op"]
    return reserved

"""What TFLM was built for and how large its own things are there: cores, kernel sets, structs."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcofa.boards import Board
from mcofa.errors import UnknownNameError
from mcofa.ops.record import INT32_BYTES
from mcofa.ops.target import Extension, KernelSet, Target

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


def board_target(board: Board) -> Target:
    """Return the target of a board: its core and kernel set."""
    return target(board.core, board.kernels)


@functools.cache
def structs(abi: str) -> Structs:
    """Return the struct sizes under ``abi`` (``arm32`` or ``x86-64``)."""
    return Structs(**constants()["struct_bytes"][abi])


def int_array_bytes(items: int) -> int:
    """Return the size of a TfLiteIntArray: its length, then its items."""
    return INT32_BYTES * (1 + items)


def requests_per_op() -> int:
    """Return how many scratch requests TFLM keeps room for while it prepares one op."""
    reserved: int = constants()["scratch_requests_per_op"]
    return reserved

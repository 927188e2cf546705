"""What TFLM was built for and how large its own things are there: cores, kernel sets, structs."""

from __future__ import annotations

import functools

from mcofa.boards import Board, core_named, core_names
from mcofa.errors import McofaError, UnknownNameError
from mcofa.ops.record import INT32_BYTES
from mcofa.ops.target import Extension, KernelSet, Target
from mcofa.tflm_versions import Structs, TflmVersion, default_version

WHEEL = "x86-64"
"""The target that is no core: where TFLM's wheel runs."""


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
def target(name: str, kernels: str, tflm: TflmVersion | None = None) -> Target:
    """Return the target ``name`` with a kernel set and a version of TFLM, by default the wheel's.

    Raises:
        UnknownNameError: no such target, or no such kernel set on it.
        McofaError: another version than the wheel's where the wheel runs.
    """
    version = tflm or default_version()
    if name not in target_names():
        raise UnknownNameError("target", name, target_names(), "mcofa arena --help")
    if kernels not in kernel_sets(name):
        raise UnknownNameError(f"kernel set on {name}", kernels, kernel_sets(name), "mcofa arena --help")
    if name == WHEEL:
        if version != default_version():
            raise McofaError(
                f"on {WHEEL} there is TFLM's wheel, version {default_version().name}, not {version.name}",
                "name a core with --target",
            )
        return Target(WHEEL, WHEEL, Extension.NONE, KernelSet(kernels), version)
    core = core_named(name)
    return Target(name, core.family.struct_sizes, Extension(core.extension), KernelSet(kernels), version)


def board_target(board: Board) -> Target:
    """Return the target of a board: its core, its kernel set and its version of TFLM."""
    return target(board.core, board.kernels, board.tflm_version)


@functools.cache
def structs(abi: str, tflm: TflmVersion | None = None) -> Structs:
    """Return the struct sizes under ``abi`` (``arm32``, ``riscv32`` or ``x86-64``) in a version of TFLM."""
    own = {} if tflm is None else tflm.struct_bytes.get(abi, {})
    return Structs(**{**default_version().struct_bytes[abi], **own})


def int_array_bytes(items: int) -> int:
    """Return the size of a TfLiteIntArray: its length, then its items."""
    return INT32_BYTES * (1 + items)

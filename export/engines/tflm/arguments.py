"""What TFLM's library must be built with, in the words of TFLM's own documents."""

from __future__ import annotations

from mcofa.boards import Board


def target_arch(board: Board) -> str:
    """Return what TFLM's makefiles call the board's core."""
    arch = board.core_facts.tflm_arch
    return arch.without_fpu if board.fpu == "none" else arch.with_fpu


def library_arguments(board: Board) -> str:
    """Return the arguments for which flash was measured, and the FPU of the board.

    The FPU must be named: TFLM's default for a Cortex-M7 has double-precision instructions, which a part
    with a single-precision unit cannot execute. Without the optimisation levels, kernels are built for
    speed. TFLM downloads a compiler unless it is told the folder of one, with the slash at its end.
    """
    arguments = [f"TARGET={board.core_facts.family.tflm_target}", f"TARGET_ARCH={target_arch(board)}"]
    if board.fpu != "none":
        arguments.append(f"FPU={board.fpu}")
    if board.kernels == "cmsis-nn":
        arguments += ["OPTIMIZED_KERNEL_DIR=cmsis_nn", "OPTIMIZE_KERNELS_FOR=KERNELS_OPTIMIZED_FOR_SIZE"]
    arguments += ["BUILD_TYPE=release", "KERNEL_OPTIMIZATION_LEVEL=-Os"]
    return " ".join(
        [*arguments, "THIRD_PARTY_KERNEL_OPTIMIZATION_LEVEL=-Os", "TARGET_TOOLCHAIN_ROOT=/usr/bin/"]
    )

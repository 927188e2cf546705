"""Shapes as the few nested loops that the kernels run: neighbouring dimensions are merged.

Strides count elements. Loops are listed from the outermost; missing ones run once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mcofa.errors import UnsupportedOpError

BROADCAST_RANK = 4
REDUCE_RANK = 3
COPY_RANK = 6


def broadcast(
    one: Sequence[int], two: Sequence[int], output: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """Return (sizes, strides of one, strides of two), each of ``BROADCAST_RANK`` loops.

    Raises:
        UnsupportedOpError: the operands alternate too often to be walked by that many loops.
    """
    rank = len(output)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in (one, two)]
    runs: list[tuple[int, bool, bool]] = []
    for size, size_1, size_2 in zip(output, *padded, strict=True):
        if size == 1:
            continue
        walks = size_1 > 1, size_2 > 1
        if runs and runs[-1][1:] == walks:
            runs[-1] = (runs[-1][0] * size, *walks)
        else:
            runs.append((size, *walks))
    if len(runs) > BROADCAST_RANK:
        raise UnsupportedOpError(
            f"engine aot cannot broadcast {tuple(one)} and {tuple(two)}", "use `--engine tflm`"
        )
    runs = [(1, False, False)] * (BROADCAST_RANK - len(runs)) + runs
    return [size for size, _, _ in runs], _walk_strides(runs, 1), _walk_strides(runs, 2)


def _walk_strides(runs: Sequence[tuple[int, bool, bool]], operand: int) -> list[int]:
    """The stride of one operand in each loop, 0 where it repeats."""
    return [
        math.prod(later[0] for later in runs[at + 1 :] if later[operand]) if run[operand] else 0
        for at, run in enumerate(runs)
    ]


def reduced(shape: Sequence[int], axes: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return (kept sizes, their strides, reduced sizes, their strides), each of ``REDUCE_RANK`` loops."""
    summed = {axis % len(shape) for axis in axes}
    runs: list[tuple[int, int, bool]] = []
    for axis, size in enumerate(shape):
        stride = math.prod(shape[axis + 1 :])
        if runs and runs[-1][2] == (axis in summed):
            runs[-1] = (runs[-1][0] * size, stride, runs[-1][2])
        else:
            runs.append((size, stride, axis in summed))

    def loops(is_summed: bool) -> tuple[list[int], list[int]]:
        chosen = [run for run in runs if run[2] is is_summed]
        chosen = [(1, 0, is_summed)] * (REDUCE_RANK - len(chosen)) + chosen
        return [size for size, _, _ in chosen], [stride for _, stride, _ in chosen]

    return (*loops(False), *loops(True))


def strided_copy(sizes: Sequence[int], strides: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return sizes and strides of ``COPY_RANK`` loops."""
    missing = COPY_RANK - len(sizes)
    return [1] * missing + list(sizes), [0] * missing + list(strides)

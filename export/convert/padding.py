"""Which paddings of a convolution TFLite's SAME can stand for, as they are or rotated by 180°.

SAME gives an odd pixel of padding to the end of a side. kernel_size // 2 pixels on every side, as
PyTorch's networks have, give it to the start: with stride 2 on an even side, no window reaches the
last pixel of padding. Rotating the image and all kernels by 180° exchanges start and end, so that
such a network pads as SAME, and computes the same numbers, rotated. Rotation serves a network as a
whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return SAME's pixels of padding before and after one side of the image."""
    total = max(_reach(side, kernel, stride), 0)
    return total // 2, total - total // 2


def rotations_to_same(side: int, kernel: int, stride: int, padding: Sequence[int]) -> frozenset[bool]:
    """Return with which rotation the ``padding`` (before, after) of one side is SAME.

    The result holds False if it is SAME as it is, True if it is SAME rotated by 180°.
    """
    before, after = padding
    outputs = (side + before + after - kernel) // stride + 1
    if outputs != -(-side // stride):
        return frozenset()
    same_before, _ = same_padding(side, kernel, stride)
    reached_after = _reach(side, kernel, stride) - before
    return frozenset(
        rotated for rotated, start in ((False, before), (True, reached_after)) if start == same_before
    )


def _reach(side: int, kernel: int, stride: int) -> int:
    """Return by how many pixels the windows of ceil(side / stride) outputs exceed the side."""
    return (-(-side // stride) - 1) * stride + kernel - side

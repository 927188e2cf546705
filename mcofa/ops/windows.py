"""Windows that slide over an image: the padding that TFLM computes."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.graph import Op


def window_padding(source: Sequence[int], kernel: Sequence[int], op: Op) -> tuple[int, int]:
    """Return the padding (rows above, columns left) that TFLM computes for a convolution.

    ``source`` is NHWC, ``kernel`` has its height and width at positions 1 and 2. The
    smaller half of an odd total is above and left.
    """
    above, left = (
        _padding_before(source[axis], kernel[axis], op.stride[axis - 1], op.dilation[axis - 1], op.padding)
        for axis in (1, 2)
    )
    return above, left


def _padding_before(size: int, kernel: int, stride: int, dilation: int, scheme: str) -> int:
    if scheme == "VALID":
        return 0
    window = (kernel - 1) * dilation + 1
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + window - size, 0) // 2

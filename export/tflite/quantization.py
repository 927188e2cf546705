"""Numbers and the int8 integers that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantization:
    """A number is ``scale · (integer - zero_point)``.

    Activations have one scale and any zero point; filters one scale for each index of
    ``axis`` and the zero point 0 (``axis`` is None for activations).
    """

    scales: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None

    @property
    def scale(self) -> float:
        """The only scale.

        Raises:
            ValueError: there are several.
        """
        (scale,) = self.scales
        return scale

    def quantize(self, values: FloatArray) -> npt.NDArray[np.int8]:
        """Return ``values`` as int8, saturated; per-tensor quantization only."""
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        integers: npt.NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
        return integers

    def dequantize(self, integers: npt.NDArray[np.int8]) -> FloatArray:
        """Return the numbers that ``integers`` stand for; per-tensor quantization only."""
        return (integers.astype(np.float32) - self.zero_point) * np.float32(self.scale)

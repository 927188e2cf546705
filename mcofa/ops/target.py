"""What a network runs on, as the operators' rules see it: a core, its extension and a kernel set."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mcofa.tflm_versions import TflmVersion, default_version


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
    """A core (or ``x86-64``, the wheel), the kernel set that runs on it, and the version of TFLM."""

    name: str
    abi: str
    extension: Extension
    kernels: KernelSet
    tflm: TflmVersion = field(default_factory=default_version)

    @property
    def has_cmsis_nn(self) -> bool:
        """Whether TFLM runs CMSIS-NN's kernels there."""
        return self.kernels is not KernelSet.REFERENCE

    @property
    def pointer_bytes(self) -> int:
        """The size of a pointer there."""
        return 8 if self.abi == "x86-64" else 4

"""One record per operator: what it takes in each engine, in a file and on a core.

A new operator is its name in ``mcofa.graph.OpKind``, a record here and, unless a table of 256 values
runs it, a kernel for engine ``aot``: see CONTRIBUTING.md.
"""

from __future__ import annotations

from mcofa.ops.record import LOOKUP, Aot, Kernel, Operator, Registration, Tflm
from mcofa.ops.registry import KERNELS, OPERATORS
from mcofa.ops.target import Extension, KernelSet, Target
from mcofa.ops.windows import window_padding

__all__ = [
    "KERNELS",
    "LOOKUP",
    "OPERATORS",
    "Aot",
    "Extension",
    "Kernel",
    "KernelSet",
    "Operator",
    "Registration",
    "Target",
    "Tflm",
    "window_padding",
]

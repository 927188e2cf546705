"""How long the generated C takes: coefficients by core and by the kernels that run there."""

from __future__ import annotations

from pathlib import Path

from mcofa.boards import core_named
from mcofa.engines.latency import Latencies

COEFFICIENTS_FILE = Path(__file__).with_name("latency_coefficients.json")
LATENCIES = Latencies(COEFFICIENTS_FILE)


def has_kernel_sets(core: str) -> bool:
    """Return whether CMSIS-NN's kernels may be used on ``core``; on others there are only the own ones."""
    return core_named(core).extension == "mve"


def kernels_run(core: str, kernels: str) -> str:
    """Return the kernel set whose instructions count on ``core`` where a board asks for ``kernels``."""
    return kernels if has_kernel_sets(core) else "reference"

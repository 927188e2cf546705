"""An ESTIMATE of how long one inference takes, from what its ops do.

Instructions were counted in an emulator, not cycles on a chip, and one instruction per
cycle is assumed: caches, wait states of flash, dual issue and multi-cycle instructions
are left out. The sum over ops of features (multiply-accumulates, elements) times
coefficients estimates the instructions. Each engine has a file of coefficients per core and
kernel set, which says how they were fitted and how far off they are on the measured models;
``benchmarks/fit_latency.py`` writes them.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcofa.boards import core_named, core_names
from mcofa.errors import UnknownNameError
from mcofa.graph import Graph, Op
from mcofa.ops import OPERATORS

FEATURES = (
    "conv_1x1_macs",
    "conv_kxk_macs",
    "conv_kxk_patch_elements",
    "conv_outputs",
    "depthwise_3x3_macs",
    "depthwise_other_macs",
    "depthwise_outputs",
    "fully_connected_macs",
    "hard_swish_elements",
    "add_elements",
    "broadcast_mul_elements",
    "mean_elements",
    "pooled_elements",
    "other_elements",
    "ops",
)


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Estimated instructions and milliseconds of one inference; never a measurement.

    ``latency_ms`` assumes one instruction per cycle. ``relative_error`` is the largest error,
    as a fraction, on a measured model that the fit had not seen; it is about instructions
    only, and says nothing about how many a chip executes per cycle.
    """

    instructions: float
    latency_ms: float
    relative_error: float


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Instructions per unit of each feature, in the order of ``FEATURES``."""

    instructions: npt.NDArray[np.float64]
    relative_error: float


class Latencies:
    """The estimates of one engine, by its file of coefficients."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.coefficients = functools.cache(self._coefficients)

    def estimate(self, graph: Graph, core: str, kernels: str, clock_hz: float) -> LatencyEstimate:
        """Estimate the latency of ``graph`` on ``core`` (``cortex-m7``, …) with ``kernels``.

        Raises:
            UnknownNameError: no coefficients for that core, or that kernel set on it.
        """
        relative_error = self.coefficients(core, kernels).relative_error
        instructions = math.fsum(self.op_instructions(graph, op, core, kernels) for op in graph.ops)
        return LatencyEstimate(instructions, instructions / clock_hz * 1000, relative_error)

    def op_instructions(self, graph: Graph, op: Op, core: str, kernels: str) -> float:
        """Estimate the instructions of one op, a whole number; all ops add up to the total.

        Raises:
            UnknownNameError: no coefficients for that core, or that kernel set on it.
        """
        return float(np.rint(op_features(graph, op) @ self.coefficients(core, kernels).instructions))

    def _coefficients(self, core: str, kernels: str) -> Coefficients:
        """The fitted coefficients; a core that was not measured takes those of the one it is measured as."""
        if core not in core_names():
            raise UnknownNameError("core with a latency estimate", core, core_names(), "mcofa boards")
        measured_as = core_named(core).measured_as.latency
        if kernels not in measured_as:
            kind = f"kernel set with a latency estimate on {core}"
            raise UnknownNameError(kind, kernels, tuple(measured_as), "mcofa arena --help")
        cores: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))["cores"]
        entry = cores.get(core, {}).get(kernels) or cores[measured_as[kernels]][kernels]
        instructions = np.array([entry["instructions_per_unit"][name] for name in FEATURES])
        instructions.flags.writeable = False
        return Coefficients(instructions, entry["leave_one_out_largest_error"])


def op_features(graph: Graph, op: Op) -> npt.NDArray[np.float64]:
    """Return what ``op`` does, one number per name in ``FEATURES``."""
    counts = {**OPERATORS[op.kind].work(graph, op), "ops": 1}
    return np.array([counts.get(name, 0) for name in FEATURES], dtype=np.float64)

"""How long the generated C takes: coefficients by core."""

from __future__ import annotations

from pathlib import Path

from mcofa.engines.latency import Latencies

COEFFICIENTS_FILE = Path(__file__).with_name("latency_coefficients.json")
LATENCIES = Latencies(COEFFICIENTS_FILE)
KERNELS = "reference"
"""The kernel set under which coefficients are listed: the own kernels are the only ones."""

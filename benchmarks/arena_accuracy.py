"""Predicted and measured arena, side by side: measured models, and archs exported here.

What TFLM used for seven models on seven targets is in ``tests/data``, with three of the models; the
others are looked for in ``MCOFA_DATA``. The archs go through torch, its exporter and the writer,
with random weights, and the x86-64 wheel of TFLM measures them now. ``--expect-all`` fails when a
model is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from evidence import FIGURES as MEASURED
from evidence import measured_arenas, measured_models, report_evidence

from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.runtimes.tflm import measure_many
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.subnet import Subnet

SPACES = ("mcofa-micro", "ofa-micro", "compofa-micro")
RANDOM_ARCHS = 2
MEASURED_TITLES = ("head", "recording tail", "arena used", "minimum")
FIGURES = (*MEASURED_TITLES, "model file")


@dataclass(frozen=True)
class Row:
    """A network on a target: every figure that was measured, predicted and measured, in bytes."""

    network: str
    target: str
    figures: dict[str, tuple[int | None, int]]

    @property
    def differences(self) -> list[str]:
        """The figures that were not predicted."""
        return [name for name, (predicted, measured) in self.figures.items() if predicted != measured]


def measured_rows(models: dict[str, Path]) -> Iterator[Row]:
    """Every measured arena whose model is at hand."""
    for row in measured_arenas():
        if row.model not in models:
            continue
        arena = account(
            parse_tflite(models[row.model].read_bytes(), row.model), target(row.core, row.kernels)
        )
        predicted = (
            arena.head_bytes,
            arena.recording_tail_bytes,
            arena.arena_used_bytes,
            arena.minimum_bytes,
        )
        figures = {
            title: (found, row.figures[name])
            for title, name, found in zip(MEASURED_TITLES, MEASURED, predicted, strict=True)
            if name in row.figures
        }
        yield Row(row.model, f"{row.core} {row.kernels}", figures)


def exported_archs() -> Iterator[Row]:
    """The smallest, the largest and random archs of the micro spaces."""
    found = []
    for name in SPACES:
        space, rng = load_space(name), np.random.default_rng(0)
        archs = [space.smallest(), space.largest(), *map(space.decode, space.sample(RANDOM_ARCHS, rng))]
        found += [(space, arch, exported(space, arch, rng)) for arch in archs]
    measured = measure_many([data for _, _, data in found])
    for (space, arch, data), arena in zip(found, measured, strict=True):
        graph = lower(space, arch)
        predicted = account(graph, target("x86-64", "reference"))
        figures: dict[str, tuple[int | None, int]] = {
            "head": (predicted.head_bytes, arena.head_bytes),
            "recording tail": (predicted.recording_tail_bytes, arena.recording_tail_bytes),
            "model file": (model_file_bytes(graph), len(data)),
        }
        yield Row(f"{space.name} {arch}", "x86-64 reference", figures)


def exported(space: SearchSpace, arch: Arch, rng: np.random.Generator) -> bytes:
    torch.manual_seed(0)
    model = to_onnx(Subnet(space, arch).eval(), arch.resolution)
    images = rng.normal(size=(4, space.input_channels, arch.resolution, arch.resolution))
    return to_tflite(model, images.astype(np.float32)).data


def print_table(title: str, rows: list[Row]) -> tuple[int, int]:
    """Print the rows; return how many numbers there are, and how many differ."""
    names = [name for name in FIGURES if any(name in row.figures for row in rows)]
    networks, targets = (max(len(getattr(row, field)) for row in rows) for field in ("network", "target"))
    print(f"{title}; bytes, predicted and measured\n")
    print(" " * (networks + targets + 2) + "".join(f"  {name:^17}" for name in names))
    for row in rows:
        pairs = [
            f"  {row.figures[name][0]:8,} {row.figures[name][1]:8,}" if name in row.figures else f"{'–':>19}"
            for name in names
        ]
        print(f"{row.network:{networks}}  {row.target:{targets}}{''.join(pairs)}  {verdict(row)}".rstrip())
    numbers = sum(len(row.figures) for row in rows)
    wrong = sum(len(row.differences) for row in rows)
    print(f"\n{len(rows)} rows, {numbers} numbers, {wrong} differ\n")
    return numbers, wrong


def verdict(row: Row) -> str:
    return f"DIFFERS: {', '.join(row.differences)}" if row.differences else ""


def main() -> None:
    models, known = measured_models(), measured_arenas()
    measured = print_table("Models measured on x86-64 and in QEMU", list(measured_rows(models)))
    exported = print_table("Archs exported now, measured by the x86-64 wheel", list(exported_archs()))
    missing = {f"{row.model}.tflite" for row in known} - {f"{name}.tflite" for name in models}
    if wrong := measured[1] + exported[1]:
        sys.exit(f"{wrong} numbers differ")
    total = sum(len(row.figures) for row in known)
    report_evidence("numbers", measured[0] + exported[0], total + exported[0], missing)


if __name__ == "__main__":
    main()

"""Predicted and measured arena, side by side: the measured models, and archs exported here.

The models and what TFLM used for them on seven cores are the shared test data (``MCOFA_DATA``,
or ``shared/data`` beside the checkout). The archs go through torch, its exporter and the writer,
with random weights, and the x86-64 wheel of TFLM measures them now.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

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
FIGURES = ("head", "recording tail", "arena used", "minimum", "model file")
KERNELS = {
    "reference": "reference",
    "CMSIS-NN": "cmsis-nn",
    "CMSIS-NN, KERNELS_OPTIMIZED_FOR_SPEED": "cmsis-nn-speed",
}
BUILDS = {
    "x86_64_wheel": ("x86-64", "reference"),
    "cortex_m7_reference": ("cortex-m7", "reference"),
    "cortex_m7_cmsis_nn": ("cortex-m7", "cmsis-nn"),
}
MEASURED_KEYS = {
    "head": "head_bytes",
    "recording tail": "recording_tail_bytes",
    "arena used": "arena_used_bytes",
    "minimum": "minimum_arena_bytes",
}


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


def data_folder() -> Path:
    named = os.environ.get("MCOFA_DATA")
    shared = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return (Path(named) if named else shared) / "tflm_arena"


def measured_models(folder: Path) -> Iterator[Row]:
    """Every row of measured.json and measured_cores.json."""
    models = json.loads((folder / "measured.json").read_text())["models"]
    rows = [(entry["model"], *BUILDS[build], entry[build]) for entry in models for build in BUILDS]
    for entry in json.loads((folder / "measured_cores.json").read_text()):
        rows.append((f"{entry['model']}.tflite", entry["core"], KERNELS[entry["kernels"]], entry))
    for model, core, kernels, entry in rows:
        arena = account(parse_tflite((folder / model).read_bytes(), model), target(core, kernels))
        predicted = {
            "head": arena.head_bytes,
            "recording tail": arena.recording_tail_bytes,
            "arena used": arena.arena_used_bytes,
            "minimum": arena.minimum_bytes,
        }
        figures = {name: (predicted[name], entry[key]) for name, key in MEASURED_KEYS.items() if key in entry}
        yield Row(model.removesuffix(".tflite"), f"{core} {kernels}", figures)


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


def print_table(title: str, rows: list[Row]) -> None:
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


def verdict(row: Row) -> str:
    return f"DIFFERS: {', '.join(row.differences)}" if row.differences else ""


def main() -> None:
    folder = data_folder()
    if folder.is_dir():
        print_table("Models measured on x86-64 and in QEMU", list(measured_models(folder)))
    else:
        print(f"no measured arenas at {folder}; point MCOFA_DATA at the test data\n")
    print_table("Archs exported now, measured by the x86-64 wheel", list(exported_archs()))


if __name__ == "__main__":
    main()

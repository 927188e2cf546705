"""Count what one inference of engine aot takes, for networks of the micro spaces on every kind of core.

`count_aot_instructions.py` renders, builds and runs each network in QEMU and writes the counts to
tests/data/aot_instructions.json, which `fit_latency.py` fits to; `count_aot_instructions.py CORE...` counts
again on these cores only. The networks have random weights, as counts hardly depend on them. A Cortex-M0+
is counted on the machine of a Cortex-M3, which executes its instructions, as there is no machine with room
for all networks.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.engines.aot.firmware import aot_part
from export.firmware.build import build
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images
from export.firmware.emulate import emulate
from export.firmware.project import render_firmware
from export.tflite.model_file import ModelFile
from mcofa.boards import Board, Toolchain, core_named, load_board
from mcofa.engines.aot.latency import KERNELS
from mcofa.files.atomic import write_atomic
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.subnet import Subnet

COUNTS_FILE = Path(__file__).parent.parent / "tests" / "data" / "aot_instructions.json"
SPACES = ("mcofa-micro", "compofa-micro", "ofa-micro")
ARCHS_PER_RESOLUTION = {28: 3, 20: 1, 40: 1}
SEED = 2026

MACHINES = {
    "cortex-m0plus": "mps2-an385",
    "cortex-m3": "mps2-an385",
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
    "cortex-m33": "mps2-an505",
    "cortex-m55": "mps3-an547",
}
"""The emulated board of each core."""


def networks() -> list[tuple[SearchSpace, Arch]]:
    """Random archs of each space, some at resolutions that it does not have, and the smallest one."""
    found = []
    for number, name in enumerate(SPACES):
        rng = np.random.default_rng(SEED + number)
        for resolution, count in ARCHS_PER_RESOLUTION.items():
            space = at_resolution(name, resolution)
            found += [(space, space.decode(genome)) for genome in space.sample(count, rng)]
    smallest = load_space(SPACES[0])
    return [*found, (smallest, smallest.smallest())]


def at_resolution(name: str, resolution: int) -> SearchSpace:
    return load_space(name).model_copy(update={"resolutions": (resolution,)})


def model_file(space: SearchSpace, arch: Arch) -> bytes:
    torch.manual_seed(SEED)
    side = arch.resolution
    images = np.random.default_rng(SEED).normal(size=(4, space.input_channels, side, side))
    model = to_onnx(Subnet(space, arch).eval(), arch.resolution)
    return to_tflite(model, images.astype(np.float32), space.global_average).data


def board_of(core: str) -> Board:
    board, facts = load_board(MACHINES[core]), core_named(core)
    if board.core == core:
        return board
    return dataclasses.replace(board, core=core, fpu="none", toolchain=Toolchain(facts.compiler_flags))


def instructions(data: bytes, board: Board) -> int:
    """Return what one inference takes, after checking its output bytes."""
    engine = aot_part(board, deployed_file(ModelFile(data), board, "aot"))
    images = device_images(engine, board)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        render_firmware(board, engine, images.first(1), project)
        build(project)
        report = emulate(project, board)
    assert report.images_equal_to_host == report.images
    return report.instructions(board)


def main() -> None:
    counted = sys.argv[1:] or list(MACHINES)
    models = [(space, arch, model_file(space, arch)) for space, arch in networks()]
    kept = json.loads(COUNTS_FILE.read_text())["counts"] if sys.argv[1:] else []
    rows = [row for row in kept if row["core"] not in counted]
    for core in counted:
        board = board_of(core)
        for space, arch, data in models:
            row = {"core": core, "kernels": KERNELS, "space": space.name, "arch": arch.to_json()}
            rows.append({**row, "instructions": instructions(data, board)})
            print(f"{core} {space.name} {arch}: {rows[-1]['instructions']:,}", flush=True)
    rows.sort(key=lambda row: list(MACHINES).index(row["core"]))
    qemu = subprocess.run(["qemu-system-arm", "--version"], capture_output=True, text=True, check=True)
    provenance = {
        "command": "python benchmarks/count_aot_instructions.py",
        "emulator": qemu.stdout.splitlines()[0] + ", -icount shift=0; counts are instructions, not cycles",
        "machines": MACHINES,
        "host": platform.machine(),
    }
    document = {"provenance": provenance, "counts": rows}
    write_atomic(COUNTS_FILE, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()

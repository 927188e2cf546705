"""Engine aot against TFLM with CMSIS-NN: arena, flash and instructions, in the emulator.

`aot_against_tflm.py FOLDER [BOARD]` takes the .tflite files of FOLDER and TFLM's numbers from its
measured_cores.json (measured with -Os); BOARD is an emulated one, mps2-an500 if not given. Set
OPTIMIZATION=-Os to compile the kernels as TFLM was.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import export.engines.aot.firmware
from export.engines.engine import device_engine
from export.firmware.build import build
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images
from export.firmware.emulate import emulate
from export.firmware.project import render_firmware
from export.tflite.model_file import ModelFile
from mcofa.boards import load_board


def main() -> None:
    folder = Path(sys.argv[1])
    board = load_board(sys.argv[2] if len(sys.argv) > 2 else "mps2-an500")
    export.engines.aot.firmware.OPTIMIZATION = os.environ.get(
        "OPTIMIZATION", export.engines.aot.firmware.OPTIMIZATION
    )
    measured = {
        entry["model"]: entry
        for entry in json.loads((folder / "measured_cores.json").read_text())
        if entry["core"] == board.core and entry["kernels"] == "CMSIS-NN"
    } | {
        Path(entry["model"]).stem: entry[f"{board.core.replace('-', '_')}_cmsis_nn"]
        for entry in json.loads((folder / "measured.json").read_text())["models"]
        if f"{board.core.replace('-', '_')}_cmsis_nn" in entry
    }
    print("model | arena, B | of TFLM's | flash, B | predicted | instructions | of TFLM's")
    for path in sorted(folder.glob("*.tflite")):
        model = deployed_file(ModelFile(path.read_bytes(), path.name), board, "aot")
        engine = device_engine("aot").firmware(board, model)
        if engine.flash_bytes > board.flash_budget_bytes // 2:
            continue
        with tempfile.TemporaryDirectory() as name:
            project = Path(name) / "project"
            render_firmware(board, engine, device_images(engine, board), project)
            sizes = build(project)
            report = emulate(project, board)
        assert report.images_equal_to_host == report.images
        tflm, instructions = measured[path.stem], report.instructions(board)
        print(
            f"{path.stem} | {engine.model.arena_bytes:,} | "
            f"{engine.model.arena_bytes / tflm['minimum_arena_bytes']:.0%} | {sizes.flash_bytes:,} | "
            f"{engine.flash_bytes / sizes.flash_bytes - 1:+.1%} | {instructions:,} | "
            f"{instructions / tflm['instructions_per_inference']:.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()

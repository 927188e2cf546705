"""Measure the code of engine aot for every core.

`aot_code_bytes.py MODEL.tflite` writes the table, mcofa/engines/aot/aot_constants.json. It
needs the compilers of all families and a small model that fits the boards.

Kernels have the size of what a program needs of their object files, code and read-only data: functions
by row are part of those for whole tensors, and what accumulates rows is counted apart. Sources that
kernels share count whole. Kernels that use float have the size of a program linked from them alone, as
they pull in the compiler's library. What a whole program takes besides is the largest difference
between boards' programs, linked for the model, and their kernels and networks as compiled; it is
rounded up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from export.aot.render import kernel_sources
from export.engines.aot.firmware import OPTIMIZATION
from export.engines.engine import device_engine
from export.firmware.build import build
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images
from export.firmware.engine_part import check_fits
from export.firmware.project import render_firmware
from export.tflite.model_file import ModelFile
from export.tflite.parse import parse_tflite
from mcofa.boards import Family, board_names, core_named, core_names, families, load_board
from mcofa.engines.aot import flash as aot_flash
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import BudgetError
from mcofa.files.atomic import write_atomic
from mcofa.ops import KERNELS

FLOAT_KERNELS = ("nn_quantize", "nn_dequantize")
ACCUMULATING = {
    "nn_average_pool": ("nn_average_pool_add", "nn_average_pool_finish"),
    "nn_reduce": ("nn_reduce_add", "nn_reduce_finish"),
    "nn_reduce_max": ("nn_reduce_max_add",),
}
"""What runs instead of a kernel that takes its input row by row."""
MARGIN_BYTES = 128
ROUNDING_BYTES = 64


def main() -> None:
    model = Path(sys.argv[1]).read_bytes()
    table = {
        "measured_with": ", ".join([*map(compiler_version, families()), OPTIMIZATION]),
        "struct_bytes": struct_bytes(),
        "cores": {core: core_kernels(core) for core in measured_cores()},
    }
    for core in table["cores"]:
        if core_named(core).measured_as.aot_firmware == core:
            table["cores"][core]["firmware"] = 0
    write(table)
    for core, size in firmware_bytes(model).items():
        table["cores"][core]["firmware"] = size
    write(table)


def measured_cores() -> list[str]:
    """Return the cores whose kernels are measured, not those of another core."""
    return [name for name in core_names() if core_named(name).measured_as.aot_kernels == name]


def write(table: object) -> None:
    write_atomic(aot_flash.CONSTANTS_FILE, (json.dumps(table, indent=1) + "\n").encode())


def compiler_version(family: Family) -> str:
    compiler = f"{family.toolchain}-gcc"
    done = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True)
    return f"{compiler} {done.stdout.strip()}"


def core_kernels(core: str) -> dict[str, Any]:
    """Return the parts of each kernel, with their bytes; kernels may share parts."""
    return {
        "kernels": {kernel: kernel_parts(kernel, (kernel,), core) for kernel in sorted(KERNELS)},
        "by_row": {
            name: kernel_parts(name, (f"{name}_row",), core)
            for name, kernel in sorted(KERNELS.items())
            if kernel.by_row
        },
        "accumulating": {kernel: kernel_parts(kernel, used, core) for kernel, used in ACCUMULATING.items()},
    }


def kernel_parts(kernel: str, used: tuple[str, ...], core: str) -> dict[str, int]:
    """Return what a program takes of a kernel's sources that calls the functions ``used``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = kernel_sources((kernel,))
        for path, data in files.items():
            (folder / path).write_bytes(data)
        needed = [f"-Wl,-e,{used[0]}", *(f"-Wl,-u,{function}" for function in used), "-Wl,--gc-sections"]
        if kernel in FLOAT_KERNELS:
            return {kernel: compiled_bytes(folder, f"{kernel}.c", core, ["-nostartfiles", *needed])}
        shared = [source for source in files if source.endswith(".c") and source != f"{kernel}.c"]
        parts = {Path(source).stem: compiled_bytes(folder, source, core, ["-c"]) for source in shared}
        compile_sources(folder, [f"{kernel}.c"], core, ["-c"])
        facts = core_named(core)
        link = [f"{facts.family.toolchain}-gcc", *facts.compiler_flags, "-nostdlib", "-r", *needed]
        subprocess.run([*link, "compiled", "-o", "needed"], cwd=folder, check=True)
        return dict(sorted({**parts, used[0]: object_bytes(folder / "needed")}.items()))


def symbol_bytes(folder: Path) -> dict[str, int]:
    """Return the sizes of the symbols in ``compiled``."""
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-S", "compiled"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {words[3]: int(words[1], 16) for words in map(str.split, symbols) if len(words) == 4}


def compiled_bytes(folder: Path, source: str, core: str, options: Iterable[str]) -> int:
    compile_sources(folder, [source], core, options)
    return object_bytes(folder / "compiled")


def object_bytes(path: Path) -> int:
    """Return code and initialised data of an object file or a program."""
    sizes = subprocess.run(
        ["arm-none-eabi-size", str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(sizes[6]) + int(sizes[7])


def compile_sources(folder: Path, sources: list[str], core: str, options: Iterable[str]) -> None:
    facts = core_named(core)
    machine = [*facts.compiler_flags, *facts.other_flags, *facts.family.library_flags]
    kept_apart = ["-ffunction-sections", "-fdata-sections"]
    common = ["-std=c11", OPTIMIZATION, "-w", "-DNDEBUG", *kept_apart, "-I."]
    command = [f"{facts.family.toolchain}-gcc", *machine, *common, *options, *sources, "-o", "compiled"]
    subprocess.run(command, cwd=folder, check=True)


def struct_bytes() -> dict[str, int]:
    """Return the sizes of the parameter structs, which are the same on every core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = kernel_sources(())
        structs = [
            line.strip("}; ") for line in sources["nn.h"].decode().splitlines() if line.startswith("} nn_")
        ]
        for path, data in sources.items():
            (folder / path).write_bytes(data)
        sizes = "".join(f"char size_{struct}[sizeof({struct})];\n" for struct in structs)
        (folder / "sizes.c").write_text(f'#include "nn.h"\n{sizes}')
        compile_sources(folder, ["sizes.c"], "cortex-m7", ["-c"])
        return {struct: symbol_bytes(folder)[f"size_{struct}"] for struct in structs}


def firmware_bytes(model: bytes) -> dict[str, int]:
    """Return, for each core, what a program takes besides network, kernels, labels and pixel table."""
    graph = parse_tflite(model, "model")
    largest: dict[str, int] = defaultdict(int)
    for name in board_names():
        board = load_board(name)
        on = board_target(board)
        deployed = deployed_file(ModelFile(model, "model"), board, "aot")
        engine = device_engine("aot").firmware(board, deployed)
        try:
            check_fits(engine, board)
        except BudgetError:
            continue
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "project"
            render_firmware(board, engine, device_images(engine, board), project)
            rest = build(project).flash_bytes - object_bytes(project / "build" / "aot" / "network.c.o")
        needed = aot_flash.aot_flash(graph, on, plan_aot(graph, on))
        rest -= needed.code_bytes + needed.firmware_bytes
        print(f"{name}: {rest:,} B besides the network", file=sys.stderr)
        largest[board.core] = max(largest[board.core], rest)
    return {
        core: -(-(size + MARGIN_BYTES) // ROUNDING_BYTES) * ROUNDING_BYTES for core, size in largest.items()
    }


if __name__ == "__main__":
    main()

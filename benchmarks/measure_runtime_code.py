"""Measure TFLM's code and constants by op set, and write the table that the flash prediction uses.

    measure_runtime_code.py                                                      show the table
    TFLM_DIR=... measure_runtime_code.py cortex-m7 cmsis-nn LIBRARY.a [--write]  measure

For each kind of op a probe program is linked that registers only this op. The linker keeps
what can be reached, and what a set of ops reaches is the union of what each op reaches; so
the sections of the probes, grouped by the ops that keep them, give the size of any
set. The table is then checked against programs linked for random op sets. LIBRARY.a is
libtensorflow-microlite.a for that core and kernel set, with its objects in the order of their
paths: which copy of a function that several objects define is linked depends on the order,
and with it up to 100 bytes of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from export.engines.tflm.firmware import TFLM_COMMIT
from mcofa.boards import core_named, core_names
from mcofa.engines.tflm.runtime_code import TABLE_FILE, runtime_code_bytes
from mcofa.files.atomic import write_atomic
from mcofa.graph import OpKind
from mcofa.lowering import lower
from mcofa.ops import OPERATORS
from mcofa.space.search_space import load_space

CHECKED_SETS = 12

HEADER = """
#include <new>
#include "tensorflow/lite/micro/kernels/pad.h"
#include "tensorflow/lite/micro/kernels/transpose.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
"""
"""Compiled once: it takes ten times as long as a probe."""

PROBE = """
#include "probe.h"
using Resolver = tflite::MicroMutableOpResolver<OP_COUNT>;
const unsigned char* volatile model;
unsigned char* volatile arena;
alignas(Resolver) unsigned char resolver_storage[sizeof(Resolver)];
alignas(tflite::MicroInterpreter) unsigned char storage[sizeof(tflite::MicroInterpreter)];
extern "C" int main() {
  auto* const resolver = new (resolver_storage) Resolver();
  REGISTER
  auto* const interpreter =
      new (storage) tflite::MicroInterpreter(tflite::GetModel(model), *resolver, arena, 1024);
  if (interpreter->AllocateTensors() != kTfLiteOk) return 1;
  return interpreter->Invoke() + interpreter->input(0)->data.int8[0] + interpreter->output(0)->data.int8[0];
}
extern "C" void DebugLog(const char*, va_list) {}
"""
SCRIPT = """
ENTRY(main)
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rw) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { *(.text*) *(.rodata*) KEEP(*(.init_array*)) } > FLASH
  .ARM.exidx : { *(.ARM.exidx*) *(.ARM.extab*) } > FLASH
  .data : { *(.data*) } > RAM AT > FLASH
  .bss (NOLOAD) : { *(.bss*) *(COMMON) } > RAM
  end = .;
}
"""
IN_FLASH = re.compile(
    r"^ (\.(?:text|rodata|init_array|data|ARM\.ex\w+)\S*)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$"
)

Sections = Counter[tuple[str, str]]


class Prober:
    """Links probe programs for one core and kernel set."""

    def __init__(self, core: str, kernels: str, library: Path, folder: Path) -> None:
        self.folder, self.library = folder, library
        tflm = Path(os.environ["TFLM_DIR"])
        downloads = tflm / "tensorflow/lite/micro/tools/make/downloads"
        facts = core_named(core)
        self.machine = [*facts.compiler_flags, *facts.other_flags]
        self.library_flags = facts.family.library_flags
        self.compiler = f"{facts.family.toolchain}-g++"
        self.compile = [
            *(self.compiler, *self.machine, "-std=c++17", "-Os"),
            *("-ffunction-sections", "-fdata-sections", "-fno-exceptions", "-fno-rtti"),
            *("-fno-threadsafe-statics", "-fno-use-cxa-atexit", "-w"),
            *("-DTF_LITE_STATIC_MEMORY", "-DNDEBUG", "-DTF_LITE_STRIP_ERROR_STRINGS"),
            *(["-DCMSIS_NN"] if kernels == "cmsis-nn" else []),
            f"-I{tflm}",
            *(f"-I{downloads / name}" for name in ("flatbuffers/include", "gemmlowp", "ruy")),
        ]  # fmt: skip
        (folder / "probe.ld").write_text(SCRIPT)
        (folder / "probe.h").write_text(HEADER)
        subprocess.run([*self.compile, "-x", "c++-header", folder / "probe.h"], check=True)

    def link(self, kinds: Sequence[str]) -> Sections:
        """Return the bytes of every section that a program with these ops keeps in flash."""
        registrations = [OPERATORS[OpKind(kind)].tflm.registration for kind in kinds]
        lines = [f"resolver->{r.call};" for r in registrations]
        source, elf, listing = (self.folder / f"probe.{suffix}" for suffix in ("cc", "elf", "map"))
        counted = PROBE.replace("OP_COUNT", str(len(OPERATORS)))
        source.write_text(counted.replace("REGISTER", "\n  ".join(lines)))
        subprocess.run([*self.compile, "-c", source, "-o", source.with_suffix(".o")], check=True)
        link = [
            self.compiler,
            *self.machine,
            "-nostartfiles",
            *self.library_flags,
            "--specs=nosys.specs",
        ]
        options = [f"-T{self.folder / 'probe.ld'}", "-Wl,--gc-sections", f"-Wl,-Map={listing}", "-w"]
        subprocess.run([*link, *options, source.with_suffix(".o"), self.library, "-lm", "-o", elf],
                       check=True, capture_output=True)  # fmt: skip
        return kept_sections(listing.read_text())


def kept_sections(listing: str) -> Sections:
    """Read a linker map: bytes by input file and section."""
    text = listing.split("Linker script and memory map", 1)[1].replace("\r", "")
    found: Sections = Counter()
    for line in re.sub(r"\n (\.\S+)\n\s+0x", r"\n \1 0x", text).splitlines():
        if match := IN_FLASH.match(line):
            section, size, file = match.groups()
            found[(file, section)] += int(size, 16)
    return found


def table(prober: Prober) -> dict[str, int]:
    """Return bytes by the ops that keep them; the empty key is what every program has."""
    always = prober.link(())
    by_ops: dict[tuple[str, str, int], set[str]] = {}
    extra: dict[str, int] = {}
    for kind in OPERATORS:
        kept = prober.link((kind,))
        probe = sum(size for (file, _), size in kept.items() if file.endswith("probe.o"))
        extra[kind] = probe - sum(size for (file, _), size in always.items() if file.endswith("probe.o"))
        for (file, section), size in kept.items():
            if not file.endswith("probe.o"):
                by_ops.setdefault((file, section, size), set()).add(kind)
    found = Counter({"": sum(always.values())})
    for (file, section, size), kinds in by_ops.items():
        if (file, section) not in always:
            found[" ".join(sorted(kinds))] += size
    for kind, size in extra.items():
        found[kind] += size
    return dict(sorted(found.items()))


def predicted(found: dict[str, int], kinds: Sequence[str]) -> int:
    return sum(size for ops, size in found.items() if not ops or set(ops.split()) & set(kinds))


def show() -> None:
    space = load_space("mcofa-micro")
    ops = {op.kind for op in lower(space, space.largest()).ops}
    print(f"Flash of TFLM {TFLM_COMMIT} in bytes with {', '.join(sorted(ops))}")
    for core in (name for name in core_names() if core_named(name).measured_as.tflm_code == name):
        sizes = [runtime_code_bytes(ops, core, kernels) for kernels in ("cmsis-nn", "reference")]
        print(f"  {core:14} CMSIS-NN {sizes[0]:7,}  reference {sizes[1]:7,}")


def main() -> None:
    if len(sys.argv) == 1:
        show()
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("core", choices=core_names())
    parser.add_argument("kernels", choices=("cmsis-nn", "reference"))
    parser.add_argument("library", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prober = Prober(arguments.core, arguments.kernels, arguments.library, Path(folder))
        found = table(prober)
        print(f"{arguments.core}, {arguments.kernels}: {len(found)} groups of sections")
        draw = random.Random(0)
        for _ in range(CHECKED_SETS):
            kinds = sorted(draw.sample(sorted(OPERATORS), draw.randint(1, 12)))
            linked = sum(prober.link(kinds).values())
            print(f"  linked {linked:7,} predicted {predicted(found, kinds):7,}  {' '.join(kinds)}")
    if arguments.write:
        tables = json.loads(TABLE_FILE.read_text()) if TABLE_FILE.exists() else {"cores": {}}
        tables["provenance"] = {
            "command": "python benchmarks/measure_runtime_code.py CORE KERNELS LIBRARY --write",
            "tflm_commit": TFLM_COMMIT,
            "toolchain": "arm-none-eabi-gcc 12.2.1, -Os, section garbage collection, newlib-nano",
            "defines": "TF_LITE_STATIC_MEMORY NDEBUG TF_LITE_STRIP_ERROR_STRINGS",
        }
        tables["cores"].setdefault(arguments.core, {})[arguments.kernels] = found
        write_atomic(TABLE_FILE, (json.dumps(tables, indent=1, sort_keys=True) + "\n").encode())


if __name__ == "__main__":
    main()

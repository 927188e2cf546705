"""Running generated C of many models in one program on an emulated board, against LiteRT."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from device_projects import cross_tool, need_qemu

from export.aot.render import generate
from mcofa.boards import load_board
from mcofa.engines.tflm.targets import board_target

# Itcm and dtcm as in boards/mps3-an547.yaml, where there is no memory behind the arena, so that reading on
# faults. The boards mps2 have memory there too, and more of it.
_LINKER = """
MEMORY {
  itcm (rx) : ORIGIN = 0x00000000, LENGTH = 512K
  dtcm (rw) : ORIGIN = 0x20000000, LENGTH = 512K
}
ENTRY(start)
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text* .rodata*) . = ALIGN(4); } > itcm
  .bss (NOLOAD) : { *(.bss* .data* COMMON) } > dtcm
  arena_end = ORIGIN(dtcm) + LENGTH(dtcm);
  /DISCARD/ : { *(.ARM.exidx*) }
}
"""

_MAIN = """
#include <stdint.h>
#include <string.h>
typedef struct {
  void (*run)(uint8_t*);
  uint32_t arena_bytes, input, input_bytes, output, output_bytes;
  const int8_t *values, *expected;
} network_t;
%(declarations)s
static const network_t networks[] = {%(networks)s};
extern uint8_t arena_end[];
static _Alignas(8) uint8_t stack[8192];
static int semihosted(int operation, const void* argument) {
  register int r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}
static void stop(void) {
  semihosted(0x18, (const void*)0x20026);
  for (;;) {
  }
}
static void fault(void) {
  semihosted(0x04, "fault\\n");
  stop();
}
void start(void) {
  *(volatile uint32_t*)0xE000ED88 |= 0xF00000;  // CPACR: FPU and MVE
  __asm__ volatile("dsb\\n\\tisb");
  for (unsigned i = 0; i < sizeof networks / sizeof *networks; ++i) {
    const network_t* network = &networks[i];
    uint8_t* arena = arena_end - network->arena_bytes;
    memset(arena, 0xA5, network->arena_bytes);
    memcpy(arena + network->input, network->values, network->input_bytes);
    network->run(arena);
    const int same = memcmp(arena + network->output, network->expected, network->output_bytes) == 0;
    semihosted(0x04, same ? "same\\n" : "differs\\n");
  }
  stop();
}
__attribute__((section(".vectors"), used)) static const void* const vectors[] = {
  stack + sizeof stack, (void*)start, (void*)fault, (void*)fault, (void*)fault, (void*)fault, (void*)fault,
};
"""


def run_emulated(
    models: Mapping[str, bytes],
    folder: Path,
    optimization: str = "-O2",
    board_name: str = "mps3-an547",
    runner: str = "",
) -> dict[str, str]:
    """Return "same", "differs" or "fault" for each model's output on a random image, against LiteRT's.

    A model that faults ends the program: those behind it are missing. ``runner`` is C behind each
    ``network.c`` that defines ``run_on``; without it that is ``network_run``.
    """
    need_qemu()
    compiler = cross_tool("gcc")
    board = load_board(board_name)
    assert board.emulate is not None
    flags = [*board.toolchain.compiler_flags, "-std=c11", optimization, "-Wall", "-Wextra", "-Werror", "-I."]
    objects, declarations, networks, kernels = [], [], [], {}
    rng = np.random.default_rng(0)
    for i, data in enumerate(models.values()):
        generated = generate(data, "model", board_target(board))
        kernels.update({n: c for n, c in generated.files.items() if not n.startswith("network.")})
        inner = folder / str(i)
        inner.mkdir()
        (inner / "network.h").write_bytes(generated.files["network.h"])
        (inner / "network.c").write_bytes(generated.files["network.c"] + runner.encode())
        for name, content in kernels.items():
            (folder / name).write_bytes(content)
        named = [f"-Dnetwork_run=whole_{i}", f"-Drun_on=run_{i}"] if runner else [f"-Dnetwork_run=run_{i}"]
        subprocess.run(
            [compiler, *flags, *named, "-c", f"{i}/network.c", "-o", f"{i}.o"],
            cwd=folder,
            check=True,
        )
        objects.append(f"{i}.o")
        values, expected = _in_litert(data, rng)
        header = generated.files["network.h"].decode()
        offsets = dict(re.findall(r"#define NETWORK_(\w+)_OFFSET (\d+)", header))
        declarations.append(
            f"void run_{i}(uint8_t*);\n{_array(f'values_{i}', values)}{_array(f'expected_{i}', expected)}"
        )
        networks.append(
            f"{{run_{i}, {generated.plan.arena_bytes}, {offsets['INPUT']}, sizeof values_{i}, "
            f"{offsets['OUTPUT']}, sizeof expected_{i}, values_{i}, expected_{i}}},"
        )
    main = _MAIN % {"declarations": "".join(declarations), "networks": "\n".join(networks)}
    (folder / "main.c").write_text(main)
    (folder / "link.ld").write_text(_LINKER)
    sources = ["main.c", *(name for name in kernels if name.endswith(".c"))]
    linked = ["-nostartfiles", "-Tlink.ld", "-Wl,--no-warn-rwx-segments", "--specs=nano.specs"]
    subprocess.run(
        [compiler, *flags, *linked, *sources, *objects, "-lm", "-o", "all.elf"], cwd=folder, check=True
    )
    done = subprocess.run(
        ["qemu-system-arm", "-machine", board.emulate.machine, "-display", "none", "-monitor", "none",
         "-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", "all.elf"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return dict(zip(models, (done.stdout + done.stderr).split(), strict=False))


def _in_litert(data: bytes, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Return a random image and what LiteRT's reference kernels make of it."""
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    values = rng.integers(-128, 128, source["shape"], np.int8)
    values[rng.random(values.shape) < 0.2] = -128
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return values.tobytes(), interpreter.get_tensor(output["index"]).tobytes()


def _array(name: str, content: bytes) -> str:
    values = ",".join(str(value) for value in np.frombuffer(content, np.int8))
    return f"static const int8_t {name}[] = {{{values}}};\n"

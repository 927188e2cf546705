"""The rendered project: what the cross compiler and the linker say of it, for every board."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from export.firmware import MARKER, OP_REGISTRATIONS, TFLM_COMMIT, render_firmware
from export.to_c import DeployedModel
from mcofa.boards import Board, board_names, load_board
from mcofa.errors import DiskWriteError, McofaError, UnsupportedOpError

ARENA_BYTES = 8_192

MODEL = DeployedModel(
    name="tiny",
    data=bytes(range(256)) * 8,
    input_shape=(1, 8, 8, 3),
    input_scale=0.0078431377,
    input_zero_point=-1,
    output_shape=(1, 1, 1, 3),
    output_scale=0.125,
    output_zero_point=-128,
    labels=("cat", "dog", "é"),
    mean=(0.5, 0.25, 0.125),
    std=0.25,
    rotate_180=False,
    op_kinds=("CONV_2D", "HARD_SWISH", "PAD"),
    arena_bytes=ARENA_BYTES,
    target="some board",
)

TEST_MAIN = """
#include "board.h"
#include "tiny_model.h"
unsigned char arena[kArenaBytes] __attribute__((section(".arena"), aligned(16)));
static volatile int initialised = 42;
static volatile int zeroed;
int main(void) {
  arena[0] = g_tiny_model_data[0];
  zeroed = zeroed + initialised;
  board_write(zeroed == 42 && g_tiny_model_data[2047] == 255 ? "alive" : "dead");
  return zeroed - 42;
}
"""

STUB_RESOLVER = """
#pragma once
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
#define TF_LITE_ENSURE_STATUS(a) do { const TfLiteStatus s = (a); if (s != kTfLiteOk) return s; } while (0)
namespace tflite {
struct TFLMRegistration {};
struct MicroOpResolver {};
%(functions)s
template <unsigned int tOpCount> struct MicroMutableOpResolver : MicroOpResolver {
%(methods)s
};
}
"""

STUB_INTERPRETER = """
#pragma once
#include <cstddef>
#include <cstdint>
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#define TFLITE_SCHEMA_VERSION (3)
namespace tflite {
struct Model { std::uint32_t version() const; };
const Model* GetModel(const void* buffer);
struct MicroInterpreter {
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t bytes);
  ~MicroInterpreter();
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  std::size_t arena_used_bytes() const;
  template <class T> T* typed_input_tensor(int index);
  template <class T> T* typed_output_tensor(int index);
};
}
"""


def cross_tool(name: str) -> str:
    """Return the path of an Arm cross tool, or skip the test."""
    path = shutil.which(f"arm-none-eabi-{name}")
    if path is None:
        pytest.skip(
            f"arm-none-eabi-{name} is not installed (Debian packages gcc-arm-none-eabi, "
            "libnewlib-arm-none-eabi, libstdc++-arm-none-eabi-newlib)"
        )
    return path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a rendered project, without the outer make's variables."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "LC_ALL": "C"},
    )


@pytest.fixture(params=board_names())
def board(request: pytest.FixtureRequest) -> Board:
    """Every board profile in turn."""
    return load_board(request.param)


@pytest.fixture
def project(board: Board, tmp_path: Path) -> Path:
    """The project of ``MODEL`` on every board in turn."""
    render_firmware(board, MODEL, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def linked(project: Path) -> Path:
    """The ELF file that the project's own Makefile links, with a test ``main`` and an empty TFLM library."""
    cross_tool("gcc")
    (project / "src" / "main.cc").write_text(TEST_MAIN)
    subprocess.run([cross_tool("ar"), "rcs", project / "empty.a"], check=True)
    built = make(project, "TFLM_DIR=.", "TFLM_LIB=empty.a")
    assert built.returncode == 0, built.stderr
    assert "warning" not in built.stderr
    return project / "build" / "firmware.elf"


def test_everything_without_tflm_compiles_without_warnings(project: Path) -> None:
    cross_tool("gcc")
    built = make(project, "objects")
    assert (built.returncode, built.stderr) == (0, "")
    assert sorted(path.name for path in (project / "build").glob("*.o")) == [
        "board.o",
        "startup.o",
        "tiny_model.o",
    ]
    assert "-Wconversion" in built.stdout
    assert "-Werror" in built.stdout


def test_linking_without_tflm_says_what_to_do(project: Path, board: Board) -> None:
    failed = make(project)
    assert failed.returncode == 2
    assert TFLM_COMMIT in failed.stderr
    assert "make TFLM_DIR=/path/to/tflite-micro" in failed.stderr
    assert f"TARGET_ARCH={board.core}" in failed.stderr
    assert ("OPTIMIZED_KERNEL_DIR=cmsis_nn" in failed.stderr) == (board.kernels == "cmsis-nn")


def test_linker_puts_everything_where_the_board_has_it(linked: Path, board: Board) -> None:
    with linked.open("rb") as file:
        elf = ELFFile(file)
        symbol_table = elf.get_section_by_name(".symtab")
        assert isinstance(symbol_table, SymbolTableSection)
        symbols = {symbol.name: symbol["st_value"] for symbol in symbol_table.iter_symbols()}
        sections = {section.name: section for section in elf.iter_sections() if section["sh_flags"] & 2}
        vectors, model = sections[".vectors"].data(), sections[".model"].data()

    assert sections[".vectors"]["sh_addr"] == board.code_region.address
    assert int.from_bytes(vectors[0:4], "little") == symbols["__stack_top"]
    assert int.from_bytes(vectors[4:8], "little") == symbols["reset_handler"] | 1
    assert {int.from_bytes(vectors[i : i + 4], "little") for i in range(8, 64, 4)} == {
        symbols["fault_handler"] | 1
    }

    stack = board.stack_region
    assert stack.address <= symbols["__stack_limit"] < symbols["__stack_top"] <= stack.end
    assert symbols["__stack_top"] - symbols["__stack_limit"] == board.reserved.stack_bytes
    assert symbols["__stack_top"] % 8 == 0

    assert model == MODEL.data
    assert symbols["g_tiny_model_data"] % 16 == 0
    arena = sections[".arena"]
    assert (arena["sh_size"], arena["sh_type"], arena["sh_addr"] % 16) == (ARENA_BYTES, "SHT_NOBITS", 0)

    regions = {
        ".model": board.flash_region,
        ".text": board.code_region,
        ".data": board.data_region,
        ".bss": board.data_region,
        ".arena": board.arena_region,
    }
    for name, region in regions.items():
        start, size = sections[name]["sh_addr"], sections[name]["sh_size"]
        assert region.address <= start, name
        assert start + size <= region.end, name


@pytest.mark.emulator
def test_startup_runs_in_the_emulator(tmp_path: Path) -> None:
    """Vectors, .data, .bss, the FPU switch and semihosting, on the emulated board; no TFLM is involved."""
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed (Debian package qemu-system-arm)")
    board = load_board("mps2-an500")
    project = tmp_path / "project"
    render_firmware(board, MODEL, project)
    (project / "src" / "main.cc").write_text(TEST_MAIN)
    subprocess.run([cross_tool("ar"), "rcs", project / "empty.a"], check=True)
    assert make(project, "TFLM_DIR=.", "TFLM_LIB=empty.a").returncode == 0
    assert board.emulate is not None
    command = board.emulate.command_for(project / "build" / "firmware.elf")
    emulated = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (emulated.returncode, emulated.stdout + emulated.stderr) == (0, "alive")


@pytest.mark.parametrize("kinds", [MODEL.op_kinds, tuple(OP_REGISTRATIONS)], ids=["few", "all"])
@pytest.mark.parametrize("rotate_180", [False, True])
def test_main_is_valid_cpp(tmp_path: Path, kinds: tuple[str, ...], rotate_180: bool) -> None:
    """Syntax and warnings of main.cc, against stub headers that only declare what it uses.

    This is not TFLM: nothing is linked or run. Every registration has a type of its own here,
    so a registration passed to another op's method does not compile.
    """
    model = dataclasses.replace(MODEL, op_kinds=kinds, rotate_180=rotate_180)
    project = tmp_path / "project"
    render_firmware(load_board("stm32f746"), model, project)
    registrations = [OP_REGISTRATIONS[kind] for kind in kinds]
    micro = tmp_path / "stubs" / "tensorflow" / "lite" / "micro"
    (micro / "kernels").mkdir(parents=True)
    (micro / "micro_interpreter.h").write_text(STUB_INTERPRETER)
    (micro / "micro_mutable_op_resolver.h").write_text(
        STUB_RESOLVER
        % {
            "functions": "\n".join(
                f"struct {r.method} {{}};\n{r.method} {r.function}();" for r in registrations
            ),
            "methods": "\n".join(
                f"  TfLiteStatus {r.method}(const tflite::{r.method}& registration);" for r in registrations
            ),
        }
    )
    for header in {registration.header for registration in registrations} - {""}:
        (tmp_path / "stubs" / header).write_text("#pragma once\n")
    checked = subprocess.run(
        [
            cross_tool("g++"),
            *load_board("stm32f746").toolchain.compiler_flags,
            *("-std=c++17", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wconversion", "-Werror"),
            *("-Isrc", "-isystem", tmp_path / "stubs", "-fsyntax-only", "src/main.cc"),
        ],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_resolver_registers_exactly_the_used_ops_and_checks_each(tmp_path: Path) -> None:
    render_firmware(load_board("stm32f746"), MODEL, tmp_path / "project")
    resolver = (tmp_path / "project" / "src" / "op_resolver.h").read_text()
    assert "tflite::MicroMutableOpResolver<3>;" in resolver
    assert re.findall(r"^  (.*resolver\..*)$", resolver, re.MULTILINE) == [
        "TF_LITE_ENSURE_STATUS(resolver.AddConv2D(tflite::Register_CONV_2D_INT8()));",
        "TF_LITE_ENSURE_STATUS(resolver.AddHardSwish(tflite::Register_HARD_SWISH()));",
        "TF_LITE_ENSURE_STATUS(resolver.AddPad(tflite::Register_PAD_INT8()));",
    ]
    assert '#include "tensorflow/lite/micro/kernels/pad.h"' in resolver


def test_unknown_op_is_refused(tmp_path: Path) -> None:
    model = dataclasses.replace(MODEL, op_kinds=("CONV_2D", "RELU_0_TO_1"))
    with pytest.raises(UnsupportedOpError, match="no TFLM registration is known for RELU_0_TO_1"):
        render_firmware(load_board("stm32f746"), model, tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_fpu_is_switched_on_where_there_is_one(project: Path, board: Board) -> None:
    startup = (project / "src" / "startup.c").read_text()
    assert ("0xFu << 20" in startup) == (board.fpu != "none")


def test_flash_runs_the_command_of_the_board(project: Path, board: Board) -> None:
    shown = make(project, "-n", "flash", "TFLM_DIR=.", "TFLM_LIB=Makefile")
    if board.flash is None:
        assert "make emulate" in shown.stderr
    else:
        assert 'program "build/firmware.elf" verify reset exit' in shown.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rendering_twice_gives_identical_bytes(board: Board, tmp_path: Path) -> None:
    written = render_firmware(board, MODEL, tmp_path / "one")
    render_firmware(board, MODEL, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file()) == written
    rendered = b"".join(contents(tmp_path / "one").values())
    assert b"{{" not in rendered
    assert b"{%" not in rendered


def test_earlier_project_is_replaced(tmp_path: Path) -> None:
    project = tmp_path / "project"
    render_firmware(load_board("stm32f746"), MODEL, project)
    (project / "build").mkdir()
    (project / "build" / "stale.o").write_bytes(b"old")
    render_firmware(load_board("rp2040"), dataclasses.replace(MODEL, name="other"), project)
    assert "src/other_model.cc" in contents(project)
    assert not {"build/stale.o", "src/tiny_model.cc"} & set(contents(project))
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(McofaError, match=f"not a rendered firmware project .it has no {re.escape(MARKER)}"):
        render_firmware(load_board("stm32f746"), MODEL, tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "replaced"])
def test_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    project = tmp_path / "project"
    if earlier:
        render_firmware(load_board("stm32f746"), MODEL, project)
    before = contents(tmp_path)

    def fill_the_disk(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(DiskWriteError, match="No space left on device"):
        render_firmware(load_board("rp2040"), MODEL, project)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["project"] if earlier else [])


def test_earlier_project_comes_back_when_the_swap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    render_firmware(load_board("stm32f746"), MODEL, project)
    before = contents(tmp_path)
    replace = Path.replace

    def refuse_the_new_one(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse_the_new_one)
    with pytest.raises(DiskWriteError, match="Permission denied"):
        render_firmware(load_board("rp2040"), MODEL, project)
    assert contents(tmp_path) == before

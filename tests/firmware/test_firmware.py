"""The rendered project: what the cross compiler and the linker say of it, for every board."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from device_projects import (
    ARENA_BYTES,
    MODEL,
    copied_images,
    copy_engine,
    cross_tool,
    make,
    tflm_folder,
)
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from export.checks.evaluate import quantize_images
from export.convert.to_c import DeployedModel, DeployedTensor
from export.engines.tflm.firmware import tflm_part
from export.firmware.build import FirmwareBuildError, build, linked_sizes
from export.firmware.engine_part import check_fits
from export.firmware.project import MARKER, pixel_table, render_firmware
from mcofa.boards import ARENA_GUARD_BYTES, Board, board_names, load_board
from mcofa.errors import BudgetError, DiskWriteError, McofaError, MissingFileError, UnsupportedOpError
from mcofa.graph import DType
from mcofa.ops import OPERATORS
from mcofa.tflm_versions.load import DEFAULT_VERSION


def render(board: Board, destination: Path, model: DeployedModel = MODEL) -> list[Path]:
    """Render with an engine that needs no library."""
    return render_firmware(board, copy_engine(model=model), copied_images(board, model), destination)


@pytest.fixture(params=board_names(), scope="module")
def board(request: pytest.FixtureRequest) -> Board:
    """Every board profile in turn."""
    return load_board(request.param)


@pytest.fixture(scope="module")
def project(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of ``MODEL`` on every board in turn."""
    folder = tmp_path_factory.mktemp(board.name) / "project"
    render(board, folder)
    return folder


@pytest.fixture(scope="module")
def linked(project: Path) -> Path:
    """The ELF file that the project's own Makefile links, warnings being errors."""
    cross_tool("gcc")
    build(project)
    return project / "build" / "firmware.elf"


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
    handlers = [int.from_bytes(vectors[i : i + 4], "little") for i in range(8, 64, 4)]
    last = symbols.get("systick_handler", symbols["fault_handler"])
    assert handlers == [symbols["fault_handler"] | 1] * 13 + [last | 1]
    assert vectors[64:] == b"".join(word.to_bytes(4, "little") for word in board.boot_words)

    stack = board.stack_region
    assert stack.address <= symbols["__stack_limit"] < symbols["__stack_top"] <= stack.end
    assert symbols["__stack_top"] - symbols["__stack_limit"] == board.reserved.stack_bytes
    assert symbols["__stack_top"] % 8 == 0

    assert model == MODEL.data
    assert symbols["g_tiny_model_data"] % 16 == 0
    arena = sections[".arena"]
    assert (arena["sh_size"], arena["sh_type"]) == (ARENA_BYTES + ARENA_GUARD_BYTES, "SHT_NOBITS")
    assert symbols["arena"] == arena["sh_addr"] + ARENA_GUARD_BYTES // 2
    assert symbols["arena"] % 16 == 0

    regions = {
        ".model": board.flash_region,
        ".test_images": board.images_region,
        ".text": board.code_region,
        ".data": board.data_region,
        ".bss": board.data_region,
        ".arena": board.arena_region,
    }
    for name, region in regions.items():
        start, size = sections[name]["sh_addr"], sections[name]["sh_size"]
        assert region.address <= start, name
        assert start + size <= region.end, name


def test_sizes_are_those_of_the_linker(linked: Path, board: Board) -> None:
    sizes = linked_sizes(linked)
    text = subprocess.run(
        [cross_tool("size"), "-A", linked], capture_output=True, text=True, check=True
    ).stdout
    of = {name: int(size) for name, size, _ in re.findall(r"^(\.\S+)\s+(\d+)\s+(\d+)$", text, re.MULTILINE)}
    in_flash = (
        *("boot", "vectors", "text", "model", "rodata", "ARM.extab", "ARM.exidx", "init_array", "data"),
    )
    assert sizes.flash_bytes == sum(of.get(f".{name}", 0) for name in in_flash)
    assert sizes.ram_bytes == sum(of.get(f".{name}", 0) for name in ("data", "bss", "stack", "arena"))
    assert sizes.arena_bytes == of[".arena"] == ARENA_BYTES + ARENA_GUARD_BYTES
    assert linked.with_suffix(".map").is_file()


def test_program_without_symbols_is_what_the_flash_tools_get(linked: Path) -> None:
    assert linked.with_suffix(".bin").stat().st_size > 2_000
    assert linked.with_suffix(".hex").read_text().startswith(":")


def test_no_program_no_sizes(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="firmware not found"):
        linked_sizes(tmp_path / "firmware.elf")


def test_a_stub_says_what_to_fill_in(project: Path, board: Board) -> None:
    source = (project / "src" / "board.c").read_text()
    assert ("to fill in" in source) == (board.start is None)
    if board.start is None:
        assert f"{board.clock_hz} Hz" in source
        assert board.uart is not None
        assert board.uart.name in source


def test_what_overflows_a_memory_is_named(tmp_path: Path) -> None:
    cross_tool("gcc")
    board = load_board("stm32f103")
    render(board, tmp_path / "ram", dataclasses.replace(MODEL, arena_bytes=20_480))
    with pytest.raises(FirmwareBuildError, match=r"region `memory_ram' overflowed by \d+ bytes") as raised:
        build(tmp_path / "ram")
    assert "mcofa search" in raised.value.next_step
    render(board, tmp_path / "flash")
    (tmp_path / "flash" / "src" / "big.c").write_text(
        "const char big[131072] = {1};\nextern const char *volatile seen;\nconst char *volatile seen = big;\n"
        "__attribute__((constructor)) static void see(void) { seen = big; }\n"
    )
    with pytest.raises(FirmwareBuildError, match=r"region `memory_flash' overflowed by \d+ bytes"):
        build(tmp_path / "flash")


def test_what_cannot_fit_is_refused_before_anything_is_written() -> None:
    board = load_board("stm32f103")
    with pytest.raises(BudgetError, match="arena 17,424 B exceeds 17,408 B on stm32f103"):
        check_fits(copy_engine(model=dataclasses.replace(MODEL, arena_bytes=17_424)), board)
    with pytest.raises(BudgetError, match="flash 131,073 B exceeds 131,072 B"):
        check_fits(dataclasses.replace(copy_engine(), flash_bytes=131_073), board)
    check_fits(copy_engine(), board)


@pytest.mark.parametrize("rotate_180", [False, True])
def test_sensor_code_compiles_and_turns_images(tmp_path: Path, rotate_180: bool) -> None:
    render(load_board("stm32f746"), tmp_path / "p", dataclasses.replace(MODEL, rotate_180=rotate_180))
    source = tmp_path / "p" / "src" / "input.c"
    assert ("turned by 180 degrees" in source.read_text()) == rotate_180
    cross_tool("gcc")
    build(tmp_path / "p")


def test_pixels_are_quantized_as_on_the_host() -> None:
    image = DeployedTensor((1, 8, 8, 3), 0.0078431377, -5)
    means, stds = (0.5, 0.25, 0.125), (0.25, 0.5, 1.0)
    model = dataclasses.replace(MODEL, inputs=(image,), mean=means, std=stds)
    pixels = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16) / 255
    for row, mean, std in zip(pixel_table(model, image), means, stds, strict=True):
        normalised = (pixels - np.float32(mean)) / np.float32(std)
        source = {"scale": image.scale, "zero_point": image.zero_point, "rotate_180": False}
        assert np.array_equal(row, quantize_images(normalised, source).ravel())


@pytest.mark.parametrize(
    "vector", [DeployedTensor((1, 64), 0.0078431377, -1), DeployedTensor((1, 4, 4, 4), 0.0, 0, DType.INT32)]
)
def test_input_that_is_no_image_has_no_pixel_table(tmp_path: Path, vector: DeployedTensor) -> None:
    model = dataclasses.replace(MODEL, inputs=(vector,))
    assert pixel_table(model, vector) == []
    render(load_board("mps2-an500"), tmp_path / "p", model)
    assert "kPixelToInput" not in (tmp_path / "p" / "src" / "input.c").read_text()


def _one_board_for_each_compiler() -> list[str]:
    """The engine's source depends on the board by the compiler's flags only."""
    return list({load_board(name).toolchain.compiler_flags: name for name in board_names()}.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", _one_board_for_each_compiler())
def test_tflm_engine_compiles_against_the_real_headers(tmp_path: Path, name: str) -> None:
    """With a registration of every op: each status is checked, each function exists and fits its method."""
    folder, board, project = tflm_folder(), load_board(name), tmp_path / "project"
    cross_tool("g++")
    model = dataclasses.replace(MODEL, op_kinds=tuple(sorted(OPERATORS)))
    render_firmware(board, tflm_part(board, model), copied_images(board), project)
    (tmp_path / "library.a").write_text("")
    built = make(project, f"TFLM_DIR={folder}", f"TFLM_LIB={tmp_path}/library.a", "build/engine_tflm.cc.o")
    assert (built.returncode, built.stderr) == (0, "")


def test_tflm_missing_says_what_to_do(board: Board, tmp_path: Path) -> None:
    project = tmp_path / "project"
    render_firmware(board, tflm_part(board, MODEL), copied_images(board), project)
    failed = make(project, TFLM_DIR="")
    assert failed.returncode == 2
    for needed in (
        "set TFLM_DIR",
        DEFAULT_VERSION,
        "cortex_m_generic/README.md",
        f"TARGET_ARCH={board.core}",
        "ENGINE=aot",
        "BUILD_TYPE=release KERNEL_OPTIMIZATION_LEVEL=-Os THIRD_PARTY_KERNEL_OPTIMIZATION_LEVEL=-Os",
        "TARGET_TOOLCHAIN_ROOT=/usr/bin/",
    ):
        assert needed in failed.stderr
    assert ("OPTIMIZED_KERNEL_DIR=cmsis_nn" in failed.stderr) == (board.kernels == "cmsis-nn")
    assert (f"FPU={board.fpu}" in failed.stderr) == (board.fpu != "none")


def test_tflm_library_of_any_build_type_is_found(tmp_path: Path) -> None:
    board = load_board("mps2-an500")
    render_firmware(board, tflm_part(board, MODEL), copied_images(board), tmp_path / "p")
    library = tmp_path / "gen" / "cortex_m_generic_cortex-m7+fp_default_cmsis_nn_gcc" / "lib"
    library.mkdir(parents=True)
    (library / "libtensorflow-microlite.a").write_text("")
    assert make(tmp_path / "p", "-n", "tflm", f"TFLM_DIR={tmp_path}").returncode == 0
    reference = dataclasses.replace(board, kernels="reference")
    render_firmware(reference, tflm_part(reference, MODEL), copied_images(board), tmp_path / "p")
    assert "Looked in" in make(tmp_path / "p", "-n", "tflm", f"TFLM_DIR={tmp_path}").stderr


def test_no_project_holds_a_rule_that_builds_tflm(tmp_path: Path) -> None:
    board = load_board("mps2-an500")
    render_firmware(board, tflm_part(board, MODEL), copied_images(board), tmp_path / "p")
    rules = (tmp_path / "p" / "Makefile").read_text() + (tmp_path / "p" / "engine.mk").read_text()
    for forbidden in ("git clone", "curl", "wget", "tools/make/Makefile", "microlite\n"):
        assert forbidden not in rules


def test_resolver_registers_exactly_the_used_ops_and_checks_each(tmp_path: Path) -> None:
    board = load_board("stm32f746")
    model = dataclasses.replace(MODEL, op_kinds=("CONV_2D", "HARD_SWISH", "PAD"))
    resolver = tflm_part(board, model).files["src/op_resolver.h"].decode()
    assert "tflite::MicroMutableOpResolver<3>;" in resolver
    assert re.findall(r"^  (.*resolver\..*)$", resolver, re.MULTILINE) == [
        "TF_LITE_ENSURE_STATUS(resolver.AddConv2D(tflite::Register_CONV_2D_INT8()));",
        "TF_LITE_ENSURE_STATUS(resolver.AddHardSwish(tflite::Register_HARD_SWISH()));",
        "TF_LITE_ENSURE_STATUS(resolver.AddPad(tflite::Register_PAD_INT8()));",
    ]
    assert '#include "tensorflow/lite/micro/kernels/pad.h"' in resolver


def test_unknown_op_is_refused() -> None:
    model = dataclasses.replace(MODEL, op_kinds=("CONV_2D", "RELU_0_TO_1"))
    with pytest.raises(UnsupportedOpError, match="no TFLM registration is known for RELU_0_TO_1"):
        tflm_part(load_board("stm32f746"), model)


def test_fpu_is_switched_on_where_there_is_one(project: Path, board: Board) -> None:
    startup = (project / "src" / "startup.c").read_text()
    assert ("0xFu << 20" in startup) == (board.fpu != "none")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rendering_twice_gives_identical_bytes(board: Board, tmp_path: Path) -> None:
    written = render(board, tmp_path / "one")
    render(board, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file()) == written
    rendered = b"".join(contents(tmp_path / "one").values())
    assert b"{{" not in rendered
    assert b"{%" not in rendered


def test_earlier_project_is_replaced(tmp_path: Path) -> None:
    project = tmp_path / "project"
    render(load_board("stm32f746"), project)
    (project / "build").mkdir()
    (project / "build" / "stale.o").write_bytes(b"old")
    render(load_board("rp2040"), project, dataclasses.replace(MODEL, name="other"))
    assert "src/other_model.h" in contents(project)
    assert not {"build/stale.o", "src/tiny_model.h"} & set(contents(project))
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(McofaError, match=f"not a rendered firmware project .it has no {re.escape(MARKER)}"):
        render(load_board("stm32f746"), tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "replaced"])
def test_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    project = tmp_path / "project"
    if earlier:
        render(load_board("stm32f746"), project)
    before = contents(tmp_path)

    def fill_the_disk(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(DiskWriteError, match="No space left on device"):
        render(load_board("rp2040"), project)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["project"] if earlier else [])


def test_earlier_project_comes_back_when_the_swap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    render(load_board("stm32f746"), project)
    before = contents(tmp_path)
    replace = Path.replace

    def refuse_the_new_one(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse_the_new_one)
    with pytest.raises(DiskWriteError, match="Permission denied"):
        render(load_board("rp2040"), project)
    assert contents(tmp_path) == before

"""Profiles whose texts try to leave their place: rendered, run through make, compiled and linked."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from device_projects import MODEL, copied_images, copy_engine, cross_tool, make, need_qemu

from export.firmware.build import build
from export.firmware.emulate import emulate
from export.firmware.project import render_firmware
from mcofa.boards import START_CODES, Board, MemoryRegion, Uart, load_board

TEXT = (
    r"""*/ "x" 'y' $(shell touch escaped) $(touch escaped) `touch escaped` ${HOME} $$ # %s ??/ <b>ü</b> """
    "*_[x](y) \\"
)
LABELS = ("*/ \\", 'a "b"\n}', "\x01\x1f\t", "$(shell touch escaped) ??/", "%s%n")
MEMORY_NAMES = ("ORIGIN", "1mb-sram", "ram-1", "ram_1", "LENGTH.x", "text", "FLASH", "flash")
BOARDS = {
    "cmsdk": "mps2-an386",
    "stm32-usart": "netduinoplus2",
    "nrf51": "microbit",
    "nrf52": "nrf52840",
    "stm32f7": "stm32f746",
    "": "rp2040",
}


def hostile(board: Board) -> Board:
    uart = board.uart and Uart(TEXT, TEXT, board.uart.address)
    memories = tuple(
        dataclasses.replace(region, name=name)
        for region, name in zip(board.memories, MEMORY_NAMES, strict=False)
    )
    flash = board.flash and dataclasses.replace(board.flash, install=TEXT)
    notes = f"{TEXT}\n\n# {TEXT}\n"
    return dataclasses.replace(board, title=TEXT, notes=notes, uart=uart, memories=memories, flash=flash)


def test_every_start_code_is_tried() -> None:
    assert set(BOARDS) == {*START_CODES, ""}
    for code, name in BOARDS.items():
        start = load_board(name).start
        assert (start.code if start else "") == code


@pytest.fixture(params=BOARDS.values())
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    """A hostile board as it is read from a file."""
    document = hostile(load_board(request.param)).to_json()
    path = tmp_path / "hostile.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return load_board(str(path))


@pytest.fixture
def project(board: Board, tmp_path: Path) -> Path:
    model = dataclasses.replace(MODEL, labels=LABELS)
    folder = tmp_path / "$(touch escaped) 'a' #b"
    render_firmware(board, copy_engine(model=model), copied_images(board, model), folder)
    return folder


def test_make_runs_nothing_that_a_profile_says(board: Board, project: Path) -> None:
    stub = project.parent / "programs"
    stub.mkdir()
    for name in ("openocd", "nrfjprog", "picotool", "qemu-system-arm"):
        (stub / name).write_text("#!/bin/sh\nexit 1\n")
        (stub / name).chmod(0o755)
    for goal in ("-n", "flash -n", "flash DRY_RUN=1", "flash -o build/firmware.elf -o build/firmware.hex"):
        done = make(project, *goal.split(), programs=stub)
        assert "not found" not in done.stderr
    assert board.flash is None or f"{board.title} was not written" in done.stderr
    assert not list(project.rglob("escaped"))


def test_it_compiles_and_links_without_a_warning(project: Path) -> None:
    cross_tool("gcc")
    assert build(project).arena_bytes > 0
    assert not list(project.rglob("escaped"))


def test_control_characters_in_labels_are_json_on_the_device(tmp_path: Path) -> None:
    cross_tool("gcc")
    need_qemu()
    board = hostile(load_board("mps2-an386"))
    model = dataclasses.replace(MODEL, labels=LABELS)
    images = copied_images(board, model)
    for best, label in enumerate(LABELS):
        images.inputs[0][0, 0, 0, :5, 0] = (-9, -8, -7, -6, -5)
        images.inputs[0][0, 0, 0, best, 0] = 5
        project = tmp_path / str(best)
        render_firmware(board, copy_engine(model=model), images, project)
        build(project)
        assert emulate(project, board, 60).label == label


PIN_HARNESS = """
#include <stdint.h>
#include <stdio.h>
static volatile uint32_t words[0x30];
static volatile uint32_t other;
static volatile uint32_t *fake(uint32_t address) {
  return address - %(gpio)du < sizeof words ? &words[(address - %(gpio)du) / 4] : &other;
}
#define REGISTER(address) (*fake(address))
%(source)s
int main(void) {
  for (int i = 0; i < 0x30; ++i) words[i] = 0xFFFFFFFF;
  uart_start();
  for (int i = 0; i < 0x30; ++i) if (words[i] != 0xFFFFFFFF) printf("%%x:%%x ", i * 4, words[i]);
}
"""


@pytest.mark.parametrize("pin", range(16))
def test_a_pin_of_an_stm32f7_has_its_own_bits(pin: int, tmp_path: Path) -> None:
    """Pin n has two bits of MODER (0x00) and four of AFRL (0x20) or AFRH (0x24): start code run here."""
    board = load_board("stm32f746")
    assert board.start is not None
    settings = {**board.start.settings, "pin": pin}
    board = dataclasses.replace(board, start=dataclasses.replace(board.start, settings=settings))
    render_firmware(board, copy_engine(), copied_images(board), tmp_path / "project")
    source = (tmp_path / "project/src/board.c").read_text()
    source = "\n".join(line for line in source.splitlines() if not line.startswith("#define REGISTER("))
    source = re.sub(r'__asm volatile\("[^"]*" ::: "memory"\);', "", source)
    harness = PIN_HARNESS % {"gpio": settings["gpio_address"], "source": source}
    (tmp_path / "harness.c").write_text(harness)
    build_harness = ["gcc", f"-I{tmp_path}/project/src", "-w", "harness.c", "-o", "harness"]
    subprocess.run(build_harness, cwd=tmp_path, check=True)
    done = subprocess.run(["./harness"], cwd=tmp_path, check=True, capture_output=True, text=True)
    mode = 0xFFFFFFFF - (1 << 2 * pin)
    function = 0xFFFFFFFF - (8 << 4 * (pin % 8))
    assert done.stdout == f"0:{mode:x} {0x20 if pin < 8 else 0x24:x}:{function:x} "


@pytest.mark.parametrize("offset", [4, 8, 12])
def test_an_arena_in_ram_that_is_not_aligned_fits_its_budget(offset: int, tmp_path: Path) -> None:
    cross_tool("gcc")
    board = load_board("stm32f407")
    others = tuple(region for region in board.memories if region != board.arena_region)
    ram = MemoryRegion("ram", "ram", 0x20000000 + offset, 4096 - offset, ("arena",))
    board = dataclasses.replace(board, memories=(*others, ram))
    model = dataclasses.replace(MODEL, arena_bytes=board.arena_budget_bytes)
    assert model.arena_bytes == 4096 - 16 - 32
    render_firmware(board, copy_engine(model=model), copied_images(board, model), tmp_path / "project")
    assert build(tmp_path / "project").arena_bytes == model.arena_bytes + 32

"""The firmware project in QEMU, on every emulated board, with an engine that needs no library."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from device_projects import MODEL, copied, copied_images, copy_engine, cross_tool, need_qemu, tflm_folder

from export.engines.project import FirmwareProject
from export.engines.tflm.firmware import tflm_part
from export.firmware.build import FirmwareBuildError, LinkedSizes, build
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import (
    EMULATED_IMAGES,
    DeviceImages,
    device_images,
    image_count,
    self_test_inputs,
)
from export.firmware.emulate import BootReport, EmulationError, boot_report, emulate, enforce_report
from export.firmware.engine_part import EnginePart
from export.firmware.project import render_firmware
from export.runtimes.answers import Items, Reference
from export.tflite.model_file import ModelFile
from mcofa.boards import Board, board_names, load_board

pytestmark = pytest.mark.emulator

EMULATED = [name for name in board_names() if load_board(name).emulate]
SECONDS = 120


@pytest.fixture(autouse=True)
def tools() -> None:
    need_qemu()
    cross_tool("gcc")


def run(
    project: Path, board: Board, engine: EnginePart | None = None, images: DeviceImages | None = None
) -> tuple[LinkedSizes, BootReport]:
    render_firmware(board, engine or copy_engine(), images or copied_images(board), project)
    return build(project), emulate(project, board, SECONDS)


@pytest.mark.parametrize("name", EMULATED)
def test_every_emulated_board_starts_reports_and_ends(tmp_path: Path, name: str) -> None:
    """Vectors, .data, .bss, FPU, UART, SysTick, pattern, guards and the end of the program."""
    board = load_board(name)
    sizes, report = run(tmp_path / "project", board)
    enforce_report(report, copy_engine())
    assert (report.board, report.engine) == (name, "copy")
    assert report.images == report.images_equal_to_host == EMULATED_IMAGES
    assert report.arena_reserved_bytes == report.arena_touched_bytes == MODEL.arena_bytes
    assert 0 < report.stack_used_bytes < report.stack_reserved_bytes == board.reserved.stack_bytes
    assert report.counter == "systick"
    assert sizes.stack_bytes == board.reserved.stack_bytes
    assert 0 <= sizes.test_image_bytes - EMULATED_IMAGES * (64 + 5) < 8
    # what the profile says that everything besides the engine takes
    assert sizes.flash_bytes < board.reserved.firmware_flash_bytes


def test_labels_that_json_must_escape_come_through(tmp_path: Path) -> None:
    board = load_board("mps2-an500")
    images = copied_images(board)
    images.inputs[0][0, 0, 0, :5, 0] = (-9, -8, -7, -6, 5)
    assert run(tmp_path / "last", board, images=images)[1].label == MODEL.labels[4]
    images.inputs[0][0, 0, 0, :5, 0] = (-9, -8, -7, 6, 5)
    assert run(tmp_path / "quotes", board, images=images)[1].label == MODEL.labels[3]


def test_one_wrong_byte_fails_the_self_test(tmp_path: Path) -> None:
    board = load_board("mps2-an386")
    images = copied_images(board)
    outputs = images.outputs[0].copy()
    outputs[17, 0, 4] ^= 1
    _, report = run(tmp_path / "project", board, images=DeviceImages(images.inputs, (outputs,)))
    assert (report.images_equal_to_host, report.passed) == (EMULATED_IMAGES - 1, False)
    with pytest.raises(EmulationError, match="1 of 50 images get other output bytes"):
        enforce_report(report, copy_engine())


@pytest.mark.parametrize("wrong", [[], [3, 45]], ids=["all right", "two wrong"])
def test_images_that_do_not_fit_at_once_are_run_in_turns(tmp_path: Path, wrong: list[int]) -> None:
    """Room for 20 images: the last of three programs has ten."""
    board = load_board("microbit")
    left_bytes = 20 * (64 + 5) + 30
    inputs = self_test_inputs(MODEL, board)
    numbers = {items.tobytes(): number for number, items in enumerate(inputs[0])}

    def answered(_: bytes, inputs: Sequence[Items], __: str) -> list[Items]:
        (outputs,) = copied(MODEL, inputs)
        flaws = [numbers[items.tobytes()] in wrong for items in inputs[0]]
        return [outputs ^ np.array(flaws, np.int8)[:, None, None]]

    engine = dataclasses.replace(
        copy_engine(),
        flash_bytes=board.flash_budget_bytes - left_bytes,
        reference=Reference("its first bytes, but for some", answered),
    )
    render_firmware(board, engine, device_images(engine, board), tmp_path / "project")
    project = FirmwareProject(tmp_path / "project", board, engine, inputs, image_count(engine, board), ())
    project.build()
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    report = project.emulate()
    assert project.test_images == emulate(project.folder, board).images == 20
    assert (report.images, report.images_equal_to_host) == (50, 50 - len(wrong))
    assert report.passed is not bool(wrong)
    assert before == {path: path.read_bytes() for path in before}


def test_images_of_which_flash_holds_none_are_computed(tmp_path: Path) -> None:
    board = load_board("microbit")
    engine = dataclasses.replace(copy_engine(), flash_bytes=board.flash_budget_bytes - 60)
    images = device_images(engine, board)
    assert (images.computed, image_count(engine, board)) == (True, 0)
    assert len(np.unique(images.inputs[0], axis=0)) == EMULATED_IMAGES
    assert len(np.unique(images.inputs[0])) == 256
    sizes, report = run(tmp_path / "project", board, engine, images)
    enforce_report(report, engine)
    assert report.images == report.images_equal_to_host == EMULATED_IMAGES
    assert sizes.test_image_bytes == EMULATED_IMAGES * 5


def test_make_emulate_exits_with_the_verdict(tmp_path: Path) -> None:
    board = load_board("mps2-an500")
    images = copied_images(board)
    wrong = DeviceImages(images.inputs, (images.outputs[0] ^ 1,))
    render_firmware(board, copy_engine(), wrong, tmp_path / "bad")
    render_firmware(board, copy_engine(), images, tmp_path / "good")
    codes = [
        subprocess.run(["make", "emulate"], cwd=tmp_path / name, capture_output=True, check=False).returncode
        for name in ("good", "bad")
    ]
    assert codes == [0, 2]


def test_an_arena_that_is_not_all_used_is_noticed(tmp_path: Path) -> None:
    """The copy engine answers from the arena's end; with the answer at its start the rest stays untouched."""
    board = load_board("mps2-an500")
    engine = copy_engine(
        "(memmove(arena, answer, kOutputBytes), memset(answer, 0xA5, kOutputBytes), (int8_t *)arena)"
    )
    files = dict(engine.files)
    # a byte that keeps the first pattern is still seen with the second
    files["src/engine_copy.c"] = b"#include <string.h>\n" + files["src/engine_copy.c"]
    _, report = run(tmp_path / "seen", board, dataclasses.replace(engine, files=files))
    assert report.arena_touched_bytes == MODEL.arena_bytes
    files["src/engine_copy.c"] = files["src/engine_copy.c"].replace(b"kArenaBytes - kOutputBytes", b"256")
    _, report = run(tmp_path / "unused", board, dataclasses.replace(engine, files=files))
    assert (report.arena_touched_bytes, report.passed) == (256 + 16, False)
    with pytest.raises(EmulationError, match="touches 272 B of an arena of 1,024 B"):
        enforce_report(report, copy_engine())


@pytest.mark.parametrize("address", ["(uintptr_t)arena - 1", "(uintptr_t)arena + kArenaBytes"])
def test_a_write_beside_the_arena_is_noticed(tmp_path: Path, address: str) -> None:
    engine = copy_engine(f"(*(volatile uint8_t *)({address}) = 1, answer)")
    _, report = run(tmp_path / "project", load_board("mps2-an500"), engine)
    assert (report.arena_guards_intact, report.passed) == (False, False)
    with pytest.raises(EmulationError, match="wrote beside the arena"):
        enforce_report(report, copy_engine())


@pytest.mark.parametrize("name", ["microbit", "mps2-an385", "mps2-an500", "mps2-an505", "mps3-an547"])
def test_a_fault_is_reported_and_ends_the_program(tmp_path: Path, name: str) -> None:
    engine = copy_engine("(((void (*)(void))0xDEADBEE1u)(), answer)")
    with pytest.raises(EmulationError, match='"error":"fault","exception":'):
        run(tmp_path / "project", load_board(name), engine)


def test_a_stack_that_is_too_small_faults_and_is_reported(tmp_path: Path) -> None:
    """The M55's stack limit catches it; the report comes from a fresh stack."""
    engine = copy_engine("recurse(answer)")
    files = dict(engine.files)
    recursion = b"""
#include <stdint.h>
int8_t *recurse(int8_t *answer);
static volatile int levels = 1000000;
int8_t *recurse(int8_t *answer) {
  if (levels-- == 0) return answer;
  volatile uint8_t deep[256];
  deep[0] = (uint8_t)answer[0];
  int8_t *const found = recurse(answer);
  return found + deep[0] - deep[0];
}
"""
    files["src/engine_copy.c"] = recursion + files["src/engine_copy.c"]
    with pytest.raises(EmulationError, match='"error":"fault"'):
        run(tmp_path / "project", load_board("mps3-an547"), dataclasses.replace(engine, files=files))


def test_an_engine_that_cannot_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match="the engine cannot run the network"):
        run(tmp_path / "project", load_board("mps2-an500"), copy_engine("NULL"))


def test_an_arena_over_budget_does_not_link(tmp_path: Path) -> None:
    board = load_board("netduinoplus2")
    model = dataclasses.replace(MODEL, arena_bytes=131_072)
    render_firmware(board, copy_engine(model=model), copied_images(board), tmp_path / "project")
    with pytest.raises(FirmwareBuildError, match="region `memory_sram' overflowed by") as raised:
        build(tmp_path / "project")
    assert "mcofa search" in raised.value.next_step


def test_a_real_board_is_not_emulated(tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match="QEMU does not have STM32F746G Discovery"):
        emulate(tmp_path, load_board("stm32f746"))


def test_silence_is_an_error() -> None:
    with pytest.raises(EmulationError, match=r"printed no report .exit status 1"):
        boot_report("", "exit status 1")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlpt_kws", "mb_r48_k3_e3_d1_w025"])
def test_tflm_runs_as_predicted(tmp_path: Path, measured_model: Callable[[str], bytes], name: str) -> None:
    """The real interpreter with CMSIS-NN: arena to the byte, LiteRT's outputs, flash as predicted."""
    tflm_folder()
    board = load_board("mps2-an500")
    model = deployed_file(ModelFile(measured_model(name), name), board, "tflm")
    engine = tflm_part(board, model)
    sizes, report = run(tmp_path / "project", board, engine, device_images(engine, board))
    assert report.arena_used_bytes == engine.arena_used_bytes
    assert report.arena_touched_bytes == model.arena_bytes
    assert report.arena_guards_intact
    assert sizes.flash_bytes <= engine.flash_bytes
    differing = report.images - report.images_equal_to_host
    # TFLM's SOFTMAX differs from LiteRT's in the last bit at times
    assert differing <= (2 if "SOFTMAX" in model.op_kinds else 0)

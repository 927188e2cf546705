"""Firmware with engine aot, linked and run in the emulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from device_projects import cross_tool, need_qemu

from export.engines.aot.firmware import aot_part
from export.firmware.build import build
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import device_images
from export.firmware.emulate import emulate
from export.firmware.project import render_firmware
from export.tflite.model_file import ModelFile
from mcofa.boards import Board, load_board

EMULATED = ("mps2-an500", "mps2-an385", "mps3-an547")


def _board(name: str) -> Board:
    need_qemu()
    cross_tool("gcc")
    return load_board(name)


@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_name", "streams_input"),
    [("mlpt_kws", False), ("mb_r48_k3_e3_d1_w025", False), ("mb_r48_k3_e3_d1_w025", True)],
)
@pytest.mark.parametrize("name", EMULATED)
def test_published_network(
    name: str,
    model_name: str,
    streams_input: bool,
    measured_model: Callable[[str], bytes],
    tmp_path: Path,
) -> None:
    """Every kernel that has code of its own for a core: output bytes, arena and flash."""
    board = _board(name)
    data = measured_model(model_name)
    model = deployed_file(ModelFile(data, "network"), board, "aot", streams_input)
    engine = aot_part(board, model)
    render_firmware(board, engine, device_images(engine, board), tmp_path / "p")
    linked = build(tmp_path / "p").flash_bytes
    assert linked <= engine.flash_bytes <= 1.05 * linked
    report = emulate(tmp_path / "p", board)
    assert report.passed
    assert report.images_equal_to_host == report.images
    assert report.arena_touched_bytes <= report.arena_reserved_bytes == engine.model.arena_bytes

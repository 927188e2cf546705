from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.boards import Board, load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.stages import arena_profile
from mcofa.design.conditions import ALLOWANCES
from mcofa.design.designer import design_space
from mcofa.design.report import DesignReport
from mcofa.design.skeleton import DataShape
from mcofa.design.space_file import write_space
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import BudgetError, DiskWriteError, McofaError
from mcofa.lowering import lower
from mcofa.space.search_space import load_space

GREY_28 = DataShape(28, 28, 1)
CASES = [
    ("stm32f746", GREY_28),
    ("nrf52840", DataShape(96, 96, 3)),
    ("rp2040", DataShape(32, 32, 3)),
    ("stm32f103", GREY_28),
    ("mps2-an500", DataShape(64, 64, 3)),
]


@functools.cache
def designed(board: str, data: DataShape) -> DesignReport:
    return design_space(load_board(board), data, 10)


def board_with(ram_kib: int, flash_kib: int, name: str = "nrf52840") -> Board:
    board = load_board(name)
    memories = tuple(
        dataclasses.replace(memory, bytes=1024 * (flash_kib if memory.kind == "flash" else ram_kib))
        for memory in board.memories
    )
    return dataclasses.replace(board, memories=memories)


# What holds for every design


def assert_keeps_its_promises(report: DesignReport, board: Board) -> None:
    space, allowance = report.space, report.allowance
    assert allowance in ALLOWANCES
    largest, smallest = cost(space, space.largest(), board), cost(space, space.smallest(), board)
    assert (report.largest, report.smallest) == (largest, smallest)
    assert largest.arena_bytes <= allowance.largest_arena * board.arena_budget_bytes
    assert largest.model_bytes <= allowance.largest_flash * report.model_budget_bytes
    assert smallest.arena_bytes <= allowance.smallest * board.arena_budget_bytes
    assert smallest.model_bytes <= allowance.smallest * report.model_budget_bytes
    assert report.model_budget_bytes == board.flash_budget_bytes - largest.flash_bytes + largest.model_bytes
    assert report.fitting_fraction > 0
    assert all(stage.width % 8 == 0 for stage in space.stages)
    rows = [row for row in arena_profile(space, board_target(board)).rows if row.is_stage]
    assert [(row.peak, row.persistent) for row in rows] == [
        (stage.head_bytes, stage.tail_bytes) for stage in report.stages
    ]


@pytest.mark.parametrize(("name", "data"), CASES)
def test_boards(name: str, data: DataShape) -> None:
    assert_keeps_its_promises(designed(name, data), load_board(name))


@pytest.mark.parametrize(
    ("case", "widths", "largest", "smallest", "fits"),
    [
        (CASES[0], (120, 104, 56), (338_048, 982_144), (57_616, 60_768), 0.821),
        (CASES[1], (48, 112, 96, 56), (361_680, 950_288), (84_496, 58_272), 0.72),
        (CASES[2], (104, 200, 88), (373_712, 2_028_848), (62_800, 117_488), 0.701),
        (CASES[3], (8, 16, 16), (50_640, 53_936), (13_904, 8_752), 0.058),
        (CASES[4], (264, 216, 128), (836_736, 4_131_760), (154_448, 238_848), 1.0),
    ],
)
def test_designs_for_tflm_are_what_they_have_always_been(
    case: tuple[str, DataShape],
    widths: tuple[int, ...],
    largest: tuple[int, int],
    smallest: tuple[int, int],
    fits: float,
) -> None:
    report = designed(*case)
    assert tuple(stage.width for stage in report.stages) == widths
    assert (report.largest.arena_bytes, report.largest.model_bytes) == largest
    assert (report.smallest.arena_bytes, report.smallest.model_bytes) == smallest
    assert report.fitting_fraction == fits


@settings(max_examples=20)
@given(st.integers(64, 512), st.integers(1024, 4096), st.sampled_from([28, 32, 48]), st.sampled_from([1, 3]))
def test_with_flash_to_spare_stages_are_level(ram_kib: int, flash_kib: int, side: int, channels: int) -> None:
    """Those that the arena holds back differ by the steps of 8 channels; no other one is fuller."""
    board = board_with(ram_kib, flash_kib)
    report = design_space(board, DataShape(side, side, channels), 10)
    assert_keeps_its_promises(report, board)
    held = [stage.arena_bytes for stage in report.stages if stage.limit == "arena"]
    if held:
        assert max(held) / min(held) < 1.5
    if held and all(stage.limit == "arena" for stage in report.stages):
        assert max(stage.width for stage in report.stages) == report.stages[-1].width


@settings(max_examples=15)
@given(st.integers(192, 512), st.integers(192, 768))
def test_short_of_flash_stages_share_it(ram_kib: int, flash_kib: int) -> None:
    board = board_with(ram_kib, flash_kib)
    report = design_space(board, GREY_28, 10)
    assert_keeps_its_promises(report, board)
    shares = [stage.flash_bytes for stage in report.stages if stage.limit == "flash"]
    assert shares
    assert max(shares) < 1.8 * min(shares)
    assert max(stage.flash_bytes for stage in report.stages) == max(shares)


def test_more_memory_never_means_narrower_first_stages() -> None:
    widths = [
        design_space(board_with(ram, 4096), GREY_28, 10).space.stages[0].width for ram in (64, 128, 256)
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_designs_are_level_where_ofa_micro_is_not() -> None:
    """On 96 KiB of RAM and 1 MiB of flash."""
    board = board_with(96, 1024)
    report = design_space(board, GREY_28, 10)
    assert [stage.limit for stage in report.stages] == ["arena"] * 3
    assert arena_profile(report.space, board_target(board)).levelness < 1.2
    assert arena_profile(load_space("mcofa-micro"), board_target(board)).levelness < 1.2
    assert arena_profile(load_space("ofa-micro"), board_target(board)).levelness > 1.4


def test_a_design_is_deterministic() -> None:
    first, second = (design_space(load_board("stm32f746"), GREY_28, 10) for _ in range(2))
    assert first == second


# What follows from the images


@pytest.mark.parametrize(
    ("side", "stem_stride", "sides"),
    [
        (16, 1, [16, 8, 4]),
        (28, 1, [14, 7, 4]),
        (32, 1, [16, 8, 4]),
        (40, 1, [20, 10, 5, 3]),
        (48, 2, [12, 6, 3]),
        (64, 2, [16, 8, 4]),
        (96, 2, [24, 12, 6, 3]),
        (128, 2, [32, 16, 8, 4]),
        (224, 2, [56, 28, 14, 7, 4]),
    ],
)
def test_stages_follow_from_the_image(side: int, stem_stride: int, sides: list[int]) -> None:
    report = design_space(board_with(4096, 16384), DataShape(side, side, 3), 10)
    assert report.space.stem.stride == stem_stride
    assert [stage.side for stage in report.stages] == sides


def test_28_pixels_in_46_kib_give_mcofa_micro() -> None:
    board, known = board_with(46, 320, "stm32f746"), load_space("mcofa-micro")
    made = design_space(board, GREY_28, 10).space
    assert made.model_copy(update={"name": known.name, "title": known.title}) == known


def test_28_pixels_give_mcofa_micro_but_for_widths() -> None:
    made, known = designed("stm32f746", GREY_28).space, load_space("mcofa-micro")
    for stage, like in zip(made.stages, known.stages, strict=True):
        assert stage.model_copy(update={"width": like.width}) == like
    assert (made.kernel_sizes, made.expand_ratios, made.depths) == (
        known.kernel_sizes,
        known.expand_ratios,
        known.depths,
    )
    assert made.stem.stride == known.stem.stride
    assert 2 * made.stem.width == made.stem.first_block_width > known.stem.first_block_width


@pytest.mark.parametrize("side", [96, 128])
@pytest.mark.parametrize("name", ["stm32f746", "nrf52840", "rp2040"])
def test_large_images_leave_most_random_archs_within_the_board(name: str, side: int) -> None:
    report = design_space(load_board(name), DataShape(side, side, 3), 2)
    assert report.allowance == ALLOWANCES[0]
    assert report.fitting_fraction > 0.5


def test_resolutions_replace_the_data_shape() -> None:
    board = load_board("nrf52840")
    space = design_space(board, DataShape(120, 160, 3), 2, resolutions=(64, 48, 64)).space
    assert space.resolutions == (48, 64)
    assert (space.input_channels, space.classes) == (3, 2)
    assert design_space(board, DataShape(60, 80, 3), 2).space.resolutions == (60,)


def test_oblong_images(tmp_path: Path) -> None:
    report = design_space(load_board("nrf52840"), DataShape(49, 10, 1), 12, resolutions=((49, 10),))
    space = report.space
    assert (space.name, space.resolutions) == ("mcofa-nrf52840-49x10", ((49, 10),))
    graph = lower(space, space.largest())
    assert graph.tensors[0].shape == (1, 49, 10, 1)
    outputs = {tensor.shape[1:3] for tensor in graph.tensors if len(tensor.shape) == 4}
    assert {stage.side for stage in report.stages} <= outputs | {size[0] for size in outputs}
    write_space(report, tmp_path / "made.yaml")
    assert load_space(str(tmp_path / "made.yaml")) == space


# The file


@pytest.mark.parametrize(("name", "data"), CASES)
def test_file_loads_as_the_same_space(name: str, data: DataShape, tmp_path: Path) -> None:
    report = designed(name, data)
    path = tmp_path / "spaces" / "made.yaml"
    write_space(report, path)
    assert load_space(str(path)) == report.space
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert all(f"# {assumption}" in comments for assumption in report.assumptions)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    report = designed("stm32f746", GREY_28)
    with pytest.raises(McofaError, match=r"\.yaml"):
        write_space(report, tmp_path / "made.json")
    (tmp_path / "file").touch()
    with pytest.raises(DiskWriteError):
        write_space(report, tmp_path / "file" / "made.yaml")


def test_json_is_plain_data() -> None:
    document = designed("stm32f103", GREY_28).to_json()
    assert document["allowance"] == {"largest_arena": 3.0, "largest_flash": 2.0, "smallest": 0.85}
    stages = document["stages"]
    assert isinstance(stages, list)
    assert [stage["arena_bytes"] for stage in stages] == [
        stage["head_bytes"] + stage["tail_bytes"] for stage in stages
    ]


# What is refused


def test_a_board_that_is_too_small() -> None:
    with pytest.raises(
        BudgetError, match=r"needs an arena of [\d,]+ B.*board has 17,408 B and 8\d,\d{3} B"
    ) as refused:
        design_space(load_board("stm32f103"), DataShape(96, 96, 3), 10)
    assert "--resolution" in refused.value.next_step


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"resolutions": (4, 28)}, "resolution 4"),
        ({"classes": 1}, "1 classes"),
        ({"name": "mcofa-micro"}, "mcofa-micro is one of"),
        ({"name": "../up"}, "name is '../up'"),
        ({"resolutions": (28, 4_096)}, "a side of 4096 pixels"),
        ({"resolutions": ((40, 24), (24, 40))}, "ascend in height and width"),
        ({"resolutions": ((40, 4),)}, "resolution 40x4 is below"),
        ({"classes": 10**9}, "classes is 1000000000"),
    ],
)
def test_what_cannot_be_designed(changes: dict[str, object], fragment: str) -> None:
    arguments: dict[str, object] = {"data": GREY_28, "classes": 10} | changes
    with pytest.raises(McofaError) as refused:
        design_space(load_board("stm32f746"), **arguments)  # type: ignore[arg-type]
    assert fragment in refused.value.problem


@pytest.mark.parametrize("text", ["28x28", "28x28x0", "28×28×1", "axbxc", "-1x2x3", "28x28x1x1", ""])
def test_a_data_shape_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="28x28x1"):
        DataShape.parse(text)


def test_data_shape() -> None:
    assert DataShape.parse("120x160x3") == DataShape(120, 160, 3)
    assert str(DataShape(120, 160, 3)) == "120x160x3"

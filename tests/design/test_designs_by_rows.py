"""Spaces for engine ``aot``: their subnets, one by one, in the plans of generated C."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from mcofa.boards import load_board
from mcofa.cost.population import PopulationCosts
from mcofa.design.candidates import Candidates
from mcofa.design.conditions import ALLOWANCES_BY_ROWS
from mcofa.design.designer import design_space
from mcofa.design.report import DesignReport
from mcofa.design.skeleton import DataShape
from mcofa.design.space_file import space_yaml
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.engine import Needs, load_engine
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import BudgetError, UnknownNameError, UnstreamableInputError
from mcofa.lowering import lower, lower_with_blocks
from mcofa.space.arch import Arch

GREY_28 = DataShape(28, 28, 1)
COLOUR_96 = DataShape(96, 96, 3)
CASES = [
    ("microbit", GREY_28, False),
    ("microbit", COLOUR_96, True),
    ("stm32vldiscovery", GREY_28, False),
    ("stm32vldiscovery", COLOUR_96, True),
]
"""What holds nothing with TFLM."""

LEAST_FITTING = dict(zip(CASES, (0.7, 0.7, 0.05, 0.005), strict=True))
"""At least this part of random archs fits."""


@functools.cache
def designed(board: str, data: DataShape, streams_input: bool) -> DesignReport:
    return design_space(load_board(board), data, 2, engine="aot", streams_input=streams_input)


def needs(report: DesignReport, arch: Arch) -> Needs:
    conditions = report.conditions
    graph = lower(report.space, arch)
    return load_engine("aot").needs(graph, conditions.board, 0, streams_input=conditions.streams_input)


@pytest.mark.parametrize("case", CASES)
def test_archs_that_count_as_fitting_do_fit(case: tuple[str, DataShape, bool]) -> None:
    report = designed(*case)
    board, space = report.conditions.board, report.space
    costs = PopulationCosts(space, board, "aot", report.conditions.streams_input)
    genomes = space.sample(1000, np.random.default_rng(0))
    fits = (costs.exact_arena_bytes(genomes) <= board.arena_budget_bytes) & (
        costs.evaluate(genomes).flash_bytes <= board.flash_budget_bytes
    )
    assert report.fitting_fraction == fits.mean() >= LEAST_FITTING[case]
    for arch in [space.smallest(), *map(space.decode, genomes[fits][:25])]:
        found = needs(report, arch)
        assert found.arena_bytes <= board.arena_budget_bytes
        assert found.flash.total_bytes <= board.flash_budget_bytes


@pytest.mark.parametrize("case", CASES)
def test_extreme_subnets_keep_the_allowance(case: tuple[str, DataShape, bool]) -> None:
    report = designed(*case)
    allowance, board, space = report.allowance, report.conditions.board, report.space
    assert allowance in ALLOWANCES_BY_ROWS
    largest, smallest = needs(report, space.largest()), needs(report, space.smallest())
    assert (report.largest.needs, report.smallest.needs) == (largest, smallest)
    assert largest.arena_bytes <= allowance.largest_arena * board.arena_budget_bytes
    assert smallest.arena_bytes <= allowance.smallest * board.arena_budget_bytes
    budget_bytes = report.model_budget_bytes
    assert budget_bytes == board.flash_budget_bytes - largest.flash.total_bytes + largest.flash.data_bytes
    assert largest.flash.data_bytes <= allowance.largest_flash * budget_bytes
    assert smallest.flash.data_bytes <= allowance.smallest * budget_bytes


@pytest.mark.parametrize("case", CASES)
def test_shares_are_those_of_the_plan_of_the_largest_subnet(case: tuple[str, DataShape, bool]) -> None:
    """The plan's spans that run a stage keep what the stage takes or more; the fullest takes all."""
    report = designed(*case)
    space, (board, _, streams_input) = report.space, case
    graph, blocks = lower_with_blocks(space, space.largest())
    planned = plan_aot(graph, board_target(load_board(board)), streams_input)
    buffers = [buffer for storage in planned.storages for buffer in storage.buffers]
    kept = [
        sum(-(-b.bytes // 16) * 16 for b in buffers if b.first_step <= step <= b.last_step)
        for step in range(1, len(planned.spans) + 1)
    ]
    for number, stage in enumerate(report.stages):
        ops = {op for (s, _), block in blocks.items() if s == number for op in block}
        fullest = max(size for size, span in zip(kept, planned.spans, strict=True) if ops & set(span))
        assert stage.arena_bytes <= fullest
    assert report.level_bytes == max(kept) == planned.arena_bytes == report.largest.arena_bytes


@pytest.mark.parametrize("case", CASES)
def test_shares_do_not_hang_on_later_stages(case: tuple[str, DataShape, bool]) -> None:
    """So a design may choose widths from the first stage on."""
    report = designed(*case)
    widths = tuple(stage.width for stage in report.stages)
    candidates = Candidates(report.conditions, report.space)
    for number, stage in enumerate(report.stages, 1):
        alone = candidates.last_stage(widths[:number])
        assert (alone.head_bytes, alone.tail_bytes) == (stage.arena_bytes, 0)


def test_with_flash_to_spare_stages_are_level() -> None:
    board = load_board("microbit")
    memories = tuple(
        dataclasses.replace(memory, bytes=2**22) if memory.kind == "flash" else memory
        for memory in board.memories
    )
    report = design_space(dataclasses.replace(board, memories=memories), GREY_28, 2, engine="aot")
    assert [stage.limit for stage in report.stages] == ["arena"] * 3
    shares = [stage.arena_bytes for stage in report.stages]
    assert max(shares) < 1.25 * min(shares)
    assert report.limits == ()


def test_stages_held_by_flash_are_named() -> None:
    report = designed(*CASES[0])
    held = [number for number, stage in enumerate(report.stages, 1) if stage.limit == "flash"]
    (sentence,) = report.limits
    assert f"stages {', '.join(map(str, held))}" in sentence
    assert f"# {sentence}" in space_yaml(report)


def test_a_limit_of_the_latency_holds() -> None:
    board, limit_ms = load_board("stm32f746"), 40.0
    report = design_space(board, GREY_28, 10, max_latency_ms=limit_ms)
    allowance = report.allowance
    assert report.largest.latency_ms <= allowance.largest_arena * limit_ms
    assert report.smallest.latency_ms <= allowance.smallest * limit_ms
    assert "latency" in {stage.limit for stage in report.stages}
    assert any(sentence.startswith("Latency, not the arena") for sentence in report.limits)
    unlimited = design_space(board, GREY_28, 10)
    assert unlimited.largest.latency_ms > report.largest.latency_ms
    assert unlimited.stages == design_space(board, GREY_28, 10, max_latency_ms=1e9).stages


@pytest.mark.parametrize("case", CASES)
def test_the_table_in_docs(case: tuple[str, DataShape, bool], repo_root: Path) -> None:
    report = designed(*case)
    board, data, streams_input = case
    cells = (
        f"`{board}` ({report.arena_budget_bytes:,} B)",
        str(data),
        "`--engine aot" + " --stream-input" * streams_input + "`",
        ", ".join(str(stage.width) for stage in report.stages),
        f"{report.smallest.arena_bytes:,} and {report.largest.arena_bytes:,} B",
        f"{100 * report.fitting_fraction:.0f} %",
    )
    page = (repo_root / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(cells)} |" in page.splitlines()


def test_names_and_titles_say_for_which_engine() -> None:
    space = designed(*CASES[1]).space
    assert space.name == "mcofa-microbit-aot-96"
    assert space.title == (
        "Memory-constant space for 96x96x3 images on microbit, generated C, image row by row"
    )


# What is refused, and what helps


@pytest.mark.parametrize("board", ["microbit", "stm32vldiscovery"])
@pytest.mark.parametrize(
    ("data", "engine", "helps"),
    [
        (GREY_28, "tflm", "--engine aot,"),
        (COLOUR_96, "tflm", "--engine aot --stream-input,"),
        (COLOUR_96, "aot", "--engine aot --stream-input,"),
    ],
)
def test_the_error_names_the_options_that_help(board: str, data: DataShape, engine: str, helps: str) -> None:
    with pytest.raises(BudgetError, match=f"{board} is too small") as refused:
        design_space(load_board(board), data, 2, engine=engine)
    assert refused.value.next_step.startswith(f"give {helps}")
    assert ("27,648 B of it the image" in refused.value.problem) == (data == COLOUR_96)
    assert designed(board, data, "--stream-input" in helps).fitting_fraction > 0


def test_the_error_names_no_option_where_none_helps() -> None:
    with pytest.raises(BudgetError) as refused:
        design_space(load_board("stm32vldiscovery"), DataShape(512, 512, 3), 2)
    assert refused.value.next_step.startswith("give a smaller --resolution")
    assert "--engine" not in refused.value.next_step


def test_a_latency_that_is_out_of_reach() -> None:
    with pytest.raises(
        BudgetError, match=r"stm32f746 is too slow .* in 0.1 ms: .* takes 5\.\d ms"
    ) as refused:
        design_space(load_board("stm32f746"), GREY_28, 10, max_latency_ms=0.1)
    assert "a larger --max-latency-ms or a faster board" in refused.value.next_step


def test_an_engine_that_is_none_or_takes_whole_images() -> None:
    with pytest.raises(UnknownNameError):
        design_space(load_board("microbit"), GREY_28, 2, engine="other")
    with pytest.raises(UnstreamableInputError):
        design_space(load_board("stm32f746"), GREY_28, 2, streams_input=True)

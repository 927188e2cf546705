from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.cost.peak_items import peak_items
from mcofa.cost.stages import (
    MemoryProfile,
    StageMemory,
    arena_profile,
    block_memories,
    combined,
    memory_profile,
    peak_items_profile,
)
from mcofa.draw.stages import stages_svg, text_bars
from mcofa.engines.aot.flash import aot_flash
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.engine import BlockMemory
from mcofa.engines.tflm import account, op_memory, planned_buffers, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.lowering import lower
from mcofa.memory.plan import lower_bound
from mcofa.space.search_space import load_space
from mcofa.space.topology import HEAD, STEM

PICTURE = Path(__file__).parents[2] / "docs" / "stage-memory.svg"
PICTURED = ("ofa", "mcofa-v1", "mcofa-v3", "ofa-micro", "mcofa-micro")
CORES = ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]


# Peak items


@pytest.mark.parametrize(
    ("name", "items"),
    [("ofa", 1_509_984), ("mcofa-v1", 1_006_656), ("mcofa-v2", 385_728), ("mcofa-v3", 696_192)],
)
def test_the_fullest_stage_is_the_published_peak_of_the_largest_subnet(name: str, items: int) -> None:
    assert max(row.total for row in peak_items_profile(load_space(name)).rows) == items


@pytest.mark.parametrize("name", ["ofa", "compofa-fixed-kernel", "mcofa-v2", "mcofa-micro", "compofa-micro"])
def test_the_fullest_stage_is_what_the_populations_say(name: str) -> None:
    space = load_space(name)
    whole = peak_items(space, space.encode([space.largest()]))
    np.testing.assert_array_equal(max(row.total for row in peak_items_profile(space).rows), whole[0])


def test_a_stage_by_hand() -> None:
    """Stage 1 of mcofa-v3: 24 channels, 96 hidden ones, at 56 pixels, kernel 7, with a shortcut."""
    by_name = {row.name: row for row in peak_items_profile(load_space("mcofa-v3")).rows}
    assert by_name["stage 1"].total == 2 * 96 * 56**2 + 49 * 96 + 24 * 56**2


@pytest.mark.parametrize("name", ["mcofa-v1", "mcofa-v2", "mcofa-v3"])
def test_memory_constant_spaces_are_level(name: str) -> None:
    assert peak_items_profile(load_space(name)).levelness < 1.25


@pytest.mark.parametrize("name", ["ofa", "compofa", "compofa-fixed-kernel"])
def test_once_for_all_is_not(name: str) -> None:
    assert peak_items_profile(load_space(name)).levelness > 6


# Arena


@settings(max_examples=25)
@given(
    st.sampled_from(["mcofa-micro", "ofa-micro", "compofa-micro"]),
    st.sampled_from(CORES),
    st.sampled_from(["cmsis-nn", "reference"]),
    st.integers(0, 2**32 - 1),
)
def test_blocks_add_up_to_the_arena(name: str, core: str, kernels: str, seed: int) -> None:
    space, on = load_space(name), target(core, kernels)
    arch = space.decode(space.sample(1, np.random.default_rng(seed))[0])
    graph = lower(space, arch)
    memories = block_memories(space, arch, on)
    whole = combined(memories.values())

    buffers = planned_buffers(graph, [op_memory(graph, op, on) for op in graph.ops])
    assert whole.head_bytes == lower_bound(buffers)

    arena = account(graph, on)
    assert arena.tail_bytes is not None
    ends = arena.breakdown["fixed"] + arena.breakdown["input and output tensors"]
    paddings = 16 + 4 * len(graph.ops)
    # The eval tensor of the input belongs to no block.
    assert abs(arena.tail_bytes - ends - 12 - whole.tail_bytes) <= paddings

    assert 0.7 * model_file_bytes(graph) < whole.flash_bytes < model_file_bytes(graph)


def test_arena_rows_are_stem_stages_and_head() -> None:
    profile = arena_profile(load_space("mcofa-micro"), target("cortex-m7", "cmsis-nn"))
    assert [row.name for row in profile.rows] == ["stem", "stage 1", "stage 2", "stage 3", "head"]
    # The 5×5 depthwise convolution of the first block, 28 to 14 pixels, 32 channels, and scratch: 2·32·25.
    assert profile.rows[1].peak == 28**2 * 32 + 14**2 * 32 + 2 * 32 * 25


def test_a_stage_of_generated_c_by_hand() -> None:
    """Stage 3 of mcofa-micro, 40 to 48 channels, 160 hidden ones, kernel 5, stride 2, 7 to 4 pixels.

    Fullest is the span of the first block's expansion and depthwise convolution: of what it expands 5 rows,
    and all that squeeze-excite reads. That begins where the input lies, which is smaller.
    """
    on = target("cortex-m7", "cmsis-nn")
    profile = arena_profile(load_space("mcofa-micro"), on, "aot")
    assert profile.rows[3] == StageMemory("stage 3", 5 * 7 * 160 + 4 * 4 * 160, 0)


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("name", ["mcofa-micro", "ofa-micro", "compofa-micro"])
def test_the_fullest_block_of_generated_c_is_the_arena(name: str, streams_input: bool) -> None:
    """In most networks; in all no block takes more than the arena, and flash adds up."""
    space, on = load_space(name), target("cortex-m7", "cmsis-nn")
    reached = []
    for genes in space.sample(15, np.random.default_rng(2)):
        arch = space.decode(genes)
        graph = lower(space, arch)
        blocks = block_memories(space, arch, on, "aot", streams_input).values()
        arena_bytes = plan_aot(graph, on, streams_input).arena_bytes
        fullest_bytes = max(block.arena_bytes for block in blocks)
        assert fullest_bytes <= arena_bytes
        reached.append(fullest_bytes == arena_bytes)
        assert sum(block.flash_bytes for block in blocks) == aot_flash(graph, on).data_bytes
    assert sum(reached) > 10


def test_memory_constant_spaces_are_level_and_those_with_ofa_widths_are_not() -> None:
    levels = {name: memory_profile(load_space(name)).levelness for name in PICTURED}
    assert max(levels[name] for name in ("mcofa-v1", "mcofa-v3", "mcofa-micro")) < 1.2
    assert levels["ofa"] > 6
    assert levels["ofa-micro"] > 1.4


def test_combined_takes_the_fullest_head_and_sums_the_rest() -> None:
    assert combined([BlockMemory(5, 1, 10), BlockMemory(3, 2, 20)]) == BlockMemory(5, 3, 30)


def test_keys_are_those_of_the_graph() -> None:
    space = load_space("mcofa-micro")
    memories = block_memories(space, space.smallest(), target("cortex-m4", "cmsis-nn"))
    assert list(memories) == [STEM, (0, 0), (1, 0), (2, 0), HEAD]


# What is shown


def test_spaces_for_devices_are_measured_in_bytes() -> None:
    assert memory_profile(load_space("ofa")).unit == "items"
    assert memory_profile(load_space("ofa-micro")).unit == "B"


def test_text_bars() -> None:
    rows = (StageMemory("stem", 16, 0), StageMemory("stage 1", 24, 8), StageMemory("head", 5, 0))
    profile = MemoryProfile("drawn", "peak items", "items", rows)
    assert text_bars(profile, 8) == ("████", "████████", "█▎")


def rectangles(svg: str) -> list[dict[str, float]]:
    root = ET.fromstring(svg)
    boxes = (node.attrib for node in root.iter("{http://www.w3.org/2000/svg}rect"))
    return [{key: float(box[key]) for key in ("x", "y", "width", "height")} for box in boxes]


def test_svg_heights_are_proportional_and_inside_the_page() -> None:
    rows = (StageMemory("stem", 500, 0), StageMemory("stage 1", 1000, 1000), StageMemory("head", 250, 0))
    page, stem, peak, tail, head, *_ = rectangles(stages_svg([MemoryProfile("one", "arena", "B", rows)]))
    assert peak["height"] == tail["height"] == 2 * stem["height"] == 4 * head["height"]
    assert tail["y"] + tail["height"] == pytest.approx(peak["y"])
    for box in (stem, peak, tail, head):
        assert page["width"] > box["x"] + box["width"]
        assert box["y"] > 0


def test_the_picture_in_docs_is_up_to_date() -> None:
    """Made by: mcofa spaces draw ofa mcofa-v1 mcofa-v3 ofa-micro mcofa-micro --out docs/stage-memory.svg."""
    drawn = stages_svg([memory_profile(load_space(name)) for name in PICTURED])
    assert PICTURE.read_text(encoding="utf-8").splitlines() == drawn.splitlines(), os.fspath(PICTURE)

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from test_arena import random_network
from tiny_models import small_network

from export.tflite.parse import parse_tflite
from mcofa.draw.timeline import timeline_svg
from mcofa.draw.timeline_text import timeline_text
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.aot.timeline import aot_timeline
from mcofa.engines.tflm import Target, account, target
from mcofa.engines.tflm.timeline import tflm_timeline
from mcofa.graph import DType, Graph, Op, OpKind, Tensor
from mcofa.lowering import lower
from mcofa.memory.plan import Buffer, Plan, validate
from mcofa.memory.timeline import Timeline
from mcofa.space.search_space import load_space

SVG = "{http://www.w3.org/2000/svg}"
M7 = target("cortex-m7", "cmsis-nn")


def tiny() -> Graph:
    """A 3×3 convolution, which needs scratch, HARD_SWISH, and a shortcut around it."""
    image = (1, 4, 4, 8)
    tensors = (
        Tensor(image),
        Tensor((8, 3, 3, 8), constant=True, scales=8),
        Tensor((8,), DType.INT32, constant=True, scales=0),
        Tensor(image),
        Tensor(image),
        Tensor(image),
    )
    ops = (
        Op(OpKind.CONV_2D, (0, 1, 2), (3,)),
        Op(OpKind.HARD_SWISH, (3,), (4,)),
        Op(OpKind.ADD, (3, 4), (5,)),
    )
    return Graph(tensors, ops, (0,), (5,))


def micro(seed: int) -> Graph:
    space = load_space("mcofa-micro")
    return lower(space, space.decode(space.sample(1, np.random.default_rng(seed))[0]))


def rectangles(svg: str, kind: str) -> list[ET.Element]:
    return [rect for rect in ET.fromstring(svg).iter(f"{SVG}rect") if rect.get("class") == kind]


def check_against_account(shown: Timeline, graph: Graph, on: Target) -> None:
    arena = account(graph, on)
    assert max(row.live_bytes for row in shown.rows) == arena.head_peak.live_bytes == shown.lower_bound_bytes
    peak = shown.rows[shown.peak_op]
    assert shown.peak_op == arena.head_peak.op_index
    assert peak.buffers == shown.live_at_peak
    assert peak.live_bytes == arena.head_peak.live_bytes
    assert peak.scratch_bytes == arena.head_peak.scratch_bytes
    assert tuple(b.tensors for b in peak.buffers if b.tensors) == tuple((t,) for t in arena.head_peak.tensors)
    assert max(b.offset_bytes + b.bytes for b in shown.buffers) == arena.head_bytes == shown.head_bytes
    assert shown.tail_bytes == (arena.tail_bytes or arena.recording_tail_bytes)
    assert shown.arena_bytes == (arena.minimum_bytes or arena.head_bytes + arena.recording_tail_bytes)


def test_rows_of_a_tiny_graph() -> None:
    shown = tflm_timeline(tiny(), M7)
    # Tensors are 128 B, the convolution's scratch is 4·up4(3·3·8) = 288 B.
    assert [(row.kind, row.live_bytes, row.scratch_bytes) for row in shown.rows] == [
        ("CONV_2D", 544, 288),
        ("HARD_SWISH", 256, 0),
        ("ADD", 384, 0),
    ]
    assert [buffer.tensors for buffer in shown.rows[2].buffers] == [(3,), (4,), (5,)]
    check_against_account(shown, tiny(), M7)


def test_text_of_a_tiny_graph() -> None:
    lines = timeline_text(tflm_timeline(tiny(), M7), width=60).splitlines()
    assert lines[:3] == [
        "0 CONV_2D     544 B  ███████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ ◄ peak",
        "1 HARD_SWISH  256 B  ███████████████",
        "2 ADD         384 B  ███████████████████████",
    ]
    assert "peak     544 B live in op 0 CONV_2D:" in lines
    assert "           288 B at 0: scratch of op 0 CONV_2D" in lines
    assert "head     544 B planned, which no plan can beat" in lines
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize("on", [M7, target("cortex-m55", "cmsis-nn"), target("x86-64", "reference")])
@pytest.mark.parametrize("seed", range(3))
def test_totals_are_those_of_account(seed: int, on: Target) -> None:
    check_against_account(tflm_timeline(micro(seed), on), micro(seed), on)


@pytest.mark.parametrize("on", [M7, target("cortex-m55", "cmsis-nn"), target("cortex-m0plus", "reference")])
@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_generated_c_has_a_plan_of_its_own(seed: int, streams_input: bool, on: Target) -> None:
    graph = micro(seed)
    shown, plan = aot_timeline(graph, on, streams_input), plan_aot(graph, on, streams_input)
    assert shown.arena_bytes == shown.head_bytes == plan.arena_bytes == shown.lower_bound_bytes
    buffers = [Buffer(b.bytes, b.first_step, b.last_step) for b in shown.buffers]
    validate(buffers, Plan(tuple(b.offset_bytes for b in shown.buffers), shown.head_bytes))
    assert max(b.last_step for b in shown.buffers) == len(graph.ops)
    assert shown.tail_bytes == 0
    text, svg = timeline_text(shown), timeline_svg(shown)
    assert "tail" not in text + svg
    drawn = [rect for kind in ("tensor", "ring", "scratch") for rect in rectangles(svg, kind)]
    assert len(drawn) == len(shown.buffers)
    assert len(rectangles(svg, "ring")) == sum(b.ring_rows is not None for b in shown.buffers) > 0
    assert len(rectangles(svg, "span")) == len(shown.spans)


def test_what_works_in_place_is_named() -> None:
    """Counted by hand: HARD_SWISH and ADD read one row each, and may write where it was."""
    shown = aot_timeline(tiny(), M7)
    assert shown.spans == ()
    assert [(b.tensors, b.bytes) for b in shown.buffers] == [
        ((0,), 128),
        ((3,), 128),
        ((4, 5), 128),
        ((), 80),
    ]
    assert [b.what for b in shown.buffers] == [
        "tensor 0, 1×4×4×8 int8",
        "tensor 3, 1×4×4×8 int8",
        "tensor 4, 1×4×4×8 int8, then 5 in its place",
        "scratch of op 0 CONV_2D",
    ]


@pytest.mark.parametrize("streams_input", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_any_network_with_generated_c(seed: int, streams_input: bool) -> None:
    """Every op has its line and its column, also where the output lies in what was larger before."""
    graph = parse_tflite(random_network(seed), "random")
    shown = aot_timeline(graph, M7, streams_input)
    bars, *_ = timeline_text(shown).split("\n\n")
    for number, op in enumerate(graph.ops):
        assert re.search(rf"^ *{number} {op.kind} ", bars, re.MULTILINE)
    assert all(b.last_step <= len(graph.ops) for b in shown.buffers)
    svg = timeline_svg(shown)
    drawn = [rect for kind in ("tensor", "ring", "scratch") for rect in rectangles(svg, kind)]
    assert len(drawn) == len(shown.buffers)
    right = max(float(line.get("x2", "nan")) for line in ET.fromstring(svg).iter(f"{SVG}line"))
    assert all(float(rect.get("x", "nan")) + float(rect.get("width", "nan")) <= right for rect in drawn)


SPANS = """\
0–3 row by row         384 B  ███▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒▒▒▒ ◄ peak
    image               32 B  tensor 0, 1×8×8×1 int8, 3 of 8 rows
  0 CONV_2D            240 B  tensor 1, 1×8×8×6 int8, 5 of 8 rows
  1 DEPTHWISE_CONV_2D   48 B  tensor 2, 1×8×8×6 int8, 1 of 8 rows, then 3 in its place
  2 HARD_SWISH                tensor 3, in the place of tensor 2
  3 MEAN                16 B  tensor 4, 1×6 int8
4 FULLY_CONNECTED       32 B  █████
"""
"""By hand: windows of 3 and of 5 rows, of 8 and 48 B; a pixel-wise op; sums of 6 channels, 24 B."""


def test_text_of_spans() -> None:
    shown = aot_timeline(parse_tflite(small_network(), "small"), M7, streams_input=True)
    text = timeline_text(shown)
    assert text.startswith(SPANS)
    lines = text.splitlines()
    assert "peak     384 B live in ops 0 to 3, row by row:" in lines
    assert "           240 B at 16: tensor 1, 1×8×8×6 int8, 5 of 8 rows" in lines
    assert lines[-1] == (
        "arena    400 B with the image in the arena, 384 B where it arrives row by row (--stream-input)"
    )


def test_svg_of_spans() -> None:
    graph = parse_tflite(small_network(), "small")
    svg = timeline_svg(aot_timeline(graph, M7, streams_input=True))
    rings = [rect.findtext(f"{SVG}title", "") for rect in rectangles(svg, "ring")]
    assert [words[: words.index(":")] for words in rings] == [
        "tensor 0, 1×8×8×1 int8, 3 of 8 rows",
        "tensor 1, 1×8×8×6 int8, 5 of 8 rows",
        "tensor 2, 1×8×8×6 int8, 1 of 8 rows, then 3 in its place",
    ]
    assert all(words.endswith("from op 0 to op 3") for words in rings)
    (span,) = rectangles(svg, "span")
    assert span.findtext(f"{SVG}title") == "ops 0 to 3: row by row, 384 B"
    (peak,) = rectangles(svg, "peak")
    assert abs(float(peak.get("width", "nan")) - float(span.get("width", "nan"))) <= 2
    words = [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]
    assert "input" not in words
    assert (
        "arena: 400 B with the image in the arena, 384 B where it arrives row by row (--stream-input)"
        in words
    )
    assert "input" in timeline_svg(aot_timeline(graph, M7))


def test_what_cannot_run_row_by_row_is_said() -> None:
    image, turned = Tensor((1, 4, 4, 8)), Tensor((1, 8, 4, 4))
    axes = Tensor((4,), DType.INT32, constant=True, scales=0, values=(0, 3, 1, 2))
    graph = Graph((image, axes, turned), (Op(OpKind.TRANSPOSE, (0, 1), (2,)),), (0,), (2,))
    assert (
        "at once  cannot run row by row: op 0 TRANSPOSE"
        in timeline_text(aot_timeline(graph, M7)).splitlines()
    )


def test_an_input_without_rows_is_said() -> None:
    graph = Graph((Tensor((1, 16)), Tensor((1, 16))), (Op(OpKind.RELU, (0,), (1,)),), (0,), (1,))
    *_, last = timeline_text(aot_timeline(graph, M7)).splitlines()
    assert last.startswith(
        "arena    16 B with the image in the arena; it cannot arrive row by row: the input, 1×16"
    )


@pytest.mark.parametrize("graph", [tiny(), micro(0)])
def test_svg_draws_every_planned_buffer_once(graph: Graph) -> None:
    shown = tflm_timeline(graph, M7)
    svg = timeline_svg(shown)
    for kind, expected in (
        ("tensor", [b for b in shown.buffers if not b.is_scratch]),
        ("scratch", [b for b in shown.buffers if b.is_scratch]),
    ):
        tooltips = [rect.findtext(f"{SVG}title", "") for rect in rectangles(svg, kind)]
        assert len(tooltips) == len(expected)
        for tooltip, buffer in zip(tooltips, expected, strict=True):
            assert tooltip.startswith(
                f"{buffer.what}: {buffer.bytes:,} B at offset {buffer.offset_bytes:,}, "
            )
    assert len(rectangles(svg, "peak")) == 1


def test_svg_rectangles_overlap_nowhere() -> None:
    svg = timeline_svg(tflm_timeline(micro(1), M7))
    boxes = [
        tuple(float(rect.get(side, "nan")) for side in ("x", "y", "width", "height"))
        for kind in ("tensor", "scratch")
        for rect in rectangles(svg, kind)
    ]
    rounding = 0.21
    for i, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:i]:
            across = min(x + width, x2 + width2) - max(x, x2)
            down = min(y + height, y2 + height2) - max(y, y2)
            assert across <= rounding or down <= rounding


def test_svg_needs_nothing_else_and_is_the_same_each_time() -> None:
    svg = timeline_svg(tflm_timeline(micro(2), M7))
    assert svg == timeline_svg(tflm_timeline(micro(2), M7))
    assert "href" not in svg
    assert svg.count("http") == 1


def test_a_graph_without_ops_has_its_peak_before_the_first_op() -> None:
    graph = Graph((Tensor((1, 16)),), (), (0,), (0,))
    shown = tflm_timeline(graph, M7)
    assert "peak     16 B live before the first op:" in timeline_text(shown).splitlines()
    assert len(rectangles(timeline_svg(shown), "tensor")) == 1


def test_loss_of_the_planner_and_cause_of_the_minimum(measured_model: Callable[[str], bytes]) -> None:
    def lines(model: str) -> list[str]:
        return timeline_text(tflm_timeline(parse_tflite(measured_model(model), model), M7)).splitlines()

    head = "head     73,728 B planned, 18,432 B (25.0 %) above the lower bound of 55,296 B"
    assert head in lines("mlpt_vww96")
    assert "minimum  100,720 B, decided by: head and tail" in lines("mlpt_vww96")
    assert "minimum  3,024 B, decided by: tables of the memory planner" in lines("mlpt_ad01")

"""How much memory each stage of a space takes: the paper's picture, as numbers, text and SVG.

What is measured is the largest subnet, in two ways. Peak items are the paper's: the most of
input + output + weights over a stage's layers. Arena bytes are a device's: the most that is
live while the stage runs (the head's share) and what TFLM keeps for its ops (the tail's).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from mcofa.engines.tflm import OpMemory, Target, op_memory, planned_buffers, structs, target
from mcofa.engines.tflm.model_file import OpBytes, op_bytes
from mcofa.graph import Graph
from mcofa.lowering import HEAD, STEM, BlockKey, lower_with_blocks
from mcofa.memory.plan import aligned
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace

_BAR_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class BlockMemory:
    """What one block, or a group of blocks, takes of the arena and of the model file.

    ``head_bytes``: planned bytes live at its fullest step; ``tail_bytes``: what TFLM keeps
    for its ops and tensors; ``flash_bytes``: its part of the file, without what ops share.
    """

    head_bytes: int
    tail_bytes: int
    flash_bytes: int

    @property
    def arena_bytes(self) -> int:
        """Head and tail together."""
        return self.head_bytes + self.tail_bytes


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Memory of one part of a network: items, or bytes of head and tail.

    ``name`` is ``stem`` (first block included), ``stage 1``, … or ``head`` (the layers after
    the stages). Peak items have no ``persistent`` part.
    """

    name: str
    peak: int
    persistent: int

    @property
    def total(self) -> int:
        """What the bar shows."""
        return self.peak + self.persistent

    @property
    def is_stage(self) -> bool:
        """Whether it is one of the elastic stages."""
        return self.name.startswith("stage")


@dataclass(frozen=True, slots=True)
class MemoryProfile:
    """The memory of every part of a space's largest subnet, in network order."""

    space: str
    measure: str
    unit: Literal["items", "B"]
    rows: tuple[StageMemory, ...]

    @property
    def levelness(self) -> float:
        """The fullest elastic stage over the emptiest one: 1 is perfectly level."""
        totals = [row.total for row in self.rows if row.is_stage]
        return max(totals) / min(totals)


def memory_profile(space: SearchSpace) -> MemoryProfile:
    """Return what to show of a space: the arena, or peak items for one that no device can hold.

    Those are the paper's spaces, which have symmetric padding. The arena is that of a
    Cortex-M7 with CMSIS-NN kernels.
    """
    if space.padding == "symmetric":
        return peak_items_profile(space)
    return arena_profile(space, target("cortex-m7", "cmsis-nn"))


def peak_items_profile(space: SearchSpace) -> MemoryProfile:
    """Return peak items per stage of the largest subnet."""
    measure = f"peak items, largest subnet at {space.resolutions[-1]} pixels"
    rows = (StageMemory(name, items, 0) for name, items in _stage_peak_items(space, space.largest()))
    return MemoryProfile(space.name, measure, "items", tuple(rows))


def arena_profile(space: SearchSpace, on: Target) -> MemoryProfile:
    """Return arena bytes per stage of the largest subnet on the target ``on``."""
    parts: dict[int, list[BlockMemory]] = {}
    for (stage, _), block in block_memories(space, space.largest(), on).items():
        parts.setdefault(stage, []).append(block)
    rows = []
    for stage, blocks in parts.items():
        part = combined(blocks)
        rows.append(StageMemory(_part_name(stage), part.head_bytes, part.tail_bytes))
    measure = f"arena on {on.name} ({on.kernels}), largest subnet at {space.resolutions[-1]} pixels"
    return MemoryProfile(space.name, measure, "B", tuple(rows))


def _part_name(stage: int) -> str:
    return {STEM[0]: "stem", HEAD[0]: "head"}.get(stage, f"stage {stage + 1}")


def combined(blocks: Iterable[BlockMemory]) -> BlockMemory:
    """Return what blocks take together: the fullest head share, the sums of tail and flash."""
    listed = list(blocks)
    return BlockMemory(
        max(block.head_bytes for block in listed),
        sum(block.tail_bytes for block in listed),
        sum(block.flash_bytes for block in listed),
    )


def block_memories(space: SearchSpace, arch: Arch, on: Target) -> dict[BlockKey, BlockMemory]:
    """Return what each block of ``arch`` takes; the keys are those of ``lower_with_blocks``.

    The head of the arena is as large as the largest head share, but for the planner's losses;
    the tail is the sum of the tail shares, the allocators, input and output, and padding.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    graph, blocks = lower_with_blocks(space, arch)
    ops = [op_memory(graph, op, on) for op in graph.ops]
    in_file = op_bytes(graph)
    live = [0] * (len(ops) + 1)
    for buffer in planned_buffers(graph, ops):
        for step in range(buffer.first_step, buffer.last_step + 1):
            live[step] += aligned(buffer.bytes)
    return {
        key: BlockMemory(
            head_bytes=max(live[i + 1] for i in span),
            tail_bytes=sum(_persistent_bytes(graph, i, ops[i], on) for i in span),
            flash_bytes=sum(_file_bytes(in_file[i]) for i in span),
        )
        for key, span in blocks.items()
    }


def _persistent_bytes(graph: Graph, op_index: int, memory: OpMemory, on: Target) -> int:
    """What TFLM keeps for one op: its eval tensors, node, builtin data, OpData, arrays, scratch handles."""
    sizes = structs(on.abi)
    op = graph.ops[op_index]
    tensors = len(op.outputs) + sum(graph.tensors[t].constant for t in op.inputs)
    return (
        tensors * sizes.eval_tensor
        + sizes.node_and_registration
        + aligned(memory.builtin_data_bytes, sizes.pointer)
        + aligned(memory.op_data_bytes)
        + sum(aligned(size) for size in memory.kernel_arrays_bytes)
        + len(memory.scratch_bytes) * sizes.scratch_handle
    )


def _file_bytes(op: OpBytes) -> int:
    return op.operator_bytes + op.tensor_bytes + op.buffer_bytes


def _stage_peak_items(space: SearchSpace, arch: Arch) -> list[tuple[str, int]]:
    """The paper's metric, stage by stage: the fullest of each block's layers.

    Source: Girard et al., arXiv 2409.05900, and its published implementation.
    """
    stem, head = space.stem, space.head
    side = math.ceil(arch.resolution / stem.stride)
    stem_items = space.input_channels * (arch.resolution**2 + 9 * stem.width) + stem.width * side**2
    first_items = _block_items(stem.width, stem.width, stem.first_block_width, 3, side, 1)
    parts = [("stem", max(stem_items, first_items))]
    width = stem.first_block_width
    for s, stage in enumerate(space.stages):
        fullest = 0
        for b, (kernel, expand) in enumerate(zip(arch.kernel_sizes[s], arch.expand_ratios[s], strict=True)):
            hidden, stride = space.hidden_width(width, expand), stage.stride if b == 0 else 1
            fullest = max(fullest, _block_items(width, hidden, stage.width, kernel, side, stride))
            width, side = stage.width, math.ceil(side / stride)
        parts.append((_part_name(s), fullest))
    expanded = head.final_expand_width
    parts.append(("head", (width + expanded) * side**2 + width * expanded))
    return parts


def _block_items(input_width: int, hidden: int, width: int, kernel: int, side: int, stride: int) -> int:
    """Items of the fullest layer of a block: expansion, depthwise (shortcut included), projection."""
    pixels, output_pixels = side**2, math.ceil(side / stride) ** 2
    shortcut = input_width * pixels if stride == 1 and input_width == width else 0
    expansion = 0 if hidden == input_width else (input_width + hidden) * pixels + input_width * hidden
    depthwise = hidden * (pixels + output_pixels + kernel**2) + shortcut
    projection = (hidden + width) * output_pixels + hidden * width
    return max(expansion, depthwise, projection)


def text_bars(profile: MemoryProfile, columns: int = 40) -> tuple[str, ...]:
    """Return one bar a row, drawn with block characters; the fullest row takes ``columns``."""
    fullest = max(row.total for row in profile.rows)
    bars = []
    for row in profile.rows:
        whole, eighths = divmod(round(8 * columns * row.total / fullest), 8)
        bars.append(("█" * whole + _BAR_EIGHTHS[eighths]).rstrip())
    return tuple(bars)


# The SVG. Lengths are pixels. A row of panels for each measure, one panel a space, one scale a row.

_PANEL_PX, _GAP_PX, _MARGIN_PX = 268, 28, 20
_PLOT_PX, _TITLE_PX, _ROW_TITLE_PX, _LABELS_PX = 150, 44, 30, 26
_LEGEND_PX = 30
_INK, _QUIET, _PAPER, _RULE = "#1f2933", "#52606d", "#ffffff", "#cbd2d9"
_STAGE, _STAGE_TAIL, _END, _END_TAIL = "#2b6cb0", "#90bfe8", "#7b8794", "#cbd2d9"


def as_svg(profiles: Sequence[MemoryProfile]) -> str:
    """Return one SVG document that compares spaces, needing no style sheet or script.

    Spaces of one measure share a row and a scale. Elastic stages are blue, stem and head
    grey, the tail's share is the light part; a dashed line marks the fullest elastic stage.
    """
    rows: dict[str, list[MemoryProfile]] = {}
    for profile in profiles:
        rows.setdefault(profile.measure, []).append(profile)
    columns = max(len(row) for row in rows.values())
    row_px = _ROW_TITLE_PX + _TITLE_PX + _PLOT_PX + _LABELS_PX
    width = 2 * _MARGIN_PX + columns * _PANEL_PX + (columns - 1) * _GAP_PX
    height = 2 * _MARGIN_PX + len(rows) * (row_px + _GAP_PX) + _LEGEND_PX - _GAP_PX
    size = {"width": _px(width), "height": _px(height), "viewBox": f"0 0 {_px(width)} {_px(height)}"}
    style = {"font-family": "Helvetica, Arial, sans-serif", "role": "img"}
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **style})
    ET.SubElement(root, "title").text = "Memory of each stage of the largest subnet"
    _rect(root, 0, 0, width, height, _PAPER, rx="10")
    y = float(_MARGIN_PX)
    for measure, row in rows.items():
        _text(root, _MARGIN_PX, y + 16, measure, 14, weight="bold")
        most = max(bar.total for profile in row for bar in profile.rows)
        for number, profile in enumerate(row):
            x = _MARGIN_PX + number * (_PANEL_PX + _GAP_PX)
            _panel(root, profile, x, y + _ROW_TITLE_PX, most)
        y += row_px + _GAP_PX
    _legend(root, y - _GAP_PX + _LEGEND_PX - 6, any(profile.unit == "B" for profile in profiles))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _panel(root: ET.Element, profile: MemoryProfile, x: float, y: float, most: int) -> None:
    base = y + _TITLE_PX + _PLOT_PX
    _text(root, x, y + 14, profile.space, 13, weight="bold")
    unevenness = f"fullest stage {profile.levelness:.2f} times the emptiest"
    _text(root, x, y + 30, unevenness, 11, colour=_QUIET)
    step = _PANEL_PX / len(profile.rows)
    for number, row in enumerate(profile.rows):
        left, bar_px = x + number * step + step * 0.12, step * 0.76
        peak_px, tail_px = (_PLOT_PX - 14) * row.peak / most, (_PLOT_PX - 14) * row.persistent / most
        dark, light = (_STAGE, _STAGE_TAIL) if row.is_stage else (_END, _END_TAIL)
        bar = _rect(root, left, base - peak_px, bar_px, peak_px, dark)
        ET.SubElement(bar, "title").text = _tooltip(profile, row)
        if row.persistent:
            _rect(root, left, base - peak_px - tail_px, bar_px, tail_px, light)
        middle = left + bar_px / 2
        _text(root, middle, base - peak_px - tail_px - 4, _short(row.total), 10, anchor="middle")
        _text(root, middle, base + 15, row.name.removeprefix("stage "), 11, anchor="middle", colour=_QUIET)
    line = {"x1": _px(x), "y1": _px(base), "x2": _px(x + _PANEL_PX), "y2": _px(base), "stroke": _INK}
    ET.SubElement(root, "line", line)


def _tooltip(profile: MemoryProfile, row: StageMemory) -> str:
    words = f"{profile.space}, {row.name}: {row.total:,} {profile.unit}"
    if profile.unit == "items":
        return words
    return f"{words} (head {row.peak:,}, tail {row.persistent:,})"


def _legend(root: ET.Element, y: float, with_tail: bool) -> None:
    entries = [(_STAGE, "elastic stage"), (_END, "stem and first block; layers after the stages")]
    if with_tail:
        entries.append((_STAGE_TAIL, "light: tail, kept all the time"))
    x = float(_MARGIN_PX)
    for colour, words in entries:
        _rect(root, x, y - 9, 11, 11, colour)
        _text(root, x + 17, y, words, 11)
        x += 17 + 6.2 * len(words) + 22


def _short(amount: int) -> str:
    """An amount in thousands, with two or three digits that count."""
    thousands = amount / 1000
    return f"{thousands:.0f}k" if thousands >= 100 else f"{thousands:.1f}k"


def _px(length: float) -> str:
    return f"{length:.1f}".removesuffix(".0")


def _rect(
    parent: ET.Element, x: float, y: float, width: float, height: float, fill: str, **attributes: str
) -> ET.Element:
    box = {"x": _px(x), "y": _px(y), "width": _px(width), "height": _px(height), "fill": fill}
    return ET.SubElement(parent, "rect", box | attributes)


def _text(
    parent: ET.Element,
    x: float,
    y: float,
    words: str,
    size_px: float,
    *,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = _INK,
) -> None:
    place = {"x": _px(x), "y": _px(y), "font-size": _px(size_px), "fill": colour}
    style = {"text-anchor": anchor, "font-weight": weight}
    ET.SubElement(parent, "text", place | style).text = words

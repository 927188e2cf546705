"""How much memory each stage of a space takes: what the paper's picture shows.

What is measured is the largest subnet, in two ways. Peak items are the paper's: the most of
input + output + weights over a stage's layers. Arena bytes are a device's, as the engine has it. Under
TFLM: the most that is live while the stage runs (the head's share) and what is kept for its ops (the
tail's). With generated C: the least arena that any cut into spans needs where the stage runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mcofa.boards import Board
from mcofa.cost.peak_items import part_shares
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES, BlockMemory, load_engine
from mcofa.engines.tflm import Target, board_target, target
from mcofa.lowering import lower_with_blocks
from mcofa.space.arch import Arch
from mcofa.space.resolution import resolution_text
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import HEAD, STEM, Part


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Memory of one part of a network: items, or bytes of head and tail.

    ``name`` is ``stem`` (first block included), ``stage 1``, … or ``head`` (the layers after
    the stages). Peak items have no ``persistent`` part, and no part of an arena of generated C is.
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


def memory_profile(
    space: SearchSpace,
    board: Board | None = None,
    engine: str | None = None,
    streams_input: bool = False,
) -> MemoryProfile:
    """Return what to show of a space: its arena on ``board`` with ``engine``.

    Without a board it is the arena of a Cortex-M7 with CMSIS-NN kernels, and without an engine that of
    TFLM. With neither, spaces of symmetric padding, the paper's, get peak items: no device can hold them.

    Raises:
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    if board is None and engine is None and space.padding == "symmetric":
        return peak_items_profile(space)
    on = target("cortex-m7", "cmsis-nn") if board is None else board_target(board)
    return arena_profile(space, on, engine or DEFAULT_ENGINE, streams_input)


def peak_items_profile(space: SearchSpace) -> MemoryProfile:
    """Return peak items per stage of the largest subnet."""
    measure = f"peak items, {_largest(space)}"
    rows = (StageMemory(name, items, 0) for name, items in _stage_peak_items(space, space.largest()).items())
    return MemoryProfile(space.name, measure, "items", tuple(rows))


def arena_profile(
    space: SearchSpace, on: Target, engine: str = DEFAULT_ENGINE, streams_input: bool = False
) -> MemoryProfile:
    """Return arena bytes per stage of the largest subnet on the target ``on`` with ``engine``.

    Raises:
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    rows = [
        StageMemory(_part_name(stage), part.head_bytes, part.tail_bytes)
        for stage, part in stage_memories(space, space.largest(), on, engine, streams_input).items()
    ]
    runs_it = load_engine(engine)
    how = on.kernels if runs_it.has_kernel_sets else ENGINES[engine]
    by_rows = ", image row by row" if streams_input else ""
    return MemoryProfile(
        space.name, f"arena on {on.name} ({how}{by_rows}), {_largest(space)}", "B", tuple(rows)
    )


def _largest(space: SearchSpace) -> str:
    return f"largest subnet at {resolution_text(space.resolutions[-1])} pixels"


def _part_name(stage: int) -> str:
    return {STEM[0]: "stem", HEAD[0]: "head"}.get(stage, f"stage {stage + 1}")


def stage_memories(
    space: SearchSpace,
    arch: Arch,
    on: Target,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> dict[int, BlockMemory]:
    """Return what each part of ``arch`` takes: the stages by number, and the stages of ``STEM`` and ``HEAD``.

    Raises:
        InvalidArchError: the arch is not in the space.
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    parts: dict[int, list[BlockMemory]] = {}
    for (stage, _), block in block_memories(space, arch, on, engine, streams_input).items():
        parts.setdefault(stage, []).append(block)
    return {stage: combined(blocks) for stage, blocks in parts.items()}


def combined(blocks: Iterable[BlockMemory]) -> BlockMemory:
    """Return what blocks take together: the fullest head share, the sums of tail and flash."""
    listed = list(blocks)
    return BlockMemory(
        max(block.head_bytes for block in listed),
        sum(block.tail_bytes for block in listed),
        sum(block.flash_bytes for block in listed),
    )


def block_memories(
    space: SearchSpace,
    arch: Arch,
    on: Target,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> dict[Part, BlockMemory]:
    """Return what each block of ``arch`` takes; the keys are those of ``lower_with_blocks``.

    Raises:
        InvalidArchError: the arch is not in the space.
        UnstreamableInputError: the engine cannot take the input row by row.
    """
    graph, blocks = lower_with_blocks(space, arch)
    found = load_engine(engine).block_memories(graph, list(blocks.values()), on, streams_input=streams_input)
    return dict(zip(blocks, found, strict=True))


def _stage_peak_items(space: SearchSpace, arch: Arch) -> dict[str, int]:
    """The paper's metric, stage by stage: the fullest of each block's layers.

    Source: Girard et al., arXiv 2409.05900, and its published implementation.
    """
    fullest: dict[str, int] = {}
    for (stage, _), share in part_shares(space, arch).items():
        name = _part_name(stage)
        fullest[name] = max(fullest.get(name, 0), share.peak_items)
    return fullest

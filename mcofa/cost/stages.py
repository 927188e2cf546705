"""How much memory each stage of a space takes: what the paper's picture shows.

What is measured is the largest subnet, in two ways. Peak items are the paper's: the most of
input + output + weights over a stage's layers. Arena bytes are a device's: the most that is
live while the stage runs (the head's share) and what TFLM keeps for its ops (the tail's).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mcofa.cost.peak_items import part_shares
from mcofa.engines.tflm import Target, op_memory, planned_buffers, target
from mcofa.engines.tflm.model_file import OpBytes, op_bytes
from mcofa.engines.tflm.tail import share_bytes, tail_share
from mcofa.lowering import lower_with_blocks
from mcofa.memory.plan import aligned
from mcofa.space.arch import Arch
from mcofa.space.resolution import resolution_text
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import HEAD, STEM, Part


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
    measure = f"peak items, {_largest(space)}"
    rows = (StageMemory(name, items, 0) for name, items in _stage_peak_items(space, space.largest()).items())
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
    measure = f"arena on {on.name} ({on.kernels}), {_largest(space)}"
    return MemoryProfile(space.name, measure, "B", tuple(rows))


def _largest(space: SearchSpace) -> str:
    return f"largest subnet at {resolution_text(space.resolutions[-1])} pixels"


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


def block_memories(space: SearchSpace, arch: Arch, on: Target) -> dict[Part, BlockMemory]:
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
            tail_bytes=int(share_bytes(tail_share(graph, ops, span, on), on)),
            flash_bytes=sum(_file_bytes(in_file[i]) for i in span),
        )
        for key, span in blocks.items()
    }


def _file_bytes(op: OpBytes) -> int:
    return op.operator_bytes + op.tensor_bytes + op.buffer_bytes


def _stage_peak_items(space: SearchSpace, arch: Arch) -> dict[str, int]:
    """The paper's metric, stage by stage: the fullest of each block's layers.

    Source: Girard et al., arXiv 2409.05900, and its published implementation.
    """
    fullest: dict[str, int] = {}
    for (stage, _), share in part_shares(space, arch).items():
        name = _part_name(stage)
        fullest[name] = max(fullest.get(name, 0), share.peak_items)
    return fullest

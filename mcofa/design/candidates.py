"""The spaces that differ in the widths of their stages alone, and what each takes on a board."""

from __future__ import annotations

import functools

from mcofa.cost.arch_cost import Cost, cost
from mcofa.cost.stages import stage_memories
from mcofa.design.conditions import Allowance, Conditions
from mcofa.design.skeleton import WIDTH_STEP, with_widths
from mcofa.engines.engine import BlockMemory
from mcofa.engines.tflm.targets import board_target
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace

Widths = tuple[int, ...]


class Candidates:
    """A space for each tuple of widths; what was computed is remembered.

    ``network_budget_bytes`` is what the network itself may take of flash: the model file, or generated
    constants and calls.
    """

    def __init__(self, conditions: Conditions, skeleton: SearchSpace) -> None:
        """Take the space in which everything but the widths is as it shall be."""
        self.conditions = conditions
        self.skeleton = skeleton
        self.narrowest: Widths = (WIDTH_STEP,) * len(skeleton.stages)
        self._target = board_target(conditions.board)
        self._how = (conditions.engine, conditions.streams_input)
        self.space = functools.cache(functools.partial(with_widths, skeleton))
        self.largest = functools.cache(lambda widths: self._cost(widths, self.space(widths).largest()))
        self.smallest = functools.cache(lambda widths: self._cost(widths, self.space(widths).smallest()))
        self.last_stage = functools.cache(self._memory_of_last_stage)
        # The largest subnet has every op of the space, whatever the widths.
        any_largest = self.largest(self.narrowest)
        besides_bytes = any_largest.flash_bytes - network_bytes(any_largest)
        self.network_budget_bytes = conditions.board.flash_budget_bytes - besides_bytes

    def stages(self, widths: Widths) -> list[BlockMemory]:
        """Return what each stage takes in the largest subnet."""
        found = self._memories(self.space(widths))
        return [found[stage] for stage in range(len(widths))]

    def permitted(self, widths: Widths, allowance: Allowance) -> bool:
        """Return whether the extreme subnets are within ``allowance``, but for the largest one's flash."""
        return self.memory_permitted(widths, allowance) and self.latency_permitted(widths, allowance)

    def memory_permitted(self, widths: Widths, allowance: Allowance) -> bool:
        """Return whether they are in memory, but for the largest one's flash."""
        arena_bytes = self.conditions.board.arena_budget_bytes
        return (
            self.largest(widths).arena_bytes <= allowance.largest_arena * arena_bytes
            and self.smallest(widths).arena_bytes <= allowance.smallest * arena_bytes
            and network_bytes(self.smallest(widths)) <= allowance.smallest * self.network_budget_bytes
        )

    def latency_permitted(self, widths: Widths, allowance: Allowance) -> bool:
        """Return whether they are in latency, if that is limited."""
        limit_ms = self.conditions.max_latency_ms
        return limit_ms is None or (
            self.largest(widths).latency_ms <= allowance.largest_arena * limit_ms
            and self.smallest(widths).latency_ms <= allowance.smallest * limit_ms
        )

    def flash_permitted(self, widths: Widths, allowance: Allowance) -> bool:
        """Return whether the largest subnet is within ``allowance`` in flash."""
        return network_bytes(self.largest(widths)) <= allowance.largest_flash * self.network_budget_bytes

    def _cost(self, widths: Widths, arch: Arch) -> Cost:
        return cost(self.space(widths), arch, self.conditions.board, *self._how)

    def _memory_of_last_stage(self, widths: Widths) -> BlockMemory:
        """What the last stage takes in the largest subnet of as many stages as there are ``widths``."""
        stages = self.skeleton.stages[: len(widths)]
        shorter = with_widths(self.skeleton.model_copy(update={"stages": stages}), widths)
        return self._memories(shorter)[len(widths) - 1]

    def _memories(self, space: SearchSpace) -> dict[int, BlockMemory]:
        return stage_memories(space, space.largest(), self._target, *self._how)


def network_bytes(found: Cost) -> int:
    """Return what the network itself takes of flash."""
    return found.needs.flash.data_bytes

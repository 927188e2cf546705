"""Design a search space for a board: stages that take equal shares of its arena.

The paper's rule with a board's real memory. A stage's *contribution* to the arena is the
most that is live while it runs plus what TFLM keeps for its ops, in the largest subnet at
the largest resolution on the board's core and kernels. One level is raised for all stages,
each as wide (in multiples of 8) as the level allows, until the arena allows no more. Where
the model file would not fit in flash then, stages are also held to equal shares of flash,
which narrows the late stages only: there the weights are. Everything that is not a width
follows from the image (``mcofa.design.skeleton``); ``DesignReport.assumptions`` says it in words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pydantic

from mcofa.boards import Board
from mcofa.cost.arch_cost import Cost, cost
from mcofa.cost.population import PopulationCosts
from mcofa.cost.stages import BlockMemory
from mcofa.design.assumptions import assumptions
from mcofa.design.report import ALLOWANCES, Allowance, DesignedStage, DesignReport, Limit
from mcofa.design.skeleton import (
    SMALLEST_SIDE,
    WIDTH_STEP,
    DataShape,
    first_block_width,
    narrowest_space,
    strided,
    with_widths,
)
from mcofa.design.stage_memory import stage_memory
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import BudgetError, McofaError
from mcofa.files.names import checked_name
from mcofa.files.yaml_file import describe
from mcofa.space.resolution import Resolution, resolution_of, resolution_text, size_of
from mcofa.space.search_space import SearchSpace, space_names

WIDEST = 512
_LEVEL_STEP_BYTES = 64
_SAMPLED_ARCHS = 1000


def design_space(
    board: Board,
    data: DataShape,
    classes: int,
    resolutions: Sequence[Resolution] = (),
    name: str | None = None,
) -> DesignReport:
    """Design the memory-constant space of ``board`` for images of shape ``data``.

    Without ``resolutions`` the networks read images of ``data``'s shorter side.

    Raises:
        BudgetError: even the smallest subnet of the narrowest space exceeds the board's memory.
        McofaError: the name or a resolution cannot be used.
    """
    chosen = tuple(sorted(set(resolutions), key=size_of)) or (min(data.rows, data.columns),)
    narrowest = min(chosen, key=lambda resolution: min(size_of(resolution)))
    if min(size_of(narrowest)) < SMALLEST_SIDE:
        raise McofaError(
            f"resolution {resolution_text(narrowest)} is below {SMALLEST_SIDE} pixels, the least that stages "
            "can halve",
            f"give --resolution {SMALLEST_SIDE} or more",
        )
    if classes < 2:
        raise McofaError(f"{classes} classes: a classifier needs at least 2", "give --classes 2 or more")
    name = name or f"mcofa-{board.name}-{resolution_text(chosen[-1])}"
    try:
        checked_name(name)
    except ValueError as error:
        raise McofaError(f"the space cannot be named so: {error}", "give another --name") from error
    if name in space_names():
        raise McofaError(f"{name} is one of mcofa's own spaces", "give another --name")
    try:
        skeleton = narrowest_space(name, board, data, classes, chosen)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise McofaError(
            f"no space for these images: {describe(problem, place, ())}",
            "give other images, classes or resolutions",
        ) from error
    return _Designer(board, skeleton).design()


@dataclass(frozen=True, slots=True)
class _Caps:
    """The most that one stage may contribute to the arena and take of the model file."""

    arena_bytes: int
    flash_bytes: int


class _Designer:
    """Finds the widths of one space on one board; remembers what it has looked at."""

    def __init__(self, board: Board, skeleton: SearchSpace) -> None:
        self._board = board
        self._skeleton = skeleton
        self._target = board_target(board)
        self._sizes = [strided(size_of(skeleton.resolutions[-1]), skeleton.stem.stride)]
        for stage in skeleton.stages:
            self._sizes.append(strided(self._sizes[-1], stage.stride))
        self._space = functools.cache(functools.partial(with_widths, skeleton))
        self._largest = functools.cache(self._cost_of_largest)
        self._smallest = functools.cache(self._cost_of_smallest)
        # The largest subnet has every op of the space, whatever the widths.
        any_largest = self._largest((WIDTH_STEP,) * len(skeleton.stages))
        besides_bytes = any_largest.flash_bytes - any_largest.model_bytes
        self._model_budget_bytes = board.flash_budget_bytes - besides_bytes

    def design(self) -> DesignReport:
        for allowance in ALLOWANCES:
            caps = self._caps(allowance)
            if caps is not None:
                return self._report(allowance, caps)
        raise self._impossible()

    def _caps(self, allowance: Allowance) -> _Caps | None:
        """The highest level that the allowance permits, with the largest flash shares it permits then."""
        flash_limit = round(allowance.largest_flash * self._model_budget_bytes)

        def level_for(share_bytes: int) -> _Caps | None:
            """The highest level that the arena permits at these flash shares."""
            level = _greatest(
                round(allowance.largest_arena * self._board.arena_budget_bytes),
                lambda level: self._arena_permits(self._widths(_Caps(level, share_bytes)), allowance),
            )
            return None if level is None else _Caps(level, share_bytes)

        def flash_permits(share_bytes: int) -> bool:
            caps = level_for(share_bytes)
            return caps is not None and self._largest(self._widths(caps)).model_bytes <= flash_limit

        share = _greatest(flash_limit, flash_permits)
        return None if share is None else level_for(share)

    def _arena_permits(self, widths: tuple[int, ...], allowance: Allowance) -> bool:
        smallest = self._smallest(widths)
        return (
            self._largest(widths).arena_bytes <= allowance.largest_arena * self._board.arena_budget_bytes
            and smallest.arena_bytes <= allowance.smallest * self._board.arena_budget_bytes
            and smallest.model_bytes <= allowance.smallest * self._model_budget_bytes
        )

    def _widths(self, caps: _Caps) -> tuple[int, ...]:
        """From the first stage on, the greatest width that keeps the stage under both caps.

        No stage is so wide that the next one, as wide, would exceed the level.
        """
        widths: list[int] = []
        for s in range(len(self._skeleton.stages)):
            widths.append(self._greatest_width(s, widths, caps))
        return tuple(widths)

    def _greatest_width(self, s: int, before: list[int], caps: _Caps) -> int:
        def fits(steps: int) -> bool:
            width = (steps + 1) * WIDTH_STEP
            return (
                self._fullest_bytes(s, before, width) <= caps.arena_bytes
                and self._stage(s, before, width).flash_bytes <= caps.flash_bytes
            )

        steps = _greatest(WIDEST // WIDTH_STEP - 1, fits, step=1)
        return WIDTH_STEP * (1 + (steps or 0))

    def _fullest_bytes(self, s: int, before: Sequence[int], width: int) -> int:
        """The arena contribution of the stage, or of the next one at the same width if that is more."""
        here = self._stage(s, before, width).arena_bytes
        if s + 1 == len(self._skeleton.stages):
            return here
        return max(here, self._stage(s + 1, (*before[:s], width), width).arena_bytes)

    def _stage(self, s: int, before: Sequence[int], width: int) -> BlockMemory:
        """What the stage takes behind the stages of the widths ``before``."""
        input_width = before[s - 1] if s else first_block_width(width)
        stage = self._skeleton.stages[s].model_copy(update={"width": width})
        return stage_memory(stage, input_width, resolution_of(self._sizes[s]), self._target)

    def _cost_of_largest(self, widths: tuple[int, ...]) -> Cost:
        space = self._space(widths)
        return cost(space, space.largest(), self._board)

    def _cost_of_smallest(self, widths: tuple[int, ...]) -> Cost:
        space = self._space(widths)
        return cost(space, space.smallest(), self._board)

    def _report(self, allowance: Allowance, caps: _Caps) -> DesignReport:
        widths = self._widths(caps)
        space = self._space(widths)
        largest, smallest = self._largest(widths), self._smallest(widths)
        return DesignReport(
            space=space,
            board=self._board.name,
            arena_budget_bytes=self._board.arena_budget_bytes,
            model_budget_bytes=self._model_budget_bytes,
            allowance=allowance,
            stages=tuple(self._designed_stage(s, widths, caps) for s in range(len(widths))),
            smallest=smallest,
            largest=largest,
            fitting_fraction=_fitting_fraction(space, self._board),
            assumptions=assumptions(space, self._board, self._model_budget_bytes, allowance, self._sizes),
        )

    def _designed_stage(self, s: int, widths: tuple[int, ...], caps: _Caps) -> DesignedStage:
        memory = self._stage(s, widths, widths[s])
        wider_bytes = self._fullest_bytes(s, widths, widths[s] + WIDTH_STEP)
        limit: Limit = "arena" if wider_bytes > caps.arena_bytes else "flash"
        if memory.arena_bytes > caps.arena_bytes or memory.flash_bytes > caps.flash_bytes:
            limit = "narrowest"
        elif widths[s] == WIDEST:
            limit = "widest"
        return DesignedStage(
            width=widths[s],
            stride=self._skeleton.stages[s].stride,
            side=resolution_of(self._sizes[s + 1]),
            head_bytes=memory.head_bytes,
            tail_bytes=memory.tail_bytes,
            flash_bytes=memory.flash_bytes,
            limit=limit,
        )

    def _impossible(self) -> BudgetError:
        narrowest = (WIDTH_STEP,) * len(self._skeleton.stages)
        smallest, largest = self._smallest(narrowest), self._largest(narrowest)
        last = ALLOWANCES[-1]
        return BudgetError(
            f"{self._board.name} is too small for {resolution_text(self._skeleton.resolutions[-1])} pixels "
            f"and {self._skeleton.classes} classes: at width {WIDTH_STEP} the smallest subnet needs an arena "
            f"of {smallest.arena_bytes:,} B and a model of {smallest.model_bytes:,} B, the largest "
            f"{largest.arena_bytes:,} B and {largest.model_bytes:,} B; the board has "
            f"{self._board.arena_budget_bytes:,} B and {self._model_budget_bytes:,} B, of which the "
            f"smallest may take {last.smallest:.0%}, the largest {last.largest_arena:.0%} and "
            f"{last.largest_flash:.0%}",
            "give a smaller --resolution or a larger board (`mcofa boards`)",
        )


def _greatest(limit: int, permitted: Callable[[int], bool], step: int = _LEVEL_STEP_BYTES) -> int | None:
    """The greatest multiple of ``step`` up to ``limit`` that is permitted, None if 0 is not.

    What is permitted up to some number is taken to be so below it; the answer is permitted anyway.
    """
    if not permitted(0):
        return None
    low, high = 0, limit // step + 1
    while high - low > 1:
        middle = (low + high) // 2
        if permitted(middle * step):
            low = middle
        else:
            high = middle
    return low * step


def _fitting_fraction(space: SearchSpace, board: Board) -> float:
    """The part of random archs that fits the board, by the lower bound of their arenas."""
    found = PopulationCosts(space, board).evaluate(space.sample(_SAMPLED_ARCHS, np.random.default_rng(0)))
    fits = (found.arena_bytes <= board.arena_budget_bytes) & (found.flash_bytes <= board.flash_budget_bytes)
    return float(fits.mean())

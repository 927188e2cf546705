"""Design a search space for a board: stages that take equal shares of its arena.

The paper's rule with a board's real memory. A stage's *contribution* to the arena is what the engine
keeps for it in the largest subnet at the largest resolution on the board's core: under TFLM the most
that is live while it runs plus what is kept for its ops, with generated C the least that any cut into
spans needs where it runs (``Engine.block_memories``). One level is raised for all stages, each as wide
(in multiples of 8) as the level allows, until the arena allows no more, or the latency if that is
limited. Where the network would not fit in flash then, stages are also held to equal shares of flash,
which narrows the late stages only: there the weights are. Everything that is not a width
follows from the image (``mcofa.design.skeleton``); ``DesignReport.assumptions`` says it in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pydantic

from mcofa.boards import Board
from mcofa.cost.population import PopulationCosts
from mcofa.design.assumptions import assumptions
from mcofa.design.candidates import Candidates, Widths
from mcofa.design.conditions import Allowance, Conditions, allowances
from mcofa.design.refusal import not_enough
from mcofa.design.report import DesignedStage, DesignReport, Limit
from mcofa.design.skeleton import SMALLEST_SIDE, WIDTH_STEP, DataShape, narrowest_space, stage_sizes
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.errors import McofaError
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
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
    max_latency_ms: float | None = None,
) -> DesignReport:
    """Design the memory-constant space of ``board`` and ``engine`` for images of shape ``data``.

    Without ``resolutions`` the networks read images of ``data``'s shorter side. With ``streams_input``
    the image arrives row by row.

    Raises:
        BudgetError: even the subnets of the narrowest space exceed the board's memory or the latency.
        UnknownNameError: there is no such engine.
        UnstreamableInputError: the engine cannot take the input row by row.
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
    conditions = Conditions(board, engine, streams_input, max_latency_ms)
    of_engine = "" if engine == DEFAULT_ENGINE else f"-{engine}"
    name = name or f"mcofa-{board.name}{of_engine}-{resolution_text(chosen[-1])}"
    try:
        checked_name(name)
    except ValueError as error:
        raise McofaError(f"the space cannot be named so: {error}", "give another --name") from error
    if name in space_names():
        raise McofaError(f"{name} is one of mcofa's own spaces", "give another --name")
    try:
        skeleton = narrowest_space(name, _title(conditions, data), data, classes, chosen)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise McofaError(
            f"no space for these images: {describe(problem, place, ())}",
            "give other images, classes or resolutions",
        ) from error
    return _designed(Candidates(conditions, skeleton))


def _title(conditions: Conditions, data: DataShape) -> str:
    words = f"Memory-constant space for {data} images on {conditions.board.name}"
    return words if conditions.engine == DEFAULT_ENGINE else f"{words}, {conditions.execution}"


@dataclass(frozen=True, slots=True)
class _Caps:
    """The most that one stage may contribute to the arena and take of flash."""

    arena_bytes: int
    flash_bytes: int


def _designed(candidates: Candidates) -> DesignReport:
    for allowance in allowances(candidates.conditions.engine):
        caps = _greatest_caps(candidates, allowance)
        if caps is not None:
            return _report(candidates, allowance, caps)
    raise not_enough(candidates)


def _greatest_caps(candidates: Candidates, allowance: Allowance) -> _Caps | None:
    """The highest level that the allowance permits, with the largest flash shares it permits then."""
    arena_limit = round(allowance.largest_arena * candidates.conditions.board.arena_budget_bytes)
    flash_limit = round(allowance.largest_flash * candidates.network_budget_bytes)

    def level_for(share_bytes: int) -> _Caps | None:
        """The highest level that arena and latency permit at these flash shares."""
        level = _greatest(
            arena_limit,
            lambda level: candidates.permitted(_widths(candidates, _Caps(level, share_bytes)), allowance),
        )
        return None if level is None else _Caps(level, share_bytes)

    def flash_permits(share_bytes: int) -> bool:
        caps = level_for(share_bytes)
        return caps is not None and candidates.flash_permitted(_widths(candidates, caps), allowance)

    share = _greatest(flash_limit, flash_permits)
    return None if share is None else level_for(share)


def _widths(candidates: Candidates, caps: _Caps) -> Widths:
    """From the first stage on, the greatest width that keeps the stage under both caps.

    No stage is so wide that the next one, as wide, would exceed the level.
    """
    widths: Widths = ()
    for _ in candidates.skeleton.stages:
        widths = _with_greatest_width(candidates, widths, caps)
    return widths


def _with_greatest_width(candidates: Candidates, before: Widths, caps: _Caps) -> Widths:
    def fits(steps: int) -> bool:
        widths = (*before, (steps + 1) * WIDTH_STEP)
        return (
            _fullest_bytes(candidates, widths) <= caps.arena_bytes
            and candidates.last_stage(widths).flash_bytes <= caps.flash_bytes
        )

    steps = _greatest(WIDEST // WIDTH_STEP - 1, fits, step=1)
    return (*before, WIDTH_STEP * (1 + (steps or 0)))


def _fullest_bytes(candidates: Candidates, widths: Widths) -> int:
    """The arena contribution of the last stage, or of the next one at the same width if that is more."""
    here = candidates.last_stage(widths).arena_bytes
    if len(widths) == len(candidates.skeleton.stages):
        return here
    return max(here, candidates.last_stage((*widths, widths[-1])).arena_bytes)


def _report(candidates: Candidates, allowance: Allowance, caps: _Caps) -> DesignReport:
    conditions, widths = candidates.conditions, _widths(candidates, caps)
    space = candidates.space(widths)
    sizes = stage_sizes(space)
    stages = zip(space.stages, sizes[1:], candidates.stages(widths), strict=True)
    return DesignReport(
        space=space,
        conditions=conditions,
        arena_budget_bytes=conditions.board.arena_budget_bytes,
        model_budget_bytes=candidates.network_budget_bytes,
        allowance=allowance,
        stages=tuple(
            DesignedStage(
                width=stage.width,
                stride=stage.stride,
                side=resolution_of(size),
                head_bytes=memory.head_bytes,
                tail_bytes=memory.tail_bytes,
                flash_bytes=memory.flash_bytes,
                limit=limit,
            )
            for (stage, size, memory), limit in zip(
                stages, _limits(candidates, widths, allowance, caps), strict=True
            )
        ),
        smallest=candidates.smallest(widths),
        largest=candidates.largest(widths),
        fitting_fraction=_fitting_fraction(space, conditions),
        assumptions=assumptions(space, conditions, candidates.network_budget_bytes, allowance, sizes),
    )


def _limits(candidates: Candidates, widths: Widths, allowance: Allowance, caps: _Caps) -> list[Limit]:
    """What keeps each stage from being wider."""
    higher = _widths(candidates, replace(caps, arena_bytes=caps.arena_bytes + _LEVEL_STEP_BYTES))
    slow = candidates.memory_permitted(higher, allowance) and not candidates.latency_permitted(
        higher, allowance
    )
    of_level: Limit = "latency" if slow else "arena"
    return [_limit(candidates, widths[:stages], caps, of_level) for stages in range(1, len(widths) + 1)]


def _limit(candidates: Candidates, widths: Widths, caps: _Caps, of_level: Limit) -> Limit:
    """What keeps the last stage of ``widths`` from being wider."""
    memory = candidates.last_stage(widths)
    if memory.arena_bytes > caps.arena_bytes or memory.flash_bytes > caps.flash_bytes:
        return "narrowest"
    if widths[-1] == WIDEST:
        return "widest"
    wider_bytes = _fullest_bytes(candidates, (*widths[:-1], widths[-1] + WIDTH_STEP))
    return of_level if wider_bytes > caps.arena_bytes else "flash"


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


def _fitting_fraction(space: SearchSpace, conditions: Conditions) -> float:
    """The part of random archs that fits the board.

    Under TFLM that goes by the lower bound of arenas, which is close.
    """
    board = conditions.board
    costs = PopulationCosts(space, board, conditions.engine, conditions.streams_input)
    genomes = space.sample(_SAMPLED_ARCHS, np.random.default_rng(0))
    found = costs.evaluate(genomes)
    arena_bytes = found.arena_bytes
    if conditions.engine != DEFAULT_ENGINE:
        arena_bytes = costs.exact_arena_bytes(genomes)
    fits = (arena_bytes <= board.arena_budget_bytes) & (found.flash_bytes <= board.flash_budget_bytes)
    if conditions.max_latency_ms is not None:
        fits &= found.latency_ms <= conditions.max_latency_ms
    return float(fits.mean())

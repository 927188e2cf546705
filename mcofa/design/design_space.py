"""Design a search space for a board: stages that take equal shares of its arena.

The paper's rule with a board's real memory. A stage's *contribution* to the arena is the
most that is live while it runs plus what TFLM keeps for its ops, in the largest subnet at
the largest resolution on the board's core and kernels. One level is raised for all stages,
each as wide (in multiples of 8) as the level allows, until the arena allows no more. Where
the model file would not fit in flash then, stages are also held to equal shares of flash,
which narrows the late stages only: there the weights are. Everything that is not a width
follows from the image; ``DesignReport.assumptions`` says it in words.

Kernel sizes, expand ratios, depths and stem are those of mcofa-micro, chosen by what was
measured for it (docs/training.md). A stem of stride 1 made small images more accurate. It costs,
where stage 1 is narrow, 12 bytes a pixel of the image in the smallest subnet and 40 in the
largest: 9 and 31 kB at 28 pixels, 19 and 64 kB at 40, but 28 and 92 kB at 48 and 111 and 369 kB
at 96. So the stem halves images of more than 40 pixels; 48, 64, 96 and 128 are then 24, 32, 48
and 64 behind it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from mcofa.boards import Board
from mcofa.cost.arch_cost import Cost, board_target, cost
from mcofa.cost.population import PopulationCosts
from mcofa.cost.stages import BlockMemory, block_memories, combined
from mcofa.engines.tflm import Target
from mcofa.errors import BudgetError, McofaError
from mcofa.files.atomic import write_atomic
from mcofa.space.search_space import Activation, Head, SearchSpace, Stage, Stem, space_names

Limit = Literal["arena", "flash", "narrowest", "widest"]

KERNEL_SIZES = (3, 5)
EXPAND_RATIOS = (1, 2, 4)
DEPTHS = (1, 2, 3)
WIDTH_STEP = 8
WIDEST = 512
_SMALLEST_SIDE = 8
_LAST_SIDE = 3
_UNSTRIDED_STEM_SIDE = 40
_UNSTRIDED_FIRST_STAGE_SIDE = 16
_HARD_SWISH_SIDE = 8
_LEVEL_STEP_BYTES = 64
_SAMPLED_ARCHS = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACTIVATIONS: dict[bool, Activation] = {False: "relu", True: "hard_swish"}


@dataclass(frozen=True, slots=True)
class DataShape:
    """Rows, columns and channels of the images that the networks read."""

    rows: int
    columns: int
    channels: int

    @classmethod
    def parse(cls, text: str) -> DataShape:
        """Read ``28x28x1``.

        Raises:
            ValueError: not three positive whole numbers with x between them.
        """
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
        if match is None:
            raise ValueError(f"{text!r} is no ROWSxCOLUMNSxCHANNELS, such as 28x28x1")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.channels}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many times a board's budgets the extreme subnets of a space may take."""

    largest_arena: float
    largest_flash: float
    smallest: float


ALLOWANCES = (Allowance(1.5, 1.0, 0.5), Allowance(2.0, 1.5, 0.75), Allowance(3.0, 2.0, 0.85))
"""Tried in this order; the later ones are for boards that hold no more than small subnets.

In the first most subnets fit, as a random one takes about 0.6 of the largest's arena.
"""


@dataclass(frozen=True, slots=True)
class DesignedStage:
    """A stage of a designed space: its share of the largest subnet, and what kept it from being wider.

    ``side`` is that of its output; ``head_bytes`` + ``tail_bytes`` is its contribution to the arena.
    """

    width: int
    stride: int
    side: int
    head_bytes: int
    tail_bytes: int
    flash_bytes: int
    limit: Limit

    @property
    def arena_bytes(self) -> int:
        """Its contribution to the arena."""
        return self.head_bytes + self.tail_bytes


@dataclass(frozen=True, slots=True)
class DesignReport:
    """What was designed, on what assumptions, and what the extreme subnets cost on the board.

    ``level_bytes`` is the contribution of the fullest stage; ``fitting_fraction`` is the part of
    random archs that fits the board.
    """

    space: SearchSpace
    board: str
    arena_budget_bytes: int
    model_budget_bytes: int
    allowance: Allowance
    stages: tuple[DesignedStage, ...]
    smallest: Cost
    largest: Cost
    fitting_fraction: float
    assumptions: tuple[str, ...]

    @property
    def level_bytes(self) -> int:
        """The contribution of the fullest stage."""
        return max(stage.arena_bytes for stage in self.stages)

    def to_json(self) -> dict[str, object]:
        """Return the report as plain data; flash bytes include what the board reserves."""
        return {
            "space": self.space.model_dump(mode="json"),
            "archs": self.space.count(),
            "board": self.board,
            "arena_budget_bytes": self.arena_budget_bytes,
            "model_budget_bytes": self.model_budget_bytes,
            "allowance": asdict(self.allowance),
            "level_bytes": self.level_bytes,
            "stages": [{**asdict(stage), "arena_bytes": stage.arena_bytes} for stage in self.stages],
            **{
                name: {
                    "arena_bytes": found.arena_bytes,
                    "flash_bytes": found.flash_bytes,
                    "model_bytes": found.model_bytes,
                    "macs": found.macs,
                }
                for name, found in (("smallest", self.smallest), ("largest", self.largest))
            },
            "fitting_fraction": self.fitting_fraction,
            "assumptions": list(self.assumptions),
        }


def design_space(
    board: Board,
    data: DataShape,
    classes: int,
    resolutions: Sequence[int] = (),
    name: str | None = None,
) -> DesignReport:
    """Design the memory-constant space of ``board`` for images of shape ``data``.

    Without ``resolutions`` the networks read images of ``data``'s shorter side.

    Raises:
        BudgetError: even the smallest subnet of the narrowest space exceeds the board's memory.
        McofaError: the name or a resolution cannot be used.
    """
    sides = tuple(sorted(set(resolutions))) or (min(data.rows, data.columns),)
    if sides[0] < _SMALLEST_SIDE:
        raise McofaError(
            f"resolution {sides[0]} is below {_SMALLEST_SIDE} pixels, the least that stages can halve",
            f"give --resolution {_SMALLEST_SIDE} or more",
        )
    if classes < 2:
        raise McofaError(f"{classes} classes: a classifier needs at least 2", "give --classes 2 or more")
    name = name or f"mcofa-{board.name}-{sides[-1]}"
    if _NAME.fullmatch(name) is None or name in space_names():
        raise McofaError(
            f"{name!r} cannot name a new space (letters, digits, dot, dash, underscore; "
            f"not one of {', '.join(space_names())})",
            "give another --name",
        )
    return _Designer(board, _skeleton(name, board, data, classes, sides)).design()


def write_space(report: DesignReport, path: Path) -> None:
    """Write the designed space as a file that ``load_space`` reads, its assumptions as comments.

    Raises:
        McofaError: the path does not end in ``.yaml``.
        DiskWriteError: the operating system refused to write.
    """
    if path.suffix != ".yaml":
        raise McofaError(f"{path} does not end in .yaml, as a space file must", f"--out {path}.yaml")
    write_atomic(path, space_yaml(report).encode())


def space_yaml(report: DesignReport) -> str:
    """Return the text of the space file."""
    space = report.space
    comments = [f"Made by mcofa design-space for {report.board}: what it assumed."]
    comments += report.assumptions
    comments += [
        f"The {which} subnet: arena {found.arena_bytes:,} B, model {found.model_bytes:,} B, "
        f"{found.macs / 1e6:.2f} M MACs."
        for which, found in (("smallest", report.smallest), ("largest", report.largest))
    ]
    comments += [
        f"Stage {number}: {stage.arena_bytes:,} B of arena, {stage.flash_bytes:,} B of flash (held by "
        f"{stage.limit}) in the largest subnet."
        for number, stage in enumerate(report.stages, 1)
    ]
    plain = space.model_dump(mode="json", exclude={"stem", "stages", "head", "coupled", "global_average"})
    lines = [f"# {line}" for line in comments]
    lines += [f"{key}: {_flow(value)}" for key, value in plain.items()]
    lines += [f"stem: {_flow(space.stem.model_dump())}", "stages:"]
    lines += [f"  - {_flow(stage.model_dump(exclude_none=True))}" for stage in space.stages]
    lines += [f"head: {_flow(space.head.model_dump())}"]
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    """One YAML value on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=1_000_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("...\n").strip()


def _skeleton(
    name: str, board: Board, data: DataShape, classes: int, resolutions: tuple[int, ...]
) -> SearchSpace:
    """The space with every stage at its narrowest: all that follows from the images."""
    side = resolutions[-1]
    stem_stride: Literal[1, 2] = 1 if side <= _UNSTRIDED_STEM_SIDE else 2
    side = _strided(side, stem_stride)
    stages: list[Stage] = []
    stride: Literal[1, 2] = 1 if side <= _UNSTRIDED_FIRST_STAGE_SIDE else 2
    while not stages or _strided(side, 2) >= _LAST_SIDE:
        late = side <= _HARD_SWISH_SIDE
        stages.append(
            Stage(width=WIDTH_STEP, stride=stride, activation=_ACTIVATIONS[late], squeeze_excite=late)
        )
        side, stride = _strided(side, stride), 2
    return _with_widths(
        SearchSpace(
            name=name,
            title=f"Memory-constant space for {data} images on {board.name}",
            input_channels=data.channels,
            classes=classes,
            padding="same",
            resolutions=resolutions,
            kernel_sizes=KERNEL_SIZES,
            expand_ratios=EXPAND_RATIOS,
            depths=DEPTHS,
            stem=Stem(
                width=1,
                stride=stem_stride,
                activation="relu",
                first_block_width=1,
                first_block_activation="relu",
            ),
            stages=tuple(stages),
            head=Head(final_expand_width=1, feature_width=1, activation="hard_swish"),
        ),
        (WIDTH_STEP,) * len(stages),
    )


def _strided(side: int, stride: int) -> int:
    return -(-side // stride)


def _first_block_width(first_stage_width: int) -> int:
    """A third of the first stage's width, as in the paper (8 and 24), at least 8.

    Expanding it fourfold at twice the side takes less than the blocks behind it, if they are 24 wide or more.
    """
    return max(WIDTH_STEP, first_stage_width // 3 // WIDTH_STEP * WIDTH_STEP)


def _with_widths(space: SearchSpace, widths: tuple[int, ...]) -> SearchSpace:
    """Set the stages' widths, and stem and head in proportion to them; the head's is that of mcofa-micro."""
    first, last = _first_block_width(widths[0]), widths[-1]
    stages = (
        stage.model_copy(update={"width": width}) for stage, width in zip(space.stages, widths, strict=True)
    )
    return space.model_copy(
        update={
            "stem": space.stem.model_copy(update={"width": first // 2, "first_block_width": first}),
            "stages": tuple(stages),
            "head": space.head.model_copy(update={"final_expand_width": 2 * last, "feature_width": last}),
        }
    )


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
        side = _strided(skeleton.resolutions[-1], skeleton.stem.stride)
        self._sides = [side]
        for stage in skeleton.stages:
            self._sides.append(_strided(self._sides[-1], stage.stride))
        self._space = functools.cache(functools.partial(_with_widths, skeleton))
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
        input_width = before[s - 1] if s else _first_block_width(width)
        stage = self._skeleton.stages[s].model_copy(update={"width": width})
        return _stage_memory(stage, input_width, self._sides[s], self._target)

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
            assumptions=_assumptions(space, self._board, self._model_budget_bytes, allowance, self._sides),
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
            side=self._sides[s + 1],
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
            f"{self._board.name} is too small for {self._skeleton.resolutions[-1]} pixels and "
            f"{self._skeleton.classes} classes: at width {WIDTH_STEP} the smallest subnet needs an arena of "
            f"{smallest.arena_bytes:,} B and a model of {smallest.model_bytes:,} B, the largest "
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


@functools.lru_cache(maxsize=4096)
def _stage_memory(stage: Stage, input_width: int, side: int, on: Target) -> BlockMemory:
    """What the stage takes in the largest subnet, from a trial space that holds nothing else."""
    trial = SearchSpace(
        name="trial",
        title="One stage behind the narrowest stem",
        input_channels=1,
        classes=2,
        padding="same",
        resolutions=(side,),
        kernel_sizes=KERNEL_SIZES,
        expand_ratios=EXPAND_RATIOS,
        depths=DEPTHS,
        stem=Stem(
            width=1,
            stride=1,
            activation="relu",
            first_block_width=input_width,
            first_block_activation="relu",
        ),
        stages=(stage,),
        head=Head(final_expand_width=1, feature_width=1, activation="relu"),
    )
    blocks = block_memories(trial, trial.largest(), on)
    return combined(memory for (number, _), memory in blocks.items() if number == 0)


def _fitting_fraction(space: SearchSpace, board: Board) -> float:
    """The part of random archs that fits the board, by the lower bound of their arenas."""
    found = PopulationCosts(space, board).evaluate(space.sample(_SAMPLED_ARCHS, np.random.default_rng(0)))
    fits = (found.arena_bytes <= board.arena_budget_bytes) & (found.flash_bytes <= board.flash_budget_bytes)
    return float(fits.mean())


def _assumptions(
    space: SearchSpace, board: Board, model_budget_bytes: int, allowance: Allowance, sides: Sequence[int]
) -> tuple[str, ...]:
    return (
        f"Budgets: arena {board.arena_budget_bytes:,} B, model {model_budget_bytes:,} B; "
        f"{board.core}, {board.kernels} kernels, int8.",
        f"The largest subnet may take {allowance.largest_arena:g} times the arena and "
        f"{allowance.largest_flash:g} times the flash, the smallest {allowance.smallest:g} times both.",
        f"Image sides: {space.resolutions[-1]}, stem {sides[0]}, stages {_listed(sides[1:])}. The stem "
        f"halves images of more than {_UNSTRIDED_STEM_SIDE} pixels, stage 1 those of more than "
        f"{_UNSTRIDED_FIRST_STAGE_SIDE}, every later stage halves until the next would be below "
        f"{_LAST_SIDE} pixels.",
        f"Depths {_listed(DEPTHS)}; expand ratios {_listed(EXPAND_RATIOS)}; "
        f"kernel sizes {_listed(KERNEL_SIZES)}; widths are multiples of {WIDTH_STEP}.",
        f"Hard-swish and squeeze-excite in stages that read {_HARD_SWISH_SIDE} pixels or less a side; "
        "ReLU, which costs no memory, before.",
        f"First block: a third of stage 1's width, at least {WIDTH_STEP}; stem: half the first block's, so "
        "that no shortcut keeps its input; final expand: twice the last stage's; feature mix: the last "
        "stage's.",
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)

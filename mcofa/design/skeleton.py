"""What of a designed space follows from the images alone: everything but the widths.

Kernel sizes, expand ratios, depths and stem are those of mcofa-micro, chosen by what was
measured for it (docs/training.md). A stem of stride 1 made small images more accurate. It costs,
where stage 1 is narrow, 12 bytes a pixel of the image in the smallest subnet and 40 in the
largest: 9 and 31 kB at 28 pixels, 19 and 64 kB at 40, but 28 and 92 kB at 48 and 111 and 369 kB
at 96. So the stem halves images of more than 40 pixels; 48, 64, 96 and 128 are then 24, 32, 48
and 64 behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mcofa.space.blocks import Activation
from mcofa.space.resolution import Resolution, Size, size_of
from mcofa.space.search_space import SearchSpace
from mcofa.space.stage_table import Head, Stage, Stem

KERNEL_SIZES = (3, 5)
EXPAND_RATIOS = (1, 2, 4)
DEPTHS = (1, 2, 3)
WIDTH_STEP = 8
SMALLEST_SIDE = 8
LAST_SIDE = 3
UNSTRIDED_STEM_SIDE = 40
UNSTRIDED_FIRST_STAGE_SIDE = 16
HARD_SWISH_SIDE = 8
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


def narrowest_space(
    name: str, title: str, data: DataShape, classes: int, resolutions: tuple[Resolution, ...]
) -> SearchSpace:
    """Return the space with every stage at its narrowest: all that follows from the images."""
    size = size_of(resolutions[-1])
    stem_stride: Literal[1, 2] = 1 if max(size) <= UNSTRIDED_STEM_SIDE else 2
    size = strided(size, stem_stride)
    stages: list[Stage] = []
    stride: Literal[1, 2] = 1 if max(size) <= UNSTRIDED_FIRST_STAGE_SIDE else 2
    while not stages or min(strided(size, 2)) >= LAST_SIDE:
        late = min(size) <= HARD_SWISH_SIDE
        stages.append(
            Stage(width=WIDTH_STEP, stride=stride, activation=_ACTIVATIONS[late], squeeze_excite=late)
        )
        size, stride = strided(size, stride), 2
    return with_widths(
        SearchSpace(
            name=name,
            title=title,
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


def strided(size: Size, stride: int) -> Size:
    """Return the size of what a convolution of that stride puts out, padded to keep the size."""
    height, width = size
    return -(-height // stride), -(-width // stride)


def stage_sizes(space: SearchSpace) -> list[Size]:
    """Return the size of what the stem puts out, then of what each stage does, at the largest resolution."""
    sizes = [strided(size_of(space.resolutions[-1]), space.stem.stride)]
    for stage in space.stages:
        sizes.append(strided(sizes[-1], stage.stride))
    return sizes


def first_block_width(first_stage_width: int) -> int:
    """Return a third of the first stage's width, as in the paper (8 and 24), at least 8.

    Expanding it fourfold at twice the side takes less than the blocks behind it, if they are 24 wide or more.
    """
    return max(WIDTH_STEP, first_stage_width // 3 // WIDTH_STEP * WIDTH_STEP)


def with_widths(space: SearchSpace, widths: tuple[int, ...]) -> SearchSpace:
    """Set the stages' widths, and stem and head in proportion to them; the head's is that of mcofa-micro."""
    first, last = first_block_width(widths[0]), widths[-1]
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

"""What one stage takes, looked at alone."""

from __future__ import annotations

import functools

from mcofa.cost.stages import BlockMemory, block_memories, combined
from mcofa.design.skeleton import DEPTHS, EXPAND_RATIOS, KERNEL_SIZES
from mcofa.engines.tflm import Target
from mcofa.space.resolution import Resolution
from mcofa.space.search_space import SearchSpace
from mcofa.space.stage_table import Head, Stage, Stem


@functools.lru_cache(maxsize=4096)
def stage_memory(stage: Stage, input_width: int, resolution: Resolution, on: Target) -> BlockMemory:
    """Return what the stage takes in the largest subnet, from a trial space that holds nothing else."""
    trial = SearchSpace(
        name="trial",
        title="One stage behind the narrowest stem",
        input_channels=1,
        classes=2,
        padding="same",
        resolutions=(resolution,),
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

"""How much computing a training run takes, in multiply-accumulates (MACs).

Training an arch on an image costs three times the MACs of its forward pass (the backward pass
multiplies twice as much), a teacher's answer costs them once. Batch norm, activations and the
optimizer are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcofa.cost.peak_items import macs
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.training.config import Step, TrainConfig
from mcofa.supernet.training.recipes import draw_archs, teaching_arch
from mcofa.supernet.training.schedule import allowed_archs, schedule

_PASSES_OF_TRAINING = 3


def step_macs(space: SearchSpace, step: Step, archs: Sequence[Arch]) -> int:
    """Return the MACs that one image costs in a training step with these archs."""
    trained = _PASSES_OF_TRAINING * int(macs(space, space.encode(list(archs))).sum())
    if step in ("sandwich", "teacher"):
        return trained
    return trained + int(macs(space, space.encode([teaching_arch(space, archs)]))[0])


def planned_macs(config: TrainConfig, space: SearchSpace, train_images: int, sampled_steps: int = 200) -> int:
    """Estimate the MACs of a whole run from ``sampled_steps`` steps of each phase."""
    total = 0
    for index, phase in enumerate(config.phases):
        allowed = allowed_archs(space, config, index)
        steps = [
            step_macs(space, phase.step, draw_archs(allowed, phase, np.random.default_rng((index, step))))
            for step in range(sampled_steps)
        ]
        images = schedule(config, phase, train_images).steps * config.batch_size
        total += round(images * sum(steps) / sampled_steps)
    return total

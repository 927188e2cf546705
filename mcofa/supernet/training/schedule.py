"""When a phase trains what: its part of the space, its steps, and the learning rate of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mcofa.errors import McofaError
from mcofa.space.resolution import size_of
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.training.config import Phase, TrainConfig

_IMAGES_PER_BASE_LEARNING_RATE = 64


def check_recipe(config: TrainConfig, space: SearchSpace) -> None:
    """Refuse a recipe that would leave an option of the space untrained, or train one it lacks.

    Raises:
        McofaError: progressive shrinking of a coupled space with a step expand, or of another without;
            or images shifted out of themselves.
    """
    side = min(size_of(space.resolutions[0]))
    if config.shift_pixels >= side:
        raise McofaError(
            f"shift_pixels {config.shift_pixels} would shift images of {space.name}, "
            f"the smallest {side} pixels wide, out of themselves",
            f"lower shift_pixels below {side}; 1 to an eighth of the width is usual",
        )
    if not space.expands.any():
        return
    steps = {phase.step for phase in config.phases}
    if "sandwich" in steps or ("expand" in steps) != space.coupled:
        return
    if space.coupled:
        raise McofaError(
            f"the space {space.name} couples expand ratios to depths, which its step depth trains together",
            "remove the phases of step expand from the configuration",
        )
    raise McofaError(
        f"the configuration has no step expand, so {space.name} would keep untrained expand ratios",
        "add the phases of step expand, as in configs/ofa.yaml",
    )


def allowed_archs(space: SearchSpace, config: TrainConfig, index: int) -> SearchSpace:
    """Return the part of the space that a phase trains.

    Options grow from the largest down, kernel sizes first, then depths, then expand ratios; the
    n-th phase of a step adds the n-th smaller one, its last phase all that are left (Cai et al.,
    arXiv 1908.09791, section 3.2; train_ofa_net.py in mit-han-lab/once-for-all at f03b267). A
    coupled space opens depths and expand ratios together and at once (CompOFA, arXiv 2104.12642;
    task ``compound`` in train_ofa_net.py of gatech-sysml/CompOFA at 6b53946).
    """
    phase = config.phases[index]
    if phase.step == "sandwich" or (space.coupled and phase.step == "depth"):
        return space
    last = index + 1 == len(config.phases) or config.phases[index + 1].step != phase.step
    grown = None if last else phase.phase + 1
    depths = {"depth": grown, "expand": None}.get(phase.step, 1)
    expands = {"expand": grown}.get(phase.step, 1)
    options = {
        "depths": space.depths[-(depths or len(space.depths)) :],
        "expand_ratios": space.expand_ratios[-(expands or len(space.expand_ratios)) :],
    }
    return SearchSpace.model_validate(space.model_dump() | options)


@dataclass(frozen=True)
class Schedule:
    """The steps of one phase: linear warm-up, then a cosine to zero."""

    steps_per_epoch: int
    warmup_steps: int
    steps: int
    peak_learning_rate: float

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.peak_learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def epoch_ends_at(self, step: int) -> bool:
        """Return whether the first ``step`` steps end an epoch, or the phase."""
        return step == self.steps or step % self.steps_per_epoch == 0


def schedule(config: TrainConfig, phase: Phase, train_images: int) -> Schedule:
    """Return the schedule of a phase on a data set.

    Warm-up comes on top of ``epochs``, as in the published scheme. The peak is the phase's base
    learning rate for every 64 images of the batch (linear scaling, Goyal et al., arXiv 1706.02677).
    """
    steps_per_epoch = train_images // config.batch_size
    warmup = round(phase.warmup_epochs * steps_per_epoch)
    return Schedule(
        steps_per_epoch,
        warmup,
        warmup + max(1, round(phase.epochs * steps_per_epoch)),
        phase.base_learning_rate * config.batch_size / _IMAGES_PER_BASE_LEARNING_RATE,
    )

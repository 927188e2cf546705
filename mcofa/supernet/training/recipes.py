"""What one training step does with a batch: which archs it trains, and what they learn from.

Both recipes add up the gradients of several subnets before an update, as the published code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional

from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.training.config import Phase

# Gives the logits of an arch for the present micro-batch, at the arch's resolution.
Forward = Callable[[Arch], Tensor]


def draw_archs(allowed: SearchSpace, phase: Phase, rng: np.random.Generator) -> list[Arch]:
    """Draw the archs of one step from the part of the space that the phase allows.

    Step ``sandwich`` takes the largest, the smallest and random ones, each at its own resolution.
    A random one is the largest or the smallest, by turns, with a random share of its options drawn
    anew: drawn all at once, options would hardly ever make a small subnet.
    The other steps take one resolution a step, ``teacher`` for the largest arch, the rest for random ones.
    """
    if phase.step == "sandwich":
        ends = allowed.encode([allowed.largest(), allowed.smallest()])
        count = phase.subnets - 2
        first = rng.integers(2) if count % 2 else 0
        between = [
            allowed.mutate(ends[[number % 2]], rng.random(), rng)[0] for number in range(first, first + count)
        ]
        return [allowed.largest(), allowed.smallest(), *map(allowed.decode, between)]
    resolution = allowed.resolutions[int(rng.choice(len(allowed.resolutions)))]
    drawn = (
        [allowed.largest()]
        if phase.step == "teacher"
        else [allowed.decode(genome) for genome in allowed.sample(phase.subnets, rng)]
    )
    return [replace(arch, resolution=resolution) for arch in drawn]


def teaching_arch(space: SearchSpace, archs: Sequence[Arch]) -> Arch:
    """Return the largest arch at the resolution of the step's archs."""
    return replace(space.largest(), resolution=archs[0].resolution)


def learn_from_the_largest(
    forward: Forward, archs: Sequence[Arch], targets: Tensor, label_smoothing: float, share: float
) -> tuple[Tensor, Tensor]:
    """Train the first arch on the labels and the others on its answers, by backward passes.

    In-place distillation after Yu et al., BigNAS (arXiv 2003.11142). ``share`` scales the gradients.
    Returns the first arch's logits and its loss.
    """
    logits = forward(archs[0])
    loss = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    (share * loss).backward()
    answers = logits.detach().softmax(1)
    for arch in archs[1:]:
        (share * functional.cross_entropy(forward(arch), answers)).backward()
    return logits.detach(), loss.detach()


def learn_from_the_teacher(
    forward: Forward,
    archs: Sequence[Arch],
    targets: Tensor,
    label_smoothing: float,
    share: float,
    answers: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Train every arch on the labels and on a teacher's ``answers`` (probabilities), if there is one.

    The two cross-entropies add up (``kd_ratio`` 1, ``kd_type`` ce in train_ofa_net.py of
    mit-han-lab/once-for-all at f03b267). ``share`` scales the gradients. Returns the logits of the
    first arch and its loss on the labels.
    """
    shown = []
    for arch in archs:
        logits = forward(arch)
        loss = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
        total = loss if answers is None else loss + functional.cross_entropy(logits, answers)
        (share * total).backward()
        shown.append((logits.detach(), loss.detach()))
    return shown[0]

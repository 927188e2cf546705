"""Which archs of a checkpoint have been trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mcofa.errors import FileFormatError, InvalidArchError
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.network.checkpoint import Header
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.schedule import allowed_archs


def check_trained(checkpoint: Path, header: Header, arch: Arch) -> None:
    """Refuse an arch that training has not come to; imported weights are taken for trained.

    Options are trained from the largest down: where the smallest arch is, all are.

    Raises:
        FileFormatError: the checkpoint's phase is not finished, or does not train the arch.
    """
    if header.config is None:
        return
    if not header.is_finished:
        raise FileFormatError(
            checkpoint,
            f"training stopped at step {header.step} of the phase {header.phase}",
            "finish it: the same `mcofa train` command goes on from there",
        )
    if not _trains(header.space, header.config, header.phase, arch):
        raise FileFormatError(
            checkpoint,
            f"holds the phase {header.phase}, which does not train the arch {arch}",
            f"take the checkpoint of the last phase, {header.config.phase_names[-1]}; `mcofa train` makes it",
        )


def _trains(space: SearchSpace, config: TrainConfig, phase: str, arch: Arch) -> bool:
    index = config.phase_names.index(phase)
    if config.phases[index].step == "teacher":
        return replace(space.largest(), resolution=arch.resolution) == arch
    try:
        allowed_archs(space, config, index).check(arch)
    except InvalidArchError:
        return False
    return True

"""The checkpoints of a run's phases: where they are, which to resume, and which to start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.network.checkpoint import Header, load_checkpoint
from mcofa.supernet.training.config import Phase, TrainConfig

State = tuple[Header, dict[str, Tensor]]


@dataclass(frozen=True)
class PhaseFiles:
    """The checkpoints of one run; ``checkpoint`` is the last phase's, the others lie beside it."""

    config: TrainConfig
    space: SearchSpace
    checkpoint: Path

    def path(self, index: int) -> Path:
        """Return where a phase's checkpoint is: OUT.safetensors, or OUT-depth-1.safetensors."""
        if index == len(self.config.phases) - 1:
            return self.checkpoint
        name = self.config.phases[index].name
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-{name}{self.checkpoint.suffix}")

    def is_finished(self, index: int) -> bool:
        """Return whether a phase has been trained to its end.

        Raises:
            FileFormatError: its checkpoint is damaged or belongs to another run.
        """
        return self.path(index).exists() and self._read(index)[0].is_finished

    def unfinished(self, index: int) -> State | None:
        """Return what a phase can be resumed from; None when it has not been started.

        Raises:
            FileFormatError: its checkpoint is damaged, belongs to another run, or is finished.
        """
        if not self.path(index).exists():
            return None
        header, tensors = self._read(index)
        if header.is_finished:
            raise FileFormatError(
                self.path(index),
                f"training is already finished ({header.step} steps)",
                "choose another --out, or move that file away",
            )
        return header, tensors

    def finished(self, index: int) -> State:
        """Return the end of a phase that another one starts or learns from.

        Raises:
            MissingFileError: it has not been trained.
            FileFormatError: it is not finished, damaged, or belongs to another run.
        """
        path, phase = self.path(index), self.config.phases[index]
        step = f"train it first: the same command with {_options(phase)}"
        if not path.exists():
            raise MissingFileError(path, f"checkpoint of the phase {phase.name}", step)
        header, tensors = self._read(index)
        if not header.is_finished:
            raise FileFormatError(path, f"phase {phase.name} stopped at step {header.step}", step)
        return header, tensors

    def _read(self, index: int) -> State:
        path = self.path(index)
        header, tensors = load_checkpoint(path)
        if header.config is None:
            raise FileFormatError(
                path, f"holds weights imported from {header.origin}", "choose another --out"
            )
        ours, theirs = self.config.settings(index), header.config.settings(index)
        different = _differences(_keys(header.space), _keys(self.space))
        if header.space.name != self.space.name:
            different = [f"space ({header.space.name} there, {self.space.name} here)"]
        different += _differences(theirs, ours)
        if different:
            raise FileFormatError(
                path,
                f"belongs to a run with another configuration: {', '.join(different)}",
                "choose another --out, or move that file away",
            )
        if header.phase != self.config.phases[index].name:
            raise FileFormatError(
                path,
                f"holds the phase {header.phase}, not {self.config.phases[index].name}",
                "choose another --out",
            )
        return header, tensors


def _differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return the keys whose values differ, with both."""
    return [
        f"{key} ({there.get(key, 'nothing')} there, {here.get(key, 'nothing')} here)"
        for key in {**here, **there}
        if here.get(key) != there.get(key)
    ]


def _keys(space: SearchSpace) -> dict[str, Any]:
    """Return the values of a space by their full names, such as ``space.stages.0.width``."""
    values: dict[str, Any] = {"space": space.model_dump(mode="json")}
    while nested := [key for key, value in values.items() if _is_nested(value)]:
        for key in nested:
            value = values.pop(key)
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            values.update({f"{key}.{name}": part for name, part in parts})
    return values


def _is_nested(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def _options(phase: Phase) -> str:
    """Return the options of `mcofa train` that name a phase."""
    numbered = "" if phase.step == "teacher" else f" --phase {phase.phase}"
    return f"`--step {phase.step}{numbered}`"

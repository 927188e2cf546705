"""Training configurations, read from YAML."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from mcofa.errors import MissingFileError
from mcofa.files.yaml_file import read_model
from mcofa.space.fit import Fit

Step = Literal["sandwich", "teacher", "kernel", "depth", "expand"]
_UNNUMBERED = ("sandwich", "teacher")
_SHRINKING = ["teacher", "kernel", "depth", "expand"]


def phase_name(step: str, number: int) -> str:
    """Return the step, with the number of the phase where a step may have several."""
    return step if step in _UNNUMBERED and number == 1 else f"{step}-{number}"


class Phase(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One phase of training: which step of the recipe it is, how long, how fast."""

    step: Step
    phase: int = pydantic.Field(default=1, ge=1)
    epochs: float = pydantic.Field(gt=0)
    warmup_epochs: float = pydantic.Field(ge=0)
    base_learning_rate: float = pydantic.Field(gt=0)
    subnets: int = pydantic.Field(ge=1)

    @pydantic.model_validator(mode="after")
    def _sandwich_has_two_sides(self) -> Phase:
        if self.step == "sandwich" and self.subnets < 2:
            raise ValueError("step sandwich trains the largest and the smallest: subnets must be at least 2")
        return self

    @property
    def name(self) -> str:
        """What the phase is called in files and messages."""
        return phase_name(self.step, self.phase)


class TrainConfig(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One training run; ``configs/mcofa-micro.yaml`` and ``configs/ofa.yaml`` explain each key."""

    space: str
    data: str
    seed: int = pydantic.Field(ge=0, lt=2**63)
    batch_size: int = pydantic.Field(gt=1)
    micro_batch_size: int = pydantic.Field(gt=1)
    mixed_precision: bool
    momentum: float = pydantic.Field(ge=0, lt=1)
    weight_decay: float = pydantic.Field(ge=0)
    label_smoothing: float = pydantic.Field(ge=0, lt=1)
    max_gradient_norm: float | None = pydantic.Field(gt=0)
    flip: bool
    shift_pixels: int = pydantic.Field(ge=0)
    crop_area: float | None = pydantic.Field(gt=0, le=1)
    fit: Fit = "crop"
    phases: tuple[Phase, ...]

    @pydantic.model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> TrainConfig:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _random_crops_are_crops(self) -> TrainConfig:
        if self.crop_area is not None and self.fit != "crop":
            raise ValueError(f"fit {self.fit} with crop_area: random parts of images are crops")
        return self

    @pydantic.field_validator("phases")
    @classmethod
    def _phases_follow_a_recipe(cls, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        grouped = [
            (step, [phase.phase for phase in of_step])
            for step, of_step in itertools.groupby(phases, key=lambda phase: phase.step)
        ]
        if [step for step, _ in grouped] not in (["sandwich"], _SHRINKING[:3], _SHRINKING):
            raise ValueError(
                "must be one of step sandwich, or those of teacher, kernel, depth and expand in this order "
                "(a coupled space has no step expand)"
            )
        for step, numbers in grouped:
            expected = [1] if step in _UNNUMBERED else list(range(1, len(numbers) + 1))
            if numbers != expected:
                raise ValueError(f"step {step} has the phases {numbers}, expected {expected}")
        return phases

    @property
    def phase_names(self) -> tuple[str, ...]:
        """The names of the phases, in order."""
        return tuple(phase.name for phase in self.phases)

    def settings(self, phase_index: int) -> dict[str, Any]:
        """Return every value that the weights after a phase depend on, except the space, by its name."""
        values = self.model_dump(exclude={"space", "phases"})
        for phase in self.phases[: phase_index + 1]:
            for key, value in phase.model_dump(exclude={"step", "phase"}).items():
                values[f"{phase.name}.{key}"] = value
        return values


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: a key is unknown, missing, twice there, or has a bad value.
    """
    step = "compare it with configs/mcofa-micro.yaml, which explains every key"
    if not path.exists() or path.is_dir():
        raise MissingFileError(
            path, "training configuration", "the ones that come with mcofa are in configs/"
        )
    return read_model(path, TrainConfig, step, _name_of)


def _name_of(element: Any) -> str:
    """Return the name of a phase as a file may hold it, if its step is one."""
    if isinstance(element, dict) and element.get("step") in get_args(Step):
        return phase_name(element["step"], element.get("phase", 1))
    return ""

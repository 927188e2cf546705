"""Training configurations, read from YAML."""

from __future__ import annotations

from pathlib import Path

import pydantic
import yaml

from mcofa.errors import FileFormatError, MissingFileError


class TrainConfig(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One training run; ``configs/mcofa-micro.yaml`` explains each key."""

    space: str
    data: str
    epochs: int = pydantic.Field(gt=0)
    batch_size: int = pydantic.Field(gt=1)
    seed: int = pydantic.Field(ge=0)
    random_subnets: int = pydantic.Field(ge=0)
    learning_rate: float = pydantic.Field(gt=0)
    warmup_steps: int = pydantic.Field(ge=0)
    momentum: float = pydantic.Field(ge=0, lt=1)
    weight_decay: float = pydantic.Field(ge=0)
    label_smoothing: float = pydantic.Field(ge=0, lt=1)
    max_gradient_norm: float = pydantic.Field(gt=0)
    flip: bool
    shift_pixels: int = pydantic.Field(ge=0)


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: a key is unknown, missing or has a bad value.
    """
    step = "compare it with configs/mcofa-micro.yaml, which explains every key"
    if not path.is_file():
        raise MissingFileError(
            path, "training configuration", "the ones that come with mcofa are in configs/"
        )
    try:
        return TrainConfig.model_validate(yaml.safe_load(path.read_bytes()))
    except yaml.YAMLError as error:
        raise FileFormatError(path, f"not YAML: {error}", step) from error
    except pydantic.ValidationError as error:
        raise FileFormatError(
            path,
            "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()),
            step,
        ) from error

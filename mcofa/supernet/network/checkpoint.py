"""Checkpoints: tensors and a JSON header in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mcofa.errors import FileFormatError
from mcofa.files.atomic import atomic_path
from mcofa.files.read import require_file
from mcofa.space.fit import Fit
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.training.config import TrainConfig

_HEADER_KEY = "mcofa"
MOMENTUM = "momentum."


class Header(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What a checkpoint says of itself.

    ``config`` is that of the training run and ``phase`` the part of it that has come so far; imported
    weights have neither, ``origin`` names their file. ``step`` counts the steps of the phase;
    ``seconds`` and ``training_macs`` (see ``training_compute``) are those of the run up to here.
    """

    space: SearchSpace
    config: TrainConfig | None = None
    phase: str = ""
    origin: str = ""
    step: int
    seconds: float
    training_macs: int = 0
    mcofa_version: str
    torch_version: str
    hardware: str
    validation_top1_percent: dict[str, float]

    @property
    def is_finished(self) -> bool:
        """Whether the phase was trained to its end: only then its accuracy is measured."""
        return bool(self.validation_top1_percent)

    @property
    def data(self) -> str:
        """The data set that the training run names.

        Raises:
            FileFormatError: the weights were imported, so no data set is known.
        """
        if self.config is None:
            raise FileFormatError(
                self.origin,
                "imported weights, which name no data set",
                "name one, as in `mcofa evaluate CHECKPOINT --data FOLDER`",
            )
        return self.config.data

    @property
    def fit(self) -> Fit:
        """How images of another shape were fitted in training; imported weights are taken to know crops."""
        return "crop" if self.config is None else self.config.fit


def save_checkpoint(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={_HEADER_KEY: header.model_dump_json()})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_checkpoint(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Read a checkpoint.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is truncated, damaged, or not one of mcofa's.
    """
    step = "train it again with `mcofa train`, or take the one that comes with mcofa in zoo/"
    require_file(path, "checkpoint", step)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FileFormatError(
            path, f"truncated or damaged checkpoint ({path.stat().st_size:,} B): {error}", step
        ) from error
    if _HEADER_KEY not in metadata:
        raise FileFormatError(path, "a safetensors file, but not a checkpoint of mcofa", step)
    try:
        return Header.model_validate(json.loads(metadata[_HEADER_KEY])), tensors
    except (ValueError, pydantic.ValidationError) as error:
        raise FileFormatError(path, f"checkpoint with an unreadable header: {error}", step) from error


def weights_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's weights without the optimizer's momentum."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(MOMENTUM)}


def load_supernet(path: Path) -> tuple[Header, Supernet]:
    """Read a checkpoint and rebuild its supernet.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged, or its weights do not fit its space.
    """
    header, tensors = load_checkpoint(path)
    supernet = Supernet(header.space)
    try:
        supernet.load_state_dict(weights_of(tensors))
    except RuntimeError as error:
        raise FileFormatError(
            path,
            f"weights do not fit the space {header.space.name}: {error}",
            "train it again with `mcofa train`",
        ) from error
    return header, supernet


def load_supernet_of(space_name: str, space_fingerprint: str, path: Path) -> tuple[Header, Supernet]:
    """Read a checkpoint that must hold the space that was, or is being, searched.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged, or of another space.
    """
    require_file(
        path,
        f"supernet of {space_name}",
        "name one with --checkpoint; make one with `mcofa train`, or with `mcofa import-ofa` from "
        "published weights (these name no images: add --data to a search)",
    )
    header, supernet = load_supernet(path)
    if header.space.fingerprint != space_fingerprint:
        raise FileFormatError(
            path,
            f"holds the space {header.space.name} ({header.space.fingerprint}), the search is about "
            f"{space_name} ({space_fingerprint})",
            "name the checkpoint of that space with --checkpoint",
        )
    return header, supernet

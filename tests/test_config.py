"""Training configurations: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.resources import data_folder
from mcofa.space import load_space
from mcofa.supernet.config import load_config

CONFIGS = sorted(data_folder("configs").glob("*.yaml"))
MICRO = data_folder("configs") / "mcofa-micro.yaml"


@pytest.fixture
def micro() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(MICRO.read_text())
    return values


def written(folder: Path, values: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_that_come_with_mcofa_are_valid(path: Path) -> None:
    config = load_config(path)
    assert load_space(config.space).name == config.space


def test_values_are_those_of_the_file(micro: dict[str, Any]) -> None:
    assert load_config(MICRO).model_dump() == micro


@pytest.mark.parametrize("key", sorted(yaml.safe_load(MICRO.read_text())))
def test_every_key_is_needed(tmp_path: Path, micro: dict[str, Any], key: str) -> None:
    del micro[key]
    with pytest.raises(FileFormatError, match=f"config.yaml: {key}: Field required"):
        load_config(written(tmp_path, micro))


def test_an_unknown_key_is_refused(tmp_path: Path, micro: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match=r"config.yaml: learning_rat: Extra inputs are not permitted"):
        load_config(written(tmp_path, {**micro, "learning_rat": 0.1}))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("epochs", "many", "valid integer"),
        ("epochs", 1.5, "valid integer"),
        ("epochs", 0, "greater than 0"),
        ("batch_size", 1, "greater than 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("random_subnets", -1, "greater than or equal to 0"),
        ("learning_rate", 0, "greater than 0"),
        ("learning_rate", [0.1], "valid number"),
        ("warmup_steps", -1, "greater than or equal to 0"),
        ("momentum", 1, "less than 1"),
        ("weight_decay", -1e-5, "greater than or equal to 0"),
        ("label_smoothing", 1, "less than 1"),
        ("max_gradient_norm", 0, "greater than 0"),
        ("flip", "sometimes", "valid boolean"),
        ("shift_pixels", -1, "greater than or equal to 0"),
        ("space", 3, "valid string"),
        ("data", None, "valid string"),
    ],
)
def test_a_bad_value_is_named(
    tmp_path: Path, micro: dict[str, Any], key: str, value: object, problem: str
) -> None:
    with pytest.raises(FileFormatError, match=f"config.yaml: {key}: .*{problem}"):
        load_config(written(tmp_path, {**micro, key: value}))


def test_all_bad_keys_are_named_at_once(tmp_path: Path, micro: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match=r"epochs: .*; momentum: "):
        load_config(written(tmp_path, {**micro, "epochs": 0, "momentum": 2}))


@pytest.mark.parametrize("content", [b"epochs: [", b"a: b: c", b"\xff\xfe\x00", b"\x00\x01"])
def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"config.yaml: not YAML"):
        load_config(path)


@pytest.mark.parametrize("content", [b"", b"- epochs", b"epochs", b"3"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"config.yaml: file: .*dictionary"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"not found: .*nosuch.yaml\n  next: .*configs/"):
        load_config(tmp_path / "nosuch.yaml")
    with pytest.raises(MissingFileError, match="not found"):
        load_config(tmp_path)

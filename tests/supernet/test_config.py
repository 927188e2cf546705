"""Training configurations: what is read, and what is refused with which words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.files.resources import data_folder
from mcofa.space.search_space import load_space
from mcofa.supernet.training.config import load_config

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
    micro["phases"][0]["phase"] = 1
    assert load_config(MICRO).model_dump() == {**micro, "phases": tuple(micro["phases"])}


def test_files_of_earlier_versions_name_no_fit(tmp_path: Path, micro: dict[str, Any]) -> None:
    del micro["fit"]
    assert load_config(written(tmp_path, micro)).fit == "crop"
    with pytest.raises(FileFormatError, match=r"fit.*'crop', 'stretch' or 'pad'"):
        load_config(written(tmp_path, {**micro, "fit": "squeeze"}))
    with pytest.raises(FileFormatError, match="fit pad with crop_area"):
        load_config(written(tmp_path, {**micro, "fit": "pad", "crop_area": 0.5}))


@pytest.mark.parametrize("key", sorted(set(yaml.safe_load(MICRO.read_text())) - {"fit"}))
def test_every_key_is_needed(tmp_path: Path, micro: dict[str, Any], key: str) -> None:
    del micro[key]
    with pytest.raises(FileFormatError, match=f"config.yaml: missing key '{key}'"):
        load_config(written(tmp_path, micro))


@pytest.mark.parametrize("key", sorted(set(yaml.safe_load(MICRO.read_text())["phases"][0])))
def test_every_key_of_a_phase_is_needed(tmp_path: Path, micro: dict[str, Any], key: str) -> None:
    del micro["phases"][0][key]
    with pytest.raises(
        FileFormatError, match=rf"config.yaml: missing key 'phases\.0( \(sandwich\))?\.{key}'"
    ):
        load_config(written(tmp_path, micro))


def test_an_unknown_key_is_refused(tmp_path: Path, micro: dict[str, Any]) -> None:
    micro["phases"][0]["learning_rate"] = micro["phases"][0].pop("base_learning_rate")
    with pytest.raises(FileFormatError) as caught:
        load_config(written(tmp_path, {**micro, "seeds": 1}))
    problem = caught.value.problem
    assert "unknown key 'seeds' (did you mean 'seed'?); valid keys: space, data, seed, " in problem
    assert "unknown key 'phases.0 (sandwich).learning_rate' (did you mean 'base_learning_rate'?)" in problem
    assert problem.endswith("missing key 'phases.0 (sandwich).base_learning_rate'")


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    lines = MICRO.read_text().splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("seed:"))
    path.write_text("\n".join([*lines, "seed: 1"]))
    with pytest.raises(
        FileFormatError,
        match=f"config.yaml: key 'seed' is in line {first} and again in line {len(lines) + 1}\n",
    ):
        load_config(path)
    path.write_text("\n".join([*lines, "    epochs: 3"]))
    with pytest.raises(FileFormatError, match=f"key 'epochs' is .* again in line {len(lines) + 1}\n"):
        load_config(path)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("batch_size", 1, "greater than 1"),
        ("batch_size", 1.5, "valid integer"),
        ("micro_batch_size", 1, "greater than 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("mixed_precision", "sometimes", "valid boolean"),
        ("momentum", 1, "less than 1"),
        ("weight_decay", -1e-5, "greater than or equal to 0"),
        ("label_smoothing", 1, "less than 1"),
        ("max_gradient_norm", 0, "greater than 0"),
        ("flip", "sometimes", "valid boolean"),
        ("shift_pixels", -1, "greater than or equal to 0"),
        ("crop_area", 0, "greater than 0"),
        ("crop_area", 1.1, "less than or equal to 1"),
        ("phases", [], "must be one of step sandwich"),
        ("space", 3, "valid string"),
        ("data", None, "valid string"),
    ],
)
def test_a_bad_value_is_named(
    tmp_path: Path, micro: dict[str, Any], key: str, value: object, problem: str
) -> None:
    with pytest.raises(FileFormatError, match=rf"config.yaml: {key}(: | is .*: ).*{problem}"):
        load_config(written(tmp_path, {**micro, key: value}))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("step", "width", "Input should be 'sandwich', 'teacher', 'kernel', 'depth' or 'expand'"),
        ("phase", 0, "greater than or equal to 1"),
        ("epochs", "many", "valid number"),
        ("epochs", 0, "greater than 0"),
        ("warmup_epochs", -1, "greater than or equal to 0"),
        ("base_learning_rate", 0, "greater than 0"),
        ("base_learning_rate", [0.1], "valid number"),
        ("subnets", 0, "greater than or equal to 1"),
    ],
)
def test_a_bad_value_of_a_phase_is_named(
    tmp_path: Path, micro: dict[str, Any], key: str, value: object, problem: str
) -> None:
    micro["phases"][0][key] = value
    with pytest.raises(FileFormatError) as caught:
        load_config(written(tmp_path, micro))
    assert f".{key} is {value!r}: " in caught.value.problem
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("seed", 2**63, "a number beyond 64 bits"),
        ("weight_decay", math.inf, r"\.inf, which is no finite number"),
        ("phases.0.epochs", math.inf, r"\.inf, which is no finite number"),
        ("phases.0.warmup_epochs", -math.inf, r"-\.inf, which is no finite number"),
        ("phases.0.base_learning_rate", math.nan, r"\.nan, which is no finite number"),
    ],
)
def test_a_number_that_no_file_may_hold_is_named_by_its_line(
    tmp_path: Path, micro: dict[str, Any], key: str, value: float, problem: str
) -> None:
    *phase, last = key.split(".")
    (micro["phases"][0] if phase else micro)[last] = value
    path = written(tmp_path, micro)
    lines = path.read_text().splitlines()
    (line,) = (number for number, text in enumerate(lines, 1) if text.strip(" -").startswith(f"{last}: "))
    with pytest.raises(FileFormatError, match=f"config.yaml: line {line} holds {problem}\n"):
        load_config(path)


def test_a_phase_is_called_by_its_step(tmp_path: Path) -> None:
    values = yaml.safe_load((data_folder("configs") / "mcofa-v3.yaml").read_text())
    values["phases"][3]["epochs"] = -3
    with pytest.raises(
        FileFormatError,
        match=r"config.yaml: phases\.3 \(depth-2\)\.epochs is -3: Input should be greater than 0\n",
    ):
        load_config(written(tmp_path, values))


def test_a_sandwich_has_two_sides(tmp_path: Path, micro: dict[str, Any]) -> None:
    micro["phases"][0]["subnets"] = 1
    with pytest.raises(FileFormatError, match=r"phases.0 \(sandwich\): .*subnets must be at least 2"):
        load_config(written(tmp_path, micro))


def test_micro_batches_fill_a_batch(tmp_path: Path, micro: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match="micro_batch_size 48 does not divide batch_size 128"):
        load_config(written(tmp_path, {**micro, "micro_batch_size": 48}))


@pytest.mark.parametrize(
    ("phases", "problem"),
    [
        (["sandwich", "sandwich"], r"step sandwich has the phases \[1, 2\], expected \[1\]"),
        (["teacher"], "must be one of"),
        (["teacher", "kernel", "expand"], "must be one of"),
        (["teacher", "depth", "kernel", "expand"], "must be one of"),
        (["kernel", "depth", "expand"], "must be one of"),
        (["teacher", "kernel", "depth", "expand", "depth"], "must be one of"),
        (["sandwich", "teacher", "kernel", "depth"], "must be one of"),
        (["teacher", "teacher", "kernel", "depth"], r"step teacher has the phases \[1, 2\]"),
    ],
)
def test_phases_out_of_order_are_refused(
    tmp_path: Path, micro: dict[str, Any], phases: list[str], problem: str
) -> None:
    micro["phases"] = [
        {**micro["phases"][0], "step": step, "phase": phases[: index + 1].count(step)}
        for index, step in enumerate(phases)
    ]
    with pytest.raises(FileFormatError, match=f"config.yaml: phases: .*{problem}"):
        load_config(written(tmp_path, micro))


def test_the_papers_values() -> None:
    """config_MOOFA.yaml in MaximeGirard/memory-optimized-once-for-all at db7c247."""
    config = load_config(data_folder("configs") / "mcofa-v3.yaml")
    assert config.phase_names == ("teacher", "kernel-1", "depth-1", "depth-2", "expand-1", "expand-2")
    assert [phase.epochs for phase in config.phases] == [180, 120, 25, 120, 25, 120]
    assert [phase.warmup_epochs for phase in config.phases] == [0, 5, 0, 5, 0, 5]
    assert [phase.subnets for phase in config.phases] == [1, 1, 2, 2, 4, 4]
    rates = [phase.base_learning_rate for phase in config.phases]
    assert rates == [3e-2, 3e-3, 2.5e-4, 7.5e-4, 2.5e-4, 2.5e-4]
    assert (config.weight_decay, config.label_smoothing, config.crop_area) == (3e-5, 0.1, 0.08)
    ofa = load_config(data_folder("configs") / "ofa.yaml")
    assert ofa.model_dump(exclude={"space"}) == config.model_dump(exclude={"space"})


def test_the_micro_spaces_share_one_recipe() -> None:
    configs = [
        load_config(data_folder("configs") / f"{name}-micro.yaml") for name in ("ofa", "compofa", "mcofa")
    ]
    assert len({config.model_dump_json(exclude={"space"}) for config in configs}) == 1


def test_all_bad_keys_are_named_at_once(tmp_path: Path, micro: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match=r"batch_size is 0: .*; momentum is 2: "):
        load_config(written(tmp_path, {**micro, "batch_size": 0, "momentum": 2}))


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
    with pytest.raises(
        FileFormatError, match=r"config.yaml: (missing key 'space'|holds a \w+ where a mapping of keys)"
    ):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"not found: .*nosuch.yaml\n  next: .*configs/"):
        load_config(tmp_path / "nosuch.yaml")
    with pytest.raises(MissingFileError, match="not found"):
        load_config(tmp_path)

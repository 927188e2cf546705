"""Versions of TFLM are data: what a file holds is checked, and every version can be computed with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.engines.tflm import kernel_sets, structs, target, target_names
from mcofa.errors import FileFormatError, McofaError, MissingFileError, UnknownNameError
from mcofa.ops import OPERATORS
from mcofa.tflm_versions import DEFAULT_VERSION, default_version, load_version, version_names

MB_R48 = "tests/data/tflm_arena/mb_r48_k3_e3_d1_w025.tflite"
WORDS = {
    "name: [": "not YAML",
    "title: mine": "missing key 'name'",
    "name: a/b\ntitle: mine": "a name has 1 to 64",
    "name: mine\ntitle: mine\nrule: {}": "did you mean 'rules'?",
    "name: mine\ntitle: mine\nrules: {sum_scratch: some}": "rules.sum_scratch is 'some'",
    "name: mine\ntitle: mine\nstruct_bytes: {arm32: {tensr: 32}}": "struct_bytes.arm32 names 'tensr'",
    "name: mine\ntitle: mine\nstruct_bytes: {arm32: {tensor: -1}}": "struct_bytes.arm32.tensor is -1",
    "name: mine\ntitle: mine\noptions: {ADD: {arm32: [2, 3]}}": "options.ADD.arm32 is aligned to 3",
    "name: mine\ntitle: mine\nkernel_data: {ADD: {cmsis_nn: 5000}}": "kernel_data.ADD.cmsis_nn is 5000",
    "name: mine\ntitle: mine\nfingerprints: [abc]": "has 64 hexadecimal digits",
    "name: zephyr-4.1\ntitle: mine": "that version comes with mcofa and is not the same",
}


@pytest.mark.parametrize("name", version_names())
def test_every_version_is_complete(name: str) -> None:
    """Its sizes are known on every core, and what it names there is."""
    version = load_version(name)
    assert version.name == name
    assert {*version.options, *version.kernel_data, *version.not_read} <= {str(kind) for kind in OPERATORS}
    for core in target_names()[1:]:
        for kernels in kernel_sets(core):
            on = target(core, kernels, version)
            assert on.tflm is version
            assert structs(on.abi, version).pointer == 4


def test_the_default_is_the_wheel() -> None:
    """The version that predictions are measured against differs from itself in nothing."""
    assert version_names()[0] == DEFAULT_VERSION
    assert default_version() is load_version(DEFAULT_VERSION)
    assert default_version().wheel.startswith("tflite_micro ")
    assert default_version().differences() == []
    assert target("cortex-m7", "cmsis-nn") == target("cortex-m7", "cmsis-nn", default_version())


@pytest.mark.parametrize(("text", "said"), WORDS.items())
def test_a_bad_file_is_refused_in_words(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "version.yaml"
    file.write_text(text)
    with pytest.raises(FileFormatError) as refused:
        load_version(str(file))
    assert said in refused.value.problem
    assert str(file) in refused.value.problem


def test_unknown_names_and_files() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean zephyr-4\.1"):
        load_version("zephyr-4")
    with pytest.raises(MissingFileError, match=r"none\.yaml"):
        load_version("none.yaml")


@pytest.mark.parametrize("name", version_names()[1:])
def test_a_version_survives_its_file(name: str, tmp_path: Path) -> None:
    """What is written of a version is that version, alone and inside a board."""
    version = load_version(name)
    file = tmp_path / "same.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(version.to_json()))))
    assert load_version(str(file)) == version
    document = {**version.to_json(), "name": "mine"}
    file.write_text(json.dumps(document))
    board = load_board("stm32f746").with_tflm(load_version(str(file)))
    again = type(board).from_json(json.loads(json.dumps(board.to_json())), "the manifest")
    assert again == board
    assert again.tflm_version.rules == version.rules


def test_a_board_may_name_its_version() -> None:
    board = load_board("stm32f746")
    assert board.tflm_version is default_version()
    document = json.loads(json.dumps(board.to_json()))
    named = type(board).from_json(document | {"tflm": "zephyr-4.1"}, "mine.yaml")
    assert named.tflm_version is load_version("zephyr-4.1")
    assert named == board.with_tflm(load_version("zephyr-4.1"))
    assert named.with_tflm(default_version()) == board
    with pytest.raises(FileFormatError, match="tflm is 'zephyr'; it must be one of"):
        type(board).from_json(document | {"tflm": "zephyr"}, "mine.yaml")


def test_an_op_that_was_not_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ntitle: mine\nnot_read: [MEAN]\n")
    assert main(["arena", MB_R48, "--target", "cortex-m7", "--tflm", str(file)]) == 1
    assert "MEAN (its sizes are not in mine, a version of TFLM)" in capsys.readouterr().err


def test_the_wheel_has_one_version() -> None:
    with pytest.raises(McofaError, match=r"version 90b983c2b3f1, not zephyr-4\.1"):
        target("x86-64", "reference", load_version("zephyr-4.1"))


def test_the_list_names_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tflm", "list"]) == 0
    said = capsys.readouterr().out
    assert "zephyr-4.1 differs from 90b983c2b3f1: MEAN keeps 40 B (reference), 40 B (cmsis-nn)" in said
    assert main(["tflm", "list", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(version_names())

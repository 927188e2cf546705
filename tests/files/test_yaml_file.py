"""What a YAML file may hold; more cases lie in tests/data/boards/invalid_*.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcofa.errors import FileFormatError
from mcofa.files.yaml_file import read_yaml

SIGNS = st.text(st.sampled_from("ab01:-,[]{}&*!|>'\"%#?.~<= \n\t\\x_eE+"), max_size=60)


@given(text=SIGNS)
@example(text="a: 1:2:3")
@example(text="a: 0b_")
@example(text="a: 0x")
@example(text="a: -.")
@example(text="a: 1_000")
@example(text="? a")
@example(text="a: !!int ''")
@example(text="a: !!bool maybe")
@example(text="- " * 5000)
@example(text="{a: " * 5000)
def test_only_values_of_json_are_read(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        found = json.dumps(read_yaml(path, "correct it"), allow_nan=False)
    except FileFormatError as error:
        found = error.problem
    assert "\n" not in found


@given(data=st.binary())
def test_any_bytes_are_read_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        read_yaml(path, "correct it")
    except FileFormatError as error:
        error.problem.encode()


def test_a_large_file_is_refused_without_reading_it_all() -> None:
    with pytest.raises(FileFormatError, match="more than 1,048,576 bytes"):
        read_yaml(Path("/dev/zero"), "correct it")

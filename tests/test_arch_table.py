from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.arch import Arch
from mcofa.arch_table import read_measured, write_measured
from mcofa.errors import FileFormatError, MissingFileError
from mcofa.space import SearchSpace

HEADER = "kernel_sizes,expand_ratios,depths,image_size,top1_percent\n"
ROW = "3 5 3 3,1 2 1 1,2 1,16,81.25\n"
MEASURED = [(Arch(16, ((3, 5), (3,)), ((1, 2), (1,))), 81.25)]


def test_table_by_hand(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    write_measured(path, tiny_space, MEASURED)
    assert path.read_text() == HEADER + ROW
    assert read_measured(path, tiny_space) == MEASURED


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_round_trip(
    tiny_space: SearchSpace, tmp_path_factory: pytest.TempPathFactory, seed: int, hundredths: list[int]
) -> None:
    genomes = tiny_space.sample(len(hundredths), np.random.default_rng(seed))
    measured = [(tiny_space.decode(row), value / 100) for row, value in zip(genomes, hundredths, strict=True)]
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    write_measured(path, tiny_space, measured)
    assert read_measured(path, tiny_space) == measured


def test_what_inactive_blocks_hold_and_other_columns_do_not_matter(
    tiny_space: SearchSpace, tmp_path: Path
) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("batch," + HEADER + "4," + ROW.replace("3 5 3 3,1 2 1 1", "3 5 3 9,1 2 1 7"))
    assert read_measured(path, tiny_space) == MEASURED


def test_missing_file(tiny_space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="CSV of measured archs not found"):
        read_measured(tmp_path / "measured.csv", tiny_space)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "expected the columns"),
        (HEADER, "at least one row"),
        (ROW + ROW, "expected the columns"),
        (HEADER.replace("depths", "depth") + ROW, "expected the columns"),
        (HEADER + ROW.replace("16", "17"), "resolution 17 is not in tiny"),
        (HEADER + ROW.replace("3 5 3 3", "3 9 3 3"), "stage 1: kernel size 9 is not in tiny"),
        (HEADER + ROW.replace("2 1,", "2 3,"), "depths 2 3, at most 2"),
        (HEADER + ROW.replace("2 1,", "2,"), "4 blocks in 1 stages"),
        (HEADER + ROW.replace("3 5 3 3", "3 5 3"), "3 blocks in 2 stages, expected 4"),
        (HEADER + ROW.replace("81.25", ""), "''"),
        (HEADER + ROW.replace("81.25", "nan"), "top1_percent nan"),
        (HEADER + ROW.replace("81.25", "8125"), "top1_percent 8125.0, expected 0 to 100"),
        (HEADER + ROW.replace("81.25", "high"), "'high'"),
        (HEADER + ROW + "3 5 3 3,1 2", "not a table of archs of tiny"),
        (HEADER + ROW + "3", "not a table of archs of tiny"),
    ],
)
def test_refuses_a_damaged_table(
    tiny_space: SearchSpace, tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "measured.csv"
    path.write_text(content)
    with pytest.raises(FileFormatError) as refusal:
        read_measured(path, tiny_space)
    assert refusal.value.problem.startswith(f"{path}: ")
    assert complaint in refusal.value.problem


def test_refuses_bytes_that_are_no_text(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    with pytest.raises(FileFormatError):
        read_measured(path, tiny_space)

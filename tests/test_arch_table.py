from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.arch import Arch
from mcofa.arch_table import read_archs, read_measured, write_measured
from mcofa.errors import FileFormatError, InvalidArchError, MissingFileError
from mcofa.space import SearchSpace, load_space

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


def test_archs_without_accuracy_and_what_else_the_file_holds(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "archs.csv"
    path.write_text(
        '\ufeffnote,image_size,depths,expand_ratios,kernel_sizes\n"a, ""b""",16,2 1,1 2 1 1,3 5 3 3\n'
    )
    rows, genomes = read_archs(path, tiny_space)
    assert rows == [
        {
            "note": 'a, "b"',
            "image_size": "16",
            "depths": "2 1",
            "expand_ratios": "1 2 1 1",
            "kernel_sizes": "3 5 3 3",
        }
    ]
    np.testing.assert_array_equal(genomes, tiny_space.encode([arch for arch, _ in MEASURED]))


@pytest.mark.parametrize("name", ["ofa", "compofa", "compofa-fixed-kernel", "mcofa-v2"])
def test_reads_genomes_as_encode_makes_them(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    genomes = space.sample(50, np.random.default_rng(2))
    path = tmp_path / "archs.csv"
    write_measured(path, space, [(space.decode(genome), 50) for genome in genomes])
    np.testing.assert_array_equal(read_archs(path, space)[1], genomes)


@pytest.mark.parametrize("name", ["compofa", "compofa-fixed-kernel"])
def test_refuses_the_archs_that_the_space_refuses(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    genomes = space.uncoupled().sample(20, np.random.default_rng(3))
    path = tmp_path / "archs.csv"
    for arch in map(space.decode, genomes):
        with pytest.raises(InvalidArchError) as refusal:
            space.check(arch)
        write_measured(path, space, [(space.smallest(), 50), (arch, 50)])
        with pytest.raises(FileFormatError) as refused_row:
            read_archs(path, space)
        said = refusal.value.problem.replace(".0 is", " is")
        assert f"row 2 (line 3): {said}" in refused_row.value.problem


def test_missing_file(tiny_space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="CSV of archs not found"):
        read_measured(tmp_path / "measured.csv", tiny_space)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "expected the columns"),
        (HEADER, "at least one row"),
        (ROW + ROW, "expected the columns"),
        (HEADER.replace("depths", "depth") + ROW, "expected the columns"),
        (HEADER + ROW.replace("16", "17"), "resolution 17 is not in tiny"),
        (
            HEADER + ROW.replace("3 5 3 3", "3 9 3 3"),
            "row 1 (line 2): stage 1: kernel size 9 is not in tiny; options: [3, 5]",
        ),
        (
            HEADER + ROW.replace("2 1,", "2 3,"),
            "row 1 (line 2): stage 2: depth 3 is not in tiny; options: [1, 2]",
        ),
        (HEADER + ROW.replace("2 1,", "2,"), "row 1 (line 2): depths '2': 1 numbers, expected 2"),
        (
            HEADER + ROW.replace("3 5 3 3", "3 5 3"),
            "row 1 (line 2): kernel_sizes '3 5 3': 3 numbers, expected 4",
        ),
        (HEADER + ROW.replace("3 5 3 3", "3 5.5 3 3"), "stage 1: kernel size 5.5 is not in tiny"),
        (HEADER + ROW.replace("1 2 1 1", "1 inf 1 1"), "stage 1: expand ratio inf is not in tiny"),
        (HEADER + ROW.replace("81.25", ""), "top1_percent '': 0 numbers, expected 1"),
        (HEADER + ROW.replace("81.25", "nan"), "top1_percent nan"),
        (HEADER + ROW.replace("81.25", "8125"), "top1_percent 8125.0, expected 0 to 100"),
        (HEADER + ROW.replace("81.25", "high"), "row 1 (line 2): top1_percent 'high': could not convert"),
        (HEADER + ROW + "3 5 3 3,1 2", "row 2 (line 3): 2 cells, expected 5"),
        (HEADER + ROW + "\n\n" + ROW[:-1] + ",1,2", "row 2 (line 5): 7 cells, expected 5"),
        (HEADER + ROW + ROW.replace("2 1,", "2 0,"), "row 2 (line 3): stage 2: depth 0 is not in tiny"),
        ("depths," + HEADER + "2 1," + ROW, "a column appears twice: depths, kernel_sizes"),
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

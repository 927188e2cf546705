from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depthwise_separable import depthwise_separable_space
from hypothesis import given
from hypothesis import strategies as st

from mcofa.errors import FileFormatError, InvalidArchError, MissingFileError
from mcofa.space.arch import Arch
from mcofa.space.arch_table import Measured, read_archs, read_measured, write_measured
from mcofa.space.search_space import SearchSpace, load_space

HEADER = "kernel_sizes,expand_ratios,depths,image_size,top1_percent\n"
ROW = "3 5 3 3,1 2 1 1,2 1,16,81.250\n"
FINGERPRINT = "ee8ea23e06fb4cd0"
ARCH = Arch(16, ((3, 5), (3,)), ((1, 2), (1,)))


def one(space: SearchSpace, **more: Any) -> Measured:
    return Measured(space.encode([ARCH]), np.array([81.25]), **more)


def same(one: Measured, other: Measured) -> bool:
    return (
        np.array_equal(one.genomes, other.genomes)
        and np.array_equal(one.top1_percent, other.top1_percent)
        and (one.batches, one.checkpoint, one.data) == (other.batches, other.checkpoint, other.data)
    )


def test_table_by_hand(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    write_measured(path, tiny_space, one(tiny_space))
    assert path.read_text() == HEADER[:-1] + ",space_fingerprint\n" + ROW[:-1] + f",{FINGERPRINT}\n"
    assert same(read_measured(path, tiny_space), one(tiny_space))


def test_where_measurements_are_from_by_hand(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    measured = one(tiny_space, batches=("gpu 1",), checkpoint="0f", data="a5")
    write_measured(path, tiny_space, measured)
    assert path.read_text() == (
        HEADER[:-1]
        + ",measurement_batch,checkpoint,space_fingerprint,data\n"
        + ROW[:-1]
        + f",gpu 1,0f,{FINGERPRINT},a5\n"
    )
    assert same(read_measured(path, tiny_space), measured)


def test_archs_of_a_table_that_names_no_space_are_read(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text(HEADER + ROW)
    assert same(read_measured(path, tiny_space), one(tiny_space))


def test_oblong_images_and_blocks_that_do_not_expand(tmp_path: Path) -> None:
    space = depthwise_separable_space()
    genomes = space.sample(50, np.random.default_rng(0))
    path = tmp_path / "measured.csv"
    measured = Measured(genomes, np.full(50, 50.0))
    write_measured(path, space, measured)
    assert {line.split(",")[3] for line in path.read_text().splitlines()[1:]} == {"17x12", "25x20"}
    assert same(read_measured(path, space), measured)


@pytest.mark.parametrize(
    ("size", "ratios", "complaint"),
    [
        ("17x12", "2 1 1 2 1 1 1 1 1", "stage 1: expand ratio 2"),
        ("12x17", "1 1 1 2 1 1 1 1 1", "resolution 12x17 is not in ds-tiny; options: [17x12, 25x20]"),
        ("17", "1 1 1 2 1 1 1 1 1", "resolution 17 is not in"),
        ("17x", "1 1 1 2 1 1 1 1 1", "image_size '17x' is neither"),
        ("1e9", "1 1 1 2 1 1 1 1 1", "image_size '1e9' is neither"),
    ],
)
def test_rows_of_another_shape_are_refused(tmp_path: Path, size: str, ratios: str, complaint: str) -> None:
    path = tmp_path / "archs.csv"
    path.write_text(HEADER + f"3 3 3 3 3 3 3 3 3,{ratios},1 1 1,{size},50\n")
    with pytest.raises(FileFormatError) as refusal:
        read_archs(path, depthwise_separable_space())
    assert complaint in refusal.value.problem


@pytest.mark.parametrize("column", ["checkpoint", "data"])
def test_archs_of_two_checkpoints_or_data_sets_are_refused(
    tiny_space: SearchSpace, tmp_path: Path, column: str
) -> None:
    path = tmp_path / "measured.csv"
    path.write_text(HEADER[:-1] + f",{column}\n" + ROW[:-1] + ",0f\n" + ROW[:-1] + ",1e\n")
    with pytest.raises(FileFormatError, match=rf"row 2 \(line 3\): measured on {column} 1e, row 1 on 0f"):
        read_measured(path, tiny_space)


def test_archs_of_a_space_with_the_same_options_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    measured_in, space = load_space("ofa-micro"), load_space("mcofa-micro")
    genomes = measured_in.sample(3, np.random.default_rng(0))
    space.check(space.decode(genomes[0]))
    write_measured(path, measured_in, Measured(genomes, np.full(3, 50.0)))
    with pytest.raises(FileFormatError) as refusal:
        read_measured(path, space)
    assert refusal.value.problem == (
        f"{path}: row 1 (line 2) was measured in the space {measured_in.fingerprint}, "
        f"mcofa-micro is {space.fingerprint}"
    )


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 100_000), min_size=1, max_size=8), st.booleans())
def test_round_trip(
    tiny_space: SearchSpace,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    thousandths: list[int],
    batches: bool,
) -> None:
    genomes = tiny_space.sample(len(thousandths), np.random.default_rng(seed))
    labels = tuple(map(str, thousandths)) if batches else None
    measured = Measured(genomes, np.array(thousandths) / 1000, labels)
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    write_measured(path, tiny_space, measured)
    assert same(read_measured(path, tiny_space), measured)


def test_what_inactive_blocks_hold_and_other_columns_do_not_matter(
    tiny_space: SearchSpace, tmp_path: Path
) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("batch," + HEADER + "4," + ROW.replace("3 5 3 3,1 2 1 1", "3 5 3 9,1 2 1 7"))
    assert same(read_measured(path, tiny_space), one(tiny_space))


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
    np.testing.assert_array_equal(genomes, tiny_space.encode([ARCH]))


@pytest.mark.parametrize("name", ["ofa", "compofa", "compofa-fixed-kernel", "mcofa-v2"])
def test_reads_genomes_as_encode_makes_them(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    genomes = space.sample(50, np.random.default_rng(2))
    path = tmp_path / "archs.csv"
    write_measured(path, space, Measured(genomes, np.full(50, 50.0)))
    np.testing.assert_array_equal(read_archs(path, space)[1], genomes)


@pytest.mark.parametrize("name", ["compofa", "compofa-fixed-kernel"])
def test_refuses_the_archs_that_the_space_refuses(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    genomes = space.uncoupled().sample(20, np.random.default_rng(3))
    path = tmp_path / "archs.csv"
    for genome in genomes:
        arch = space.uncoupled().decode(genome)
        with pytest.raises(InvalidArchError) as refusal:
            space.check(arch)
        both = np.stack([space.encode([space.smallest()])[0], genome])
        write_measured(path, space, Measured(both, np.full(2, 50.0)))
        with pytest.raises(FileFormatError) as refused_row:
            read_archs(path, space)
        said = refusal.value.problem.replace(".0 is", " is")
        assert f"row 2 (line 3): {said}" in refused_row.value.problem


def test_missing_file(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    with pytest.raises(MissingFileError, match="CSV of archs not found") as refusal:
        read_measured(path, tiny_space)
    assert f"`mcofa measure CHECKPOINT --out {path}`" in refusal.value.next_step


def test_a_folder_or_foreign_file_is_not_to_be_measured_into(tiny_space: SearchSpace, tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("notes\n")
    for path, problem in ((tmp_path, "is a folder"), (foreign, "not a table of archs")):
        with pytest.raises(FileFormatError, match=f"{path}: {problem}") as refusal:
            read_measured(path, tiny_space)
        assert "--out" not in refusal.value.next_step


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
        (HEADER + ROW.replace("81.250", ""), "top1_percent '': 0 numbers, expected 1"),
        (HEADER + ROW.replace("81.250", "nan"), "top1_percent nan"),
        (HEADER + ROW.replace("81.250", "8125"), "top1_percent 8125.0, expected 0 to 100"),
        (HEADER + ROW.replace("81.250", "high"), "row 1 (line 2): top1_percent 'high': could not convert"),
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

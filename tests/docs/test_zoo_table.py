"""The zoo's table as page, CSV and figure, from made-up rows."""

from __future__ import annotations

import importlib
import math
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mcofa.cost.arch_cost import cost
from mcofa.errors import FileFormatError
from mcofa.space.arch_table import arch_cells, read_archs, write_rows
from mcofa.space.search_space import load_space
from mcofa.supernet.finetune.finetune import FinetuneSettings


@pytest.fixture
def rows_module(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(repo_root / "benchmarks")
    return importlib.import_module("zoo_rows")


@pytest.fixture
def page_module(rows_module: ModuleType) -> ModuleType:
    return importlib.import_module("zoo_page")


def pick(module: ModuleType, int8_top1_percent: float, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "made_from": "0123456789ab",
        "kernel_sizes": "3",
        "expand_ratios": "2",
        "depths": "1",
        "image_size": "28",
        "arena_bytes": 15_000,
        "model_bytes": 60_000,
        "flash_bytes": 110_000,
        "macs": 1_234_567,
        "predicted_top1_percent": 89.5,
        "predicted_std_points": 0.2,
        "outside_measured_range": False,
        "validation_images": 5_000,
        "validation_top1_percent": 89.0,
        "finetuned_validation_top1_percent": 89.75,
        "exported_arena_bytes": 15_000,
        "exported_model_bytes": 60_000,
        "test_images": 10_000,
        "float_top1_percent": 90.1,
        "int8_top1_percent": int8_top1_percent,
    }
    return module.Pick(**values | changes)


@pytest.fixture
def rows(rows_module: ModuleType) -> dict[str, dict[Any, Any]]:
    """Two spaces of three; the first has nothing for 16 KB and stands still after 24."""
    limit, more = rows_module.LIMITS, rows_module.MORE_LIMITS
    tflm, aot = (rows_module.ENGINE_LIMITS[engine] for engine in ("tflm", "aot"))
    refusal = rows_module.Refusal("0123456789ab", "no arch fits: 16,384 B", 17_000)
    return {
        "ofa-micro": {
            limit[0]: refusal,
            limit[1]: pick(rows_module, 88.0),
            limit[2]: pick(rows_module, 88.0),
        },
        "mcofa-micro": {
            limit[0]: pick(rows_module, 89.0),
            limit[1]: pick(rows_module, 90.0),
            more[0]: pick(rows_module, 91.0, exported_model_bytes=60_100),
            tflm[0]: refusal,
            tflm[2]: pick(rows_module, 89.0),
            aot[0]: pick(rows_module, 91.0, arena_bytes=8_000),
        },
    }


@pytest.fixture
def page(rows: Any, rows_module: ModuleType, page_module: ModuleType) -> str:
    supernet = rows_module.Supernet(
        "sandwich", 12, 128, 0, 2.5, 0, "CPU", {"smallest": 88, "largest": 90}, 240, 0.2, 0.7
    )
    settings = rows_module.Settings("cortex-m7, cmsis-nn", "stm32f746", "images", 2, 3, 128, 0.05)
    return str(page_module.markdown(rows, dict.fromkeys(rows, supernet), settings))


def cells(page: str, start: str) -> list[str]:
    lines = [line for line in page.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in lines[0].strip("|").split("|")][1:]


def test_a_row_has_the_picks_and_what_is_not_there(page: str) -> None:
    assert cells(page, "16 KB / 128 KB") == [
        "nothing fits (smallest arena 17,000 B)",
        "**89.00** / 15,000 / 1.23",
    ]
    assert cells(page, "24 KB / 128 KB") == ["88.00 / 15,000 / 1.23", "**90.00** / 15,000 / 1.23"]
    assert cells(page, "32 KB / 128 KB") == ["**88.00** / 15,000 / 1.23", "not measured"]
    assert cells(page, "32 KB / 64 KB") == ["not measured", "**91.00** / 15,000 / 1.23"]


def test_the_engines_are_compared_within_the_same_arenas(page: str) -> None:
    nothing = ["not measured"] * 2
    assert cells(page, "8 KB") == [
        *nothing,
        "nothing fits (smallest arena 17,000 B)",
        "**91.00** / 8,000 / 1.23",
    ]
    assert cells(page, "16 KB") == [*nothing, "**89.00** / 15,000 / 1.23", "not measured"]


def test_an_arch_that_was_measured_within_another_limit_is_not_measured_again(
    rows: Any, rows_module: ModuleType, tmp_path: Path, repo_root: Path
) -> None:
    runs = importlib.import_module("zoo_runs")
    space = load_space("ofa-micro")
    files = (repo_root / "zoo" / f"ofa-micro{ending}" for ending in (".safetensors", "-finetuned.npz"))
    zoo = runs.Zoo(space, *files, tmp_path, FinetuneSettings(epochs=1))
    limit = rows_module.ENGINE_LIMITS["aot"][-1]
    runs.choose(zoo, limit)
    assert runs.read_row(zoo, limit) is None
    arch = arch_cells(space, space.encode([space.largest()])[0])
    same = replace(rows["ofa-micro"][rows_module.LIMITS[1]], made_from=zoo.made_from, **arch)
    runs.measure(zoo, limit, [same])
    row = runs.read_row(zoo, limit, [same])
    assert (row.int8_top1_percent, row.kernel_sizes) == (88.0, same.kernel_sizes)
    assert row.arena_bytes == cost(space, space.largest(), runs.BOARD, "aot").arena_bytes < 16_384
    assert runs.read_row(zoo, limit, [replace(same, made_from="elsewhere")]) is None


@pytest.mark.parametrize("name", ["ofa-micro", "compofa-micro", "mcofa-micro"])
def test_the_rows_of_the_page_take_what_the_accounting_says(
    name: str, rows_module: ModuleType, repo_root: Path, tmp_path: Path
) -> None:
    """Where a rule or a table of code sizes moved, `make zoo-table` writes the page anew."""
    board = importlib.import_module("zoo_runs").BOARD
    space, of_space = load_space(name), rows_module.read_rows(repo_root / "docs" / "zoo-table.csv")[name]
    assert of_space.keys() == set(rows_module.ALL_LIMITS)
    picks = {limit: row for limit, row in of_space.items() if isinstance(row, rows_module.Pick)}
    write_rows(tmp_path / "picks.csv", rows_module.csv_rows({name: picks}))
    genomes = read_archs(tmp_path / "picks.csv", space)[1]
    for (limit, row), genome in zip(picks.items(), genomes, strict=True):
        taken = cost(space, space.decode(genome), board, limit.engine)
        assert (taken.arena_bytes, taken.flash_bytes, taken.macs) == (
            row.arena_bytes,
            row.flash_bytes,
            row.macs,
        )
        assert all(getattr(row, measure) <= most for measure, most in limit.budget.limits.items())
    for limit in of_space.keys() - picks.keys():
        smallest = cost(space, space.smallest(), board, limit.engine).arena_bytes
        assert of_space[limit].smallest_arena_bytes == smallest > limit.budget.arena_bytes


@pytest.mark.torch
def test_the_page_and_its_pictures_are_what_the_table_makes(
    rows_module: ModuleType, repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = repo_root / "docs"
    shutil.copy(docs / "zoo-table.csv", tmp_path)
    words = ["zoo_table.py", "--spaces", "--work", str(tmp_path / "runs"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    importlib.import_module("zoo_table").main()
    names = ("zoo-table.csv", "zoo-table.md", "zoo-table.svg", "zoo-engines.svg")
    assert [name for name in names if (tmp_path / name).read_bytes() != (docs / name).read_bytes()] == []


def test_the_notes_say_what_was_done(page: str) -> None:
    # 10,000 images: 100 √(0.91 · 0.09 / 10,000) = 0.286 and 100 √(0.88 · 0.12 / 10,000) = 0.325 points.
    assert "0.29 to 0.32 points" in page
    assert "best predicted accuracy after 2 epochs of fine-tuning" in page
    assert "3 epochs of the chosen subnet" in page
    assert "Here 1 of 6 do, and grow by at most 100 B" in page
    assert cells(page, "`ofa-micro`")[1:4] == ["12", "2.50", "not counted"]


def test_the_csv_has_the_same_columns_in_every_row(rows: Any, rows_module: ModuleType) -> None:
    refused, picked, *others = rows_module.csv_rows(rows)
    assert len(others) == 7
    assert {tuple(row) for row in (picked, *others)} == {tuple(refused)}
    assert (refused["problem"], refused["smallest_arena_bytes"]) == ("no arch fits: 16,384 B", "17000")
    assert refused["int8_top1_percent"] == ""
    assert (picked["space"], picked["max_arena_bytes"], picked["max_model_bytes"]) == (
        "ofa-micro",
        "24576",
        "131072",
    )
    assert (picked["int8_top1_percent"], picked["kernel_sizes"], picked["problem"]) == ("88.0", "3", "")


def test_the_csv_read_again_gives_the_same_rows(rows: Any, rows_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "zoo-table.csv"
    assert rows_module.read_rows(path) == {}
    write_rows(path, rows_module.csv_rows(rows))
    assert rows_module.read_rows(path) == rows
    path.write_text("space,max_arena_bytes\nofa-micro,16384\n")
    with pytest.raises(FileFormatError, match=r"zoo-table\.csv"):
        rows_module.read_rows(path)


def test_rows_of_another_checkpoint_are_not_shown(
    rows: Any, rows_module: ModuleType, tmp_path: Path, repo_root: Path
) -> None:
    known_rows = importlib.import_module("zoo_table").known_rows
    zoo = importlib.import_module("zoo_runs").Zoo(
        load_space("ofa-micro"),
        repo_root / "zoo" / "ofa-micro.safetensors",
        repo_root / "zoo" / "ofa-micro-finetuned.npz",
        tmp_path,
        FinetuneSettings(epochs=1),
    )
    written = rows["ofa-micro"]
    limit = rows_module.LIMITS[1]
    assert known_rows(zoo, written) == {}
    same = replace(written[limit], made_from=zoo.made_from)
    assert known_rows(zoo, written | {limit: same}) == {limit: same}
    longer = replace(zoo, tuning=FinetuneSettings(epochs=2))
    assert known_rows(longer, written | {limit: same}) == {}


def test_the_figure_has_a_bar_of_two_standard_errors_for_each_pick_within_the_common_model_file(
    rows: Any, page_module: ModuleType
) -> None:
    root = ET.fromstring(page_module.figure(rows))
    circles = [element for element in root if element.tag.endswith("circle")]
    assert len(circles) == 4
    titles = [element.text for element in root if element.tag.endswith("text")]
    assert {"MIT OFA", "MC-OFA"} <= set(titles)
    assert "CompOFA" not in titles
    lines = [element.attrib for element in root if element.tag.endswith("line") and "x1" in element.attrib]
    bars = [line for line in lines if line["x1"] == line["x2"]]
    heights = sorted({float(line["y1"]) for line in lines if line["x1"] == "60"})
    point_px = (heights[-1] - heights[0]) / (len(heights) - 1)
    long_px = [abs(float(bar["y1"]) - float(bar["y2"])) for bar in bars]
    for top1, px in zip((0.88, 0.88, 0.89, 0.90), long_px, strict=True):
        assert px == pytest.approx(2 * point_px * math.sqrt(top1 * (1 - top1)), abs=0.11)


def test_the_figure_of_the_engines_tells_them_apart_and_says_where_tflm_has_nothing(
    rows: Any, rows_module: ModuleType, page_module: ModuleType
) -> None:
    refusal = rows["ofa-micro"][rows_module.LIMITS[0]]
    rows["ofa-micro"][rows_module.ENGINE_LIMITS["tflm"][0]] = refusal
    root = ET.fromstring(page_module.engine_figure(rows))
    fills = [element.get("fill") for element in root if element.tag.endswith("circle")]
    assert sorted(fills) == ["#009e73", "#ffffff"]
    assert "TFLM: nothing fits 8 KB" in [element.text for element in root if element.tag.endswith("text")]

"""The README's arenas of generated C are those of the networks that the search finds for its boards."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.engines.arenas import engine_arenas
from mcofa.lowering import lower
from mcofa.space.arch import arch_from_json
from mcofa.space.search_space import load_space

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BOARDS = re.findall(r"^\| `(\w+)` \| Cortex-\S+ \| [\d,]+ B \|", README, re.MULTILINE)


def by_engine(board: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["search", "--board", board, "--out", str(folder), "--json"]) == 0
    arch = arch_from_json(json.loads(capsys.readouterr().out)["arch"], board)
    arenas = engine_arenas(lower(load_space("mcofa-micro"), arch), load_board(board), ["aot"])
    return [f"{one.arena_bytes:,}" for one in arenas]


def test_the_table_has_its_boards() -> None:
    assert BOARDS == ["stm32f746", "nrf52840", "rp2040", "stm32f103"]


@pytest.mark.parametrize("board", BOARDS)
def test_generated_c_in_the_table_of_boards(
    board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = re.findall(rf"^\| `{board}` \|.*$", README, re.MULTILINE)
    assert row.split(" | ")[4] == f"{' / '.join(by_engine(board, tmp_path, capsys))} B"


def test_generated_c_in_what_the_demo_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resident, by_rows = by_engine("stm32f746", tmp_path, capsys)
    budget = f"{load_board('stm32f746').arena_budget_bytes:,}"
    assert re.search(rf"^arena, engine aot +{resident} of {budget} B \(", README, re.MULTILINE)
    assert re.search(
        rf"^arena, engine aot, image row by row +{by_rows} of {budget} B \(", README, re.MULTILINE
    )


def test_what_generated_c_is_worth_is_what_the_zoo_measured() -> None:
    zoo = (ROOT / "docs" / "zoo-table.csv").read_text(encoding="utf-8")
    measured = {
        (row["engine"], row["max_arena_bytes"]): f"{float(row['int8_top1_percent']):.2f} %"
        if row["int8_top1_percent"]
        else "nothing fits"
        for row in csv.DictReader(zoo.splitlines())
        if row["space"] == "mcofa-micro" and row["max_flash_bytes"] == str(256 * 1024)
    }
    shown = re.findall(r"^\| (\d+) KB \| ([^|]+) \| ([^|]+) \|$", README, re.MULTILINE)
    in_table = {
        (engine, str(1024 * int(kb))): cell
        for kb, *cells in shown
        for engine, cell in zip(("tflm", "aot"), cells, strict=True)
    }
    assert in_table == measured

"""`--stream-input` of commands that know no run yet: they count the plan with the image row by row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm.targets import board_target
from mcofa.lowering import lower
from mcofa.space.arch import Arch, arch_from_json
from mcofa.space.arch_table import arch_cells, write_rows
from mcofa.space.search_space import load_space

SPACE = load_space("mcofa-micro")
BOARD = "stm32f103"
ON_BOARD = ["--board", BOARD, "--engine", "aot"]
BY_ROWS = pytest.mark.parametrize("streams_input", [False, True], ids=["resident", "by rows"])


def arena_bytes(arch: Arch, streams_input: bool) -> int:
    return plan_aot(lower(SPACE, arch), board_target(load_board(BOARD)), streams_input).arena_bytes


def option(streams_input: bool) -> list[str]:
    return ["--stream-input"] if streams_input else []


@BY_ROWS
def test_the_search_says_what_the_arena_is_both_ways(
    streams_input: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", *ON_BOARD, *option(streams_input), "--max-arena-bytes", "4000"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    found: dict[str, Any] = json.loads((tmp_path / "manifest.json").read_bytes())["search"]
    arch = arch_from_json(found["arch"], "")
    resident_bytes, by_rows_bytes = arena_bytes(arch, False), arena_bytes(arch, True)
    taken_bytes = by_rows_bytes if streams_input else resident_bytes
    assert found["streams_input"] is streams_input
    assert found["predicted"]["arena_bytes"] == taken_bytes <= 4_000
    assert [one["arena_bytes"] for one in found["arenas"]] == [resident_bytes, by_rows_bytes]
    ways = (
        f"image row by row; in the arena: {resident_bytes:,} B"
        if streams_input
        else f"image in the arena; row by row: {by_rows_bytes:,} B"
    )
    assert (
        f"arena    {taken_bytes:,} of 4,000 B (predicted minimum, cortex-m3, {ways})" in printed.splitlines()
    )


@BY_ROWS
def test_cost_of_one_arch_and_of_many(
    streams_input: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genomes = SPACE.sample(5, np.random.default_rng(4))
    archs = [SPACE.decode(genome) for genome in genomes]
    table, one = tmp_path / "archs.csv", tmp_path / "arch.json"
    write_rows(table, [arch_cells(SPACE, genome) for genome in genomes])
    one.write_text(json.dumps(archs[0].to_json()))
    words = ["cost", "--space", SPACE.name, *ON_BOARD, *option(streams_input)]

    assert main([*words, "--archs", str(table)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(row["arena_bytes"]) for row in rows] == [arena_bytes(arch, streams_input) for arch in archs]

    assert main([*words, "--arch", str(one), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["engine"], found["streams_input"]) == ("aot", streams_input)
    assert found["arena_bytes"] == found["arena"]["arena_bytes"] == arena_bytes(archs[0], streams_input)

    assert main([*words, "--arch", str(one)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["arena_bytes_resident", f"{arena_bytes(archs[0], False):,}", "B"] in shown
    assert ["arena_bytes_by_rows", f"{arena_bytes(archs[0], True):,}", "B"] in shown

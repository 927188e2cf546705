from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.peak_items import peak_items
from mcofa.cost.table import CostTable, add_costs, arch_cost, arch_costs
from mcofa.space.search_space import SearchSpace


def test_costs_of_archs_equal_those_of_each_arch(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(5, np.random.default_rng(1))
    board = load_board("stm32f746")
    columns = arch_costs(tiny_space, genomes, board, lambda done: None)
    assert list(columns) == [
        "peak_items",
        "macs",
        "params",
        "arena_bytes",
        "model_bytes",
        "flash_bytes",
        "latency_ms",
    ]
    expected = [cost(tiny_space, tiny_space.decode(genome), board) for genome in genomes]
    for name in ("macs", "arena_bytes", "model_bytes", "flash_bytes"):
        assert columns[name] == [getattr(one, name) for one in expected]
    assert columns["latency_ms"] == pytest.approx([one.latency.latency_ms for one in expected], abs=1e-3)
    assert columns["peak_items"] == peak_items(tiny_space, genomes).tolist()


def test_progress_ends_with_all_archs(tiny_space: SearchSpace) -> None:
    seen: list[int] = []
    columns = arch_costs(
        tiny_space, tiny_space.sample(5_000, np.random.default_rng(1)), load_board("rp2040"), seen.append
    )
    assert seen == sorted(seen)
    assert seen[-1] == len(columns["arena_bytes"]) == len(columns["flash_bytes"]) == 5_000


def test_one_arch_on_a_board_shows_the_parts_of_its_arena(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(1, np.random.default_rng(2))
    board = load_board("stm32f746")
    found = arch_cost(tiny_space, tiny_space.decode(genomes[0]), board)
    arena = found.pop("arena")
    columns = arch_costs(tiny_space, genomes, board, lambda done: None)
    assert found == {name: values[0] for name, values in columns.items()}
    assert arena["minimum_bytes"] == found["arena_bytes"]
    assert sum(arena["breakdown"].values()) == arena["head_bytes"] + arena["tail_bytes"]
    assert json.loads(json.dumps(arena)) == arena


def test_without_a_board_only_what_needs_none(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(2, np.random.default_rng(1))
    assert list(arch_costs(tiny_space, genomes, None, lambda done: pytest.fail("reported"))) == [
        "peak_items",
        "macs",
        "params",
    ]


def test_a_column_that_is_there_is_replaced_in_place() -> None:
    rows = [{"peak_items": "7", "note": 'a, "b"'}, {"peak_items": "9", "note": ""}]
    table = add_costs(rows, {"peak_items": [7, 8], "macs": [1, 2]})
    assert table == CostTable(
        rows=[{"peak_items": 7, "note": 'a, "b"', "macs": 1}, {"peak_items": 8, "note": "", "macs": 2}],
        differing={"peak_items": 1},
    )
    assert list(csv.reader(io.StringIO(table.to_csv()))) == [
        ["peak_items", "note", "macs"],
        ["7", 'a, "b"', "1"],
        ["8", "", "2"],
    ]

"""Everything known about archs without torch: of one as a document, of many as columns of a CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcofa.boards import Board
from mcofa.cost.arch_cost import cost
from mcofa.cost.measures import MEASURES, ON_BOARD
from mcofa.cost.peak_items import macs, params, peak_items
from mcofa.cost.population import PopulationCosts
from mcofa.engines.engine import DEFAULT_ENGINE, load_engine
from mcofa.engines.tflm.targets import board_target
from mcofa.lowering import lower
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace

_REPORTED_ARCHS = 2_048
Columns = dict[str, list[int | float]]
"""Numbers of many archs by name, each list (archs,)."""


def arch_cost(
    space: SearchSpace,
    arch: Arch,
    board: Board | None,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> dict[str, Any]:
    """Return what ``arch_costs`` returns, for one arch; with a board also what its arena is made of.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    genomes = space.encode([arch])
    found: dict[str, Any] = {name: values[0] for name, values in _anywhere(space, genomes).items()}
    if board is not None:
        on_board = cost(space, arch, board, engine, streams_input)
        found |= {name: _rounded(name, getattr(on_board, name)) for name in ON_BOARD}
        found["arena"] = load_engine(engine).arena_figures(
            lower(space, arch), board_target(board), streams_input=streams_input
        )
    return found


def arch_costs(
    space: SearchSpace,
    genomes: Genomes,
    board: Board | None,
    report: Callable[[int], None] = lambda done: None,
    engine: str = DEFAULT_ENGINE,
    streams_input: bool = False,
) -> Columns:
    """Return one list a number, each (archs,): peak items, MACs and weights; more with a board.

    The keys are ``peak_items``, ``macs`` and ``params``; with a board also ``arena_bytes`` (the
    minimum arena, exact), ``model_bytes`` (the .tflite file), ``flash_bytes`` (model, runtime
    and firmware) and ``latency_ms`` (an estimate). ``report`` is told now and then how many
    archs are done.
    """
    columns = _anywhere(space, genomes)
    if board is not None:
        columns |= _on_board(genomes, PopulationCosts(space, board, engine, streams_input), report)
    return columns


def _on_board(genomes: Genomes, costs: PopulationCosts, report: Callable[[int], None]) -> Columns:
    columns: Columns = {name: [] for name in ON_BOARD}
    for start in range(0, len(genomes), _REPORTED_ARCHS):
        some = genomes[start : start + _REPORTED_ARCHS]
        found = costs.evaluate(some)
        exact = dataclasses.replace(found, arena_bytes=costs.exact_arena_bytes(some))
        for name, column in columns.items():
            column += (_rounded(name, value) for value in getattr(exact, name).tolist())
        report(start + len(some))
    return columns


def _rounded(name: str, value: float) -> float:
    return round(value, 3) if MEASURES[name].unit == "ms" else value


def _anywhere(space: SearchSpace, genomes: Genomes) -> Columns:
    return {
        "peak_items": peak_items(space, genomes).tolist(),
        "macs": macs(space, genomes).tolist(),
        "params": params(space, genomes).tolist(),
    }


@dataclass(frozen=True, slots=True)
class CostTable:
    """Rows of a CSV with costs added.

    ``differing`` counts, for each column that the CSV already had, the rows in which its
    number was another one.
    """

    rows: list[dict[str, str | int | float]]
    differing: dict[str, int]

    def to_csv(self) -> str:
        """Return the table as text: header, then one line a row."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def add_costs(rows: list[dict[str, str]], costs: Columns) -> CostTable:
    """Add what ``arch_costs`` returned to rows that ``read_archs`` returned, in their order.

    A column of the same name is replaced where it stands, so that a table can be costed again.
    """
    return CostTable(
        rows=[{**row, **{name: values[i] for name, values in costs.items()}} for i, row in enumerate(rows)],
        differing={
            name: sum(row[name] != str(value) for row, value in zip(rows, values, strict=True))
            for name, values in costs.items()
            if name in rows[0]
        },
    )

"""Everything known about archs without torch: of one as a document, of many as columns of a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcofa.boards import Board
from mcofa.cost.arch_cost import EngineName, cost
from mcofa.cost.peak_items import macs, params, peak_items
from mcofa.cost.population import PopulationCosts
from mcofa.space.arch import Arch
from mcofa.space.search_space import Genomes, SearchSpace

_REPORTED_ARCHS = 2_048
Columns = dict[str, list[int | float]]
"""Numbers of many archs by name, each list (archs,)."""

_ARENA_KEYS = (
    "head_bytes",
    "tail_bytes",
    "recording_tail_bytes",
    "arena_used_bytes",
    "minimum_bytes",
    "minimum_cause",
    "breakdown",
)


def arch_cost(
    space: SearchSpace, arch: Arch, board: Board | None, engine: EngineName = "tflm"
) -> dict[str, Any]:
    """Return what ``arch_costs`` returns, for one arch; with a board and TFLM also the parts of the arena.

    Raises:
        InvalidArchError: the arch is not in the space.
    """
    genomes = space.encode([arch])
    found: dict[str, Any] = {name: values[0] for name, values in _anywhere(space, genomes).items()}
    if board is not None:
        on_board = cost(space, arch, board, engine)
        found |= {name: getattr(on_board, name) for name in ("arena_bytes", "model_bytes", "flash_bytes")}
        found["latency_ms"] = _milliseconds(on_board.latency.latency_ms)
        if on_board.arena is not None:
            found["arena"] = {key: getattr(on_board.arena, key) for key in _ARENA_KEYS}
    return found


def arch_costs(
    space: SearchSpace,
    genomes: Genomes,
    board: Board | None,
    report: Callable[[int], None],
    engine: EngineName = "tflm",
) -> Columns:
    """Return one list a number, each (archs,): peak items, MACs and weights; more with a board.

    The keys are ``peak_items``, ``macs`` and ``params``; with a board also ``arena_bytes`` (the
    minimum arena, exact), ``model_bytes`` (the .tflite file), ``flash_bytes`` (model, runtime
    and firmware) and ``latency_ms`` (an estimate). ``report`` is told now and then how many
    archs are done.
    """
    columns = _anywhere(space, genomes)
    if board is not None:
        columns |= _on_board(genomes, PopulationCosts(space, board, engine), report)
    return columns


def _on_board(genomes: Genomes, costs: PopulationCosts, report: Callable[[int], None]) -> Columns:
    columns: Columns = {"arena_bytes": [], "model_bytes": [], "flash_bytes": [], "latency_ms": []}
    for start in range(0, len(genomes), _REPORTED_ARCHS):
        some = genomes[start : start + _REPORTED_ARCHS]
        found = costs.evaluate(some)
        columns["arena_bytes"] += costs.exact_arena_bytes(some).tolist()
        columns["model_bytes"] += found.model_bytes.tolist()
        columns["flash_bytes"] += found.flash_bytes.tolist()
        columns["latency_ms"] += map(_milliseconds, found.latency_ms.tolist())
        report(start + len(some))
    return columns


def _milliseconds(latency_ms: float) -> float:
    return round(latency_ms, 3)


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

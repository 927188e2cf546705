"""docs/operators.md holds the table that the records make."""

from __future__ import annotations

from pathlib import Path

from mcofa.ops.table import operator_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"


def test_the_table_is_that_of_the_records() -> None:
    assert f"\n{operator_table()}\n" in PAGE.read_text(encoding="utf-8")

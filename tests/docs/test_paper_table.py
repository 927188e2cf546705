"""The archs that docs/paper-table-*.csv gives away: within their limits, and rated as the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcofa.accuracy.predictor import load_predictor
from mcofa.cost.peak_items import macs, peak_items
from mcofa.space.arch_table import read_archs
from mcofa.space.search_space import load_space


@pytest.mark.parametrize("name", ["ofa", "compofa", "mcofa-v3"])
def test_the_archs_of_the_paper_table_are_what_it_says(repo_root: Path, name: str) -> None:
    space = load_space(name)
    rows, genomes = read_archs(repo_root / "docs" / f"paper-table-{name}.csv", space)
    predicted = load_predictor(repo_root / "zoo" / f"{name}.npz", space).predict(space, genomes)

    def column(title: str) -> np.ndarray:
        return np.array([float(row[title]) for row in rows])

    assert len(rows) == 16
    np.testing.assert_array_equal(peak_items(space, genomes), column("peak_items"))
    np.testing.assert_array_equal(macs(space, genomes), column("macs"))
    np.testing.assert_allclose(predicted.top1_percent, column("predicted_top1_percent"), atol=0.001)
    np.testing.assert_allclose(predicted.std_points, column("predicted_top1_std_points"), atol=0.001)
    assert (column("peak_items") <= column("max_peak_items")).all()
    measured = np.array([row["range"] == "measured" for row in rows])
    assert measured.sum() == 8
    assert not predicted.extrapolates[measured].any()
    best = column("predicted_top1_percent")
    assert (best[~measured] >= best[measured] - 0.01).all()

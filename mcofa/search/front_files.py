"""A Pareto front as CSV and as an SVG picture, and the picture anew from the CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mcofa.cost.measures import MEASURES
from mcofa.draw.front import front_svg
from mcofa.errors import FileFormatError
from mcofa.search.found import Candidate
from mcofa.search.front import Front

_LARGEST = 1e15


def as_csv(front: Front) -> str:
    """Write one row a point: everything predicted, and the arch as text."""
    text = io.StringIO()
    columns = [*front.points[0].predicted(), "arch"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for point in front.points:
        writer.writerow([*point.predicted().values(), str(point.arch)])
    return text.getvalue()


def as_svg(front: Front, chosen: Candidate) -> str:
    """Draw the front and, large, the arch that was ``chosen``."""
    points = [_values(point.predicted(), front.measures) for point in front.points]
    return front_svg(front.measures, points, _values(chosen.predicted(), front.measures))


def svg_of_csv(text: str, measures: Sequence[str], chosen: Mapping[str, Any], source: str) -> str:
    """Draw a front that ``as_csv`` wrote; ``chosen`` holds what was predicted of the chosen arch.

    Raises:
        FileFormatError: ``text``, named ``source``, holds no such front.
    """
    try:
        points = [_values(row, measures) for row in csv.DictReader(io.StringIO(text))]
        return front_svg(measures, points, _values(chosen, measures))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise FileFormatError(source, "holds no Pareto front", "search again with `--pareto`") from error


def _values(row: Mapping[str, Any], measures: Sequence[str]) -> dict[str, float]:
    values = {name: float(row[MEASURES[name].key]) for name in measures}
    if not all(abs(value) <= _LARGEST for value in values.values()):
        raise ValueError(f"not a number up to {_LARGEST:g}")
    return values

"""Fronts of points that no other point beats in every respect, and their hypervolume.

Points are (points, measures) with two or three measures, all of them made small.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def nondominated(points: Floats) -> npt.NDArray[np.intp]:
    """Return the rows of the points that no other one dominates, ascending; of equal points the first."""
    kept: list[int] = []
    # Whatever dominates a point has a smaller sum, so the first of the rest is dominated by none.
    rest = np.argsort(points.sum(1), kind="stable")
    while len(rest):
        kept.append(int(rest[0]))
        rest = rest[1:][~dominated(points[rest[1:]], points[rest[:1]])]
    return np.sort(np.array(kept, np.intp))


def dominated(points: Floats, by: Floats) -> Booleans:
    """Say which ``points`` are nowhere better than one of the points ``by``, (points,)."""
    if not len(by):
        return np.zeros(len(points), bool)
    nowhere_better = np.ones((len(points), len(by)), bool)
    for measure in range(points.shape[1]):
        nowhere_better &= by[:, measure] <= points[:, None, measure]
    return np.asarray(nowhere_better.any(1))


def hypervolume(points: Floats, reference: Floats) -> float:
    """Return the volume between a front and a reference point, in the product of the measures' units.

    It is what the points dominate and the reference point bounds. Points that are not better than the
    reference in every measure add nothing.
    """
    points = points[(points < reference).all(1)]
    if not len(points):
        return 0.0
    # Slices between neighbouring values of the last measure; in each, those points count that lie below.
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(points[1:, -1], reference[-1])
    volume = 0.0
    for i in np.flatnonzero(ends > points[:, -1]):
        volume += (ends[i] - points[i, -1]) * _area(points[: i + 1, :-1], reference[:-1])
    return float(volume)


def _area(points: Floats, reference: Floats) -> float:
    """The hypervolume of points with one or two measures."""
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.lexsort([points[:, 1], points[:, 0]])]
    lowest = np.minimum.accumulate(points[:, 1])
    widths = np.append(points[1:, 0], reference[0]) - points[:, 0]
    return float((widths * (reference[1] - lowest)).sum())

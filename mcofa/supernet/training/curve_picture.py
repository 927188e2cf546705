"""What the picture of a training phase shows."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.draw.curves import BLUE, GREY, ORANGE, Curve, curves_svg
from mcofa.supernet.training.curves import Point

_SMOOTHED_POINTS = 25


def curve_picture(title: str, points: Sequence[Point]) -> str:
    """Draw loss and accuracies over the steps; what is seen on training batches as a running mean."""
    loss = _smoothed([(p.step, p.loss) for p in points if p.loss is not None])
    train = _smoothed([(p.step, p.train_top1_percent) for p in points if p.train_top1_percent is not None])
    smallest = [(p.step, p.smallest_top1_percent) for p in points if p.smallest_top1_percent is not None]
    largest = [(p.step, p.largest_top1_percent) for p in points if p.largest_top1_percent is not None]
    accuracies = (
        Curve("training batches, %", GREY, train),
        Curve("validation, largest subnet, %", BLUE, largest),
        Curve("validation, smallest subnet, %", ORANGE, smallest),
    )
    return curves_svg(title, [[Curve("loss on training batches", BLUE, loss)], accuracies])


def _smoothed(values: list[tuple[int, float]]) -> list[tuple[int, float]]:
    means = []
    for index, (step, _) in enumerate(values):
        window = [value for _, value in values[max(0, index + 1 - _SMOOTHED_POINTS) : index + 1]]
        means.append((step, sum(window) / len(window)))
    return means

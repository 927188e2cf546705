"""The one table of measures: figures of a network that a search may limit, rank by, draw or list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a network.

    ``title`` names it, ``amount`` after a number of it; ``option`` limits it, if anything does.
    ``axis_unit`` is what a picture counts it in, ``axis_scale`` how many units that is. Measures
    ``on_board`` need a board. ``key`` is its name among what is recorded of a candidate.
    """

    name: str
    title: str
    unit: str
    amount: str
    axis_unit: str
    axis_scale: float = 1
    option: str = ""
    on_board: bool = False
    note: str = ""

    @property
    def key(self) -> str:
        """The name among recorded figures: an estimate says so."""
        return f"{self.name}_{self.note}" if self.note == "estimate" else self.name

    @property
    def label(self) -> str:
        """The title, with what must be known about the figure."""
        return f"{self.title} ({self.note})" if self.note else self.title

    @property
    def column(self) -> str:
        """The heading of a column of amounts."""
        if self.unit == "%":
            return f"{self.title} {self.note}"
        return f"{self.title} ms" if self.unit == "ms" else self.title

    @property
    def axis(self) -> str:
        """What stands at the axis of a picture."""
        return f"{self.label}, {self.axis_unit}"

    def words(self, value: float) -> str:
        """Write an amount with its unit."""
        number = f"{value:,.2f}" if self.unit == "ms" else f"{value:,.0f}"
        return f"{number} {self.unit}".rstrip()

    def argument(self, value: float) -> str:
        """Write an amount for ``option`` that allows ``value``."""
        return f"{math.ceil(100 * value) / 100:.2f}" if self.unit == "ms" else f"{value:.0f}"


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            *("arena_bytes", "arena", "B", "of arena", "KiB", 1024),
            option="--max-arena-bytes",
            on_board=True,
        ),
        Measure(
            *("model_bytes", "model file", "B", "of model file", "KiB", 1024),
            option="--max-model-bytes",
            on_board=True,
        ),
        Measure(
            *("flash_bytes", "flash", "B", "of flash", "KiB", 1024),
            option="--max-flash-bytes",
            on_board=True,
        ),
        Measure(
            *("latency_ms", "latency", "ms", "of estimated latency", "ms"),
            option="--max-latency-ms",
            on_board=True,
            note="estimate",
        ),
        Measure("macs", "MACs", "", "MACs", "millions", 1e6),
        Measure(*("peak_items", "peak items", "", "peak items", "thousands", 1e3), option="--max-peak-items"),
        Measure("top1_percent", "top-1", "%", "of top-1", "%", note="predicted"),
    )
}
"""The measures by name, in the order in which they are listed."""

ON_BOARD = tuple(name for name, measure in MEASURES.items() if measure.on_board)
"""What a board is needed for."""

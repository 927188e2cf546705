"""Time limits: one may cover several searches."""

from __future__ import annotations

import time


class Deadline:
    """A moment after which a search stops with what it has; without ``seconds`` there is none.

    ``started`` is when the time began to run, on the clock of ``time.monotonic``; now, if left out.
    """

    def __init__(self, seconds: float | None = None, started: float | None = None) -> None:
        self.seconds = seconds
        self.started = time.monotonic() if started is None else started

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and time.monotonic() - self.started > self.seconds


NEVER = Deadline()
"""No time limit."""

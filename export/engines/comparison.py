"""A prediction beside its measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """A size of ``part`` at a ``place`` in bytes, predicted and measured.

    ``measured_bytes`` is None where nothing could be measured, and ``why_not`` then says why. Where
    ``exact``, both must be equal, else no more may be measured than was predicted. ``note`` says how it was
    measured.
    """

    place: str
    part: str
    predicted_bytes: int
    measured_bytes: int | None
    exact: bool = True
    by: str = ""
    why_not: str = ""

    @property
    def failure(self) -> str:
        """What is wrong, or "" where it is as it must be or not known."""
        if self.measured_bytes is None:
            return ""
        right = self.measured_bytes == self.predicted_bytes
        if right or (not self.exact and self.measured_bytes < self.predicted_bytes):
            return ""
        return (
            f"{self.part} on {self.place}: predicted {self.predicted_bytes:,} B, "
            f"{self.by} measured {self.measured_bytes:,} B"
        )

    @property
    def title(self) -> str:
        """What is checked."""
        return f"{self.part} predicted {'=' if self.exact else '≥'} measured ({self.place})"

    def sizes(self) -> dict[str, str | int | None]:
        """Return both sizes and what they are of."""
        return {
            "place": self.place,
            "part": self.part,
            "predicted_bytes": self.predicted_bytes,
            "measured_bytes": self.measured_bytes,
        }

    def to_json(self) -> dict[str, int | None]:
        """Return both sizes, named after place and part."""
        place = self.place.replace("-", "_")
        return {
            f"{place}_predicted_{self.part}_bytes": self.predicted_bytes,
            f"{place}_measured_{self.part}_bytes": self.measured_bytes,
        }

"""Whether a word names a file of the user's, or something that comes with mcofa."""

from __future__ import annotations

from pathlib import Path


def file_of(name_or_path: str) -> Path | None:
    """Return the path that a word is: it ends in .yaml or .yml, or holds a slash; a name gives None."""
    path = Path(name_or_path)
    return path if path.suffix.lower() in (".yaml", ".yml") or "/" in name_or_path else None

"""Board files of one's own, made from a board that comes with mcofa."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mcofa.files.resources import data_folder


def own_board(path: Path, name: str, ram_bytes: int, of: str = "stm32f103", **changes: Any) -> Path:
    """Write a board like ``of`` into ``path``, with another name and another size of its last memory."""
    document = yaml.safe_load((data_folder("boards") / f"{of}.yaml").read_text())
    document["memories"][-1]["bytes"] = ram_bytes
    path.write_text(yaml.safe_dump({**document, "name": name, **changes}))
    return path

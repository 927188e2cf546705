"""Where the data files are: boards, templates, configs, spaces and the zoo.

In a checkout they lie beside the packages; in an installed wheel they are
mapped into ``mcofa/_data``. This module is the only one that knows.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """Return the folder ``name`` (``boards``, ``firmware_templates``, ``configs`` or ``zoo``)."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name

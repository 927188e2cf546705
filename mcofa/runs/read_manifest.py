"""Reading ``manifest.json`` without trust: it holds what JSON can say of a run, or is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from mcofa.errors import FileFormatError, MissingFileError


def read_manifest(path: Path) -> dict[str, Any]:
    """Return every section of a manifest as it stands there.

    Raises:
        MissingFileError: there is none.
        FileFormatError: it cannot be read, or is not what JSON can say of a run.
    """
    step = "delete it and search again with `mcofa search --board BOARD`"
    try:
        manifest = from_json(path.read_bytes(), allow_inf_nan=False)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(path, "run", "make one with `mcofa search --board BOARD`") from error
    except OSError as error:
        raise FileFormatError(
            path, f"cannot be read: {error.strerror or error}", "check what it is, and its permissions"
        ) from error
    except ValueError as error:
        raise FileFormatError(path, f"not a manifest: {error}", step) from error
    if not isinstance(manifest, dict):
        raise FileFormatError(path, f"not a manifest: holds a {type(manifest).__name__}", step)
    if empty := [name for name, section in manifest.items() if section is None]:
        raise FileFormatError(path, f"not a manifest: {empty[0]} is null", step)
    if not _finite(manifest):
        raise FileFormatError(path, "not a manifest: holds a number that is too large", step)
    return manifest


def _finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)

"""Reading ``manifest.json`` without trust: whatever it holds, it is taken or refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic_core import from_json, to_json

from mcofa.errors import FileFormatError, MissingFileError
from mcofa.files.yaml_file import describe, unknown_keys_first
from mcofa.runs.manifest import SECTIONS, Manifest, Part, Section

_Part = TypeVar("_Part", bound=Part)


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


def typed_section(name: str, document: object, path: Path) -> Section:
    """Return the section ``name`` of the manifest ``path``, checked.

    Raises:
        FileFormatError: a key is missing, or has a value that it cannot have.
    """
    return _typed(SECTIONS[name], document, path, name)


def typed_manifest(document: Mapping[str, Any], path: Path) -> Manifest:
    """Return the manifest ``path``, every section checked.

    Raises:
        FileFormatError: a key is missing, or has a value that it cannot have.
    """
    return _typed(Manifest, document, path)


def _typed(model: type[_Part], document: object, path: Path, *place: str) -> _Part:
    try:
        # As JSON, so that lists are told from tuples strictly.
        return model.model_validate_json(to_json(document))
    except pydantic.ValidationError as error:
        problem = unknown_keys_first(error.errors())[0]
        keys = [*place, *map(str, problem["loc"])]
        command = keys[0].replace("_", "-") if keys and keys[0] in SECTIONS else "search"
        words = describe(problem, ".".join(keys), list(model.model_fields))
        raise FileFormatError(path, words, f"run `mcofa {command}` again") from error


def _finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)

"""Checking a manifest that was read: every section has the types that commands rely on, or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic_core import to_json

from mcofa.errors import FileFormatError
from mcofa.files.yaml_file import describe, unknown_keys_first
from mcofa.runs.manifest import SECTIONS, Manifest, Part, Section

_Part = TypeVar("_Part", bound=Part)


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

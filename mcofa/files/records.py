"""Frozen dataclasses from documents of plain keys and values: no unknown key, no wrong type."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import pydantic

from mcofa.errors import FileFormatError
from mcofa.files.yaml_file import describe, unknown_keys_first

Record = TypeVar("Record")

_ADAPTERS: dict[type[Any], pydantic.TypeAdapter[Any]] = {}


def read_record(kind: type[Record], document: Mapping[Any, Any], where: Path | str, next_step: str) -> Record:
    """Return the dataclass ``kind`` that a document describes.

    Raises:
        FileFormatError: names ``where`` the document is, the key, its value and what it must be.
    """
    try:
        # From JSON, pydantic tells a list and a mapping from a scalar strictly.
        adapter = _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, pydantic.TypeAdapter(kind))
        found: Record = adapter.validate_json(json.dumps(document))
        return found
    except pydantic.ValidationError as error:
        problem = unknown_keys_first(error.errors())[0]
        place = [str(part) for part in problem["loc"]]
        detail = describe(problem, ".".join(place), _keys_at(kind, place[:-1]))
        raise FileFormatError(where, detail, next_step) from error
    except (TypeError, ValueError) as error:
        raise FileFormatError(where, f"not plain keys and values: {error}", next_step) from error


def _keys_at(kind: type[Any], place: Sequence[str]) -> list[str]:
    """Return the keys of the mapping that lies at ``place`` in a ``kind``."""
    for key in place:
        hint = get_type_hints(kind).get(key)
        parts = [part for part in (hint, *get_args(hint)) if dataclasses.is_dataclass(part)]
        kind = next((part for part in parts if isinstance(part, type)), kind)
    return [field.name for field in dataclasses.fields(kind)]

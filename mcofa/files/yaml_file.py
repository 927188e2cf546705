"""YAML files whose keys a model defines: read strictly, and refused in words that help to correct them."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Sequence
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pydantic
import yaml

from mcofa.errors import FileFormatError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=pydantic.BaseModel)
Document = dict[Any, Any]

_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def read_yaml(path: Path, next_step: str) -> Document:
    """Return the keys and values of a YAML file; an empty one has none.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it cannot be read, is not YAML, holds no keys, or one twice.
    """
    try:
        document = yaml.load(path.read_bytes(), _Loader)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror or error}", next_step) from error
    except _DuplicateKeyError as error:
        raise FileFormatError(path, str(error), next_step) from error
    except (yaml.YAMLError, ValueError) as error:
        raise FileFormatError(path, f"not YAML: {' '.join(str(error).split())}", next_step) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        problem = f"holds a {type(document).__name__} where a mapping of keys is needed"
        raise FileFormatError(path, problem, next_step)
    return document


def read_model(
    path: Path, model: type[Model], next_step: str, element_name: Callable[[Any], str] = lambda _: ""
) -> Model:
    """Return what a YAML file describes; ``element_name`` says what an element of a list is called.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it cannot be read, or a key is unknown, missing, twice there, or has a bad value.
    """
    document = read_yaml(path, next_step)
    try:
        return model.model_validate(document)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            describe(problem, _place(document, problem["loc"], element_name), _keys_of(model, problem["loc"]))
            for problem in unknown_keys_first(error.errors())
        )
        raise FileFormatError(path, problems, next_step) from error


def unknown_keys_first(problems: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the problems in the order in which they are worth telling: a misspelt key is missing too."""
    return sorted(problems, key=lambda problem: problem["type"] not in _UNKNOWN_KEY)


def describe(problem: ErrorDetails, place: str, known_keys: Sequence[str]) -> str:
    """Say what is wrong at a ``place``; ``known_keys`` are those of the mapping that it is in."""
    if problem["type"] in _UNKNOWN_KEY:
        close = difflib.get_close_matches(str(problem["loc"][-1]), known_keys, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"unknown key {place!r}{hint}; valid keys: {', '.join(known_keys)}"
    if problem["type"] == "missing":
        return f"missing key {place!r}"
    if problem["type"] == "value_error":
        return f"{place + ': ' if place else ''}{problem['ctx']['error']}"
    return f"{place} is {reprlib.repr(problem['input'])}: {problem['msg']}"


def _place(document: Any, keys: Sequence[int | str], element_name: Callable[[Any], str]) -> str:
    """Write keys with dots between them: ``phases.2 (depth-1).epochs``."""
    parts = []
    for key in keys:
        found = isinstance(document, dict) and key in document
        found = found or (isinstance(document, list) and isinstance(key, int) and key < len(document))
        document = document[key] if found else None
        name = element_name(document) if isinstance(key, int) else ""
        parts.append(f"{key} ({name})" if name else str(key))
    return ".".join(parts)


def _keys_of(model: type[pydantic.BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys of the mapping in which ``place`` lies."""
    for key in place[:-1]:
        if isinstance(key, str) and key in model.model_fields:
            annotation = model.model_fields[key].annotation
            models = (each for each in (annotation, *get_args(annotation)) if isclass(each))
            model = next((each for each in models if issubclass(each, pydantic.BaseModel)), model)
    return list(model.model_fields)


class _DuplicateKeyError(yaml.YAMLError):
    """A mapping that has a key twice, of which YAML's own loader keeps the last."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                first = lines.setdefault((key.tag, key.value), line)
                if first != line:
                    raise _DuplicateKeyError(f"key {key.value!r} is in line {first} and again in line {line}")
        return node

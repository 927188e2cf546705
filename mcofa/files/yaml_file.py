"""YAML files whose keys a model defines: read strictly, and refused in words that help to correct them."""

from __future__ import annotations

import difflib
import math
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

_LARGEST_BYTES = 1 << 20
_LARGEST_INTEGER = (1 << 63) - 1
_MOST_DIGITS = 100
_DEEPEST = 50
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def read_yaml(path: Path, next_step: str) -> Document:
    """Return the keys and values of a YAML file; an empty one has none.

    Values are those of JSON: text, numbers, true, false, null, lists and mappings.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it cannot be read, is not YAML, holds no keys, or one twice, or is larger or
            nested deeper than a file that somebody wrote.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
        if len(text) > _LARGEST_BYTES:
            raise _RefusedError(f"has more than {_LARGEST_BYTES:,} bytes")
        document = yaml.load(text, _Loader)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror or error}", next_step) from error
    except _RefusedError as error:
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


class _RefusedError(yaml.YAMLError):
    """What YAML allows and these files may not hold."""


class _Loader(yaml.SafeLoader):
    """YAML with the values of JSON: what has a tag of its own, or stands for something else, is refused."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _RefusedError(f"line {line} refers to an anchor (*{event.anchor}); write the value out")
        if getattr(event, "tag", None) is not None:
            raise _RefusedError(f"line {line} has a tag ({event.tag}); leave it out")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _RefusedError("lists and mappings are nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _RefusedError(f"the key in line {line} is a list or a mapping; a key is text")
            first = lines.setdefault(key.value, line)
            if first != line:
                raise _RefusedError(f"key {key.value!r} is in line {first} and again in line {line}")
        return node

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _RefusedError(f"line {node.start_mark.line + 1} holds half a character (a lone surrogate)")
        return text

    def construct_integer(self, node: Any) -> int:
        # Python refuses to convert some thousand digits.
        number: int | None = self.construct_yaml_int(node) if len(node.value) <= _MOST_DIGITS else None
        if number is None or abs(number) > _LARGEST_INTEGER:
            raise _RefusedError(f"line {node.start_mark.line + 1} holds a number beyond 64 bits")
        return number

    def construct_number(self, node: Any) -> float:
        number: float = self.construct_yaml_float(node)
        if not math.isfinite(number):
            raise _RefusedError(
                f"line {node.start_mark.line + 1} holds {node.value}, which is no finite number"
            )
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
# Dates stay text, and no key merges another mapping in.
_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in resolvers if entry[0].rpartition(":")[2] not in ("timestamp", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

"""The space that a run searched, as its manifest holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from mcofa.errors import FileFormatError
from mcofa.space.search_space import SearchSpace, load_space, space_names


def searched_space(searched: Mapping[str, Any], source: str) -> SearchSpace:
    """Return the space of the search section of the manifest ``source``.

    A section without ``space_definition`` names a space that comes with mcofa.

    Raises:
        FileFormatError: there is no definition, and none of mcofa's spaces is the one.
    """
    name, fingerprint = searched["space"], searched["space_fingerprint"]
    space = None
    if "space_definition" in searched:
        space = _defined(searched["space_definition"])
    elif name in space_names():
        space = load_space(name)
    if space is None or space.fingerprint != fingerprint:
        raise FileFormatError(
            source,
            f"the space {name} ({fingerprint}) that was searched is neither in it nor among mcofa's",
            "search again with `mcofa search --space FILE`",
        )
    return space


def _defined(definition: object) -> SearchSpace | None:
    try:
        return SearchSpace.model_validate(definition)
    except pydantic.ValidationError:
        return None

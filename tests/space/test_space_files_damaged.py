"""Space files with anything in any place: refused in one sentence, or a space that works."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from depthwise_separable import depthwise_separable_space
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.cost.arch_cost import graph_macs
from mcofa.errors import McofaError
from mcofa.lowering import lower
from mcofa.space.search_space import SearchSpace, load_space

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.integers(-(2**70), 2**70),
    st.sampled_from([127, 128, 2_048, 2_049, 8_192, 10**6, 10**12]),
    st.floats(allow_nan=True, allow_infinity=True),
)
SCALARS = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["relu", "hard_swish", "ds", "mbconv", "same", "symmetric", "mean", "28", "40x24"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    found = [path] if path else []
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in items:
            found += places(value, (*path, key))
    return found


@st.composite
def damaged(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document with one to three values replaced, removed or written twice."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        if not (paths := places(document)):
            break
        *parents, last = draw(st.sampled_from(paths))
        inside = document
        for key in parents:
            inside = inside[key]
        match draw(st.sampled_from(["replace", "remove", "repeat"])):
            case "replace":
                inside[last] = draw(VALUES)
            case "remove":
                del inside[last]
            case "repeat" if isinstance(inside, list):
                inside.extend(copy.deepcopy(inside[last]) for _ in range(draw(st.integers(1, 200))))
    return document


def document_of(space: SearchSpace) -> dict[str, Any]:
    document: dict[str, Any] = space.model_dump(mode="json")
    return document


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spaces") / "space.yaml"


@given(data=st.data())
@settings(max_examples=400)
@pytest.mark.parametrize("family", ["mbconv", "ds"])
def test_a_damaged_space_file(tiny_space: SearchSpace, path: Path, family: str, data: st.DataObject) -> None:
    whole = tiny_space if family == "mbconv" else depthwise_separable_space()
    written = yaml.dump(data.draw(damaged(document_of(whole))), Dumper=WithoutAliases)
    path.write_text(written, encoding="utf-8")
    try:
        space = load_space(str(path))
    except McofaError as error:
        refusal = error.problem
    else:
        assert_works(space)
        return
    assert refusal.startswith(f"{path}: ")
    assert len(refusal.splitlines()) == 1


def assert_works(space: SearchSpace) -> None:
    assert SearchSpace.model_validate_json(space.model_dump_json()) == space
    genomes = space.sample(3, np.random.default_rng(0))
    assert (space.encode([space.decode(genome) for genome in genomes]) == genomes).all()
    for arch in (space.smallest(), space.largest()):
        graph = lower(space, arch)
        assert graph.tensors[graph.outputs[0]].items == space.classes
        assert graph_macs(graph) < 2**63


class WithoutAliases(yaml.SafeDumper):
    """Writes equal values out, as space files hold no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.errors import FileFormatError
from mcofa.space.arch import Arch, arch_from_json, parse_arch

ARCH = Arch(28, ((3, 5), (7,)), ((2.0, 1.5), (4.0,)))
JSON = {"resolution": 28, "kernel_sizes": [[3, 5], [7]], "expand_ratios": [[2, 1.5], [4]]}

archs = st.lists(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1.0, 1.5, 2.0, 4.0])))).map(
    lambda stages: Arch(
        32,
        tuple(tuple(kernel for kernel, _ in stage) for stage in stages),
        tuple(tuple(expand for _, expand in stage) for stage in stages),
    )
)


def test_depths_are_the_blocks_of_each_stage() -> None:
    assert ARCH.depths == (2, 1)


def test_text_form_shows_every_block() -> None:
    assert str(ARCH) == "r28 | k3e2 k5e1.5 | k7e4"


def test_json_by_hand() -> None:
    assert ARCH.to_json() == JSON
    assert parse_arch(json.dumps(JSON), "here") == ARCH


@given(archs)
def test_json_round_trip(arch: Arch) -> None:
    assert parse_arch(json.dumps(arch.to_json()), "here") == arch


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"depth": 3}, "found ['depth', 'expand_ratios', 'kernel_sizes', 'resolution']"),
        ({"resolution": "28"}, "'28' is neither a side in pixels nor [height, width]"),
        ({"resolution": None}, "None is neither a side in pixels nor [height, width]"),
        ({"resolution": True}, "True is neither a side in pixels nor [height, width]"),
        ({"resolution": 28.5}, "28.5 is neither a side in pixels nor [height, width]"),
        ({"resolution": float("inf")}, "inf is neither a side in pixels nor [height, width]"),
        ({"kernel_sizes": 3}, "3 is not one list a stage"),
        ({"kernel_sizes": [3, 5, 7]}, "[3, 5, 7] is not one list a stage"),
        ({"kernel_sizes": "357"}, "'357' is not one list a stage"),
        ({"kernel_sizes": [["3", "5"], [7]]}, "'3' is no whole number"),
        ({"kernel_sizes": [[3, 5.5], [7]]}, "5.5 is no whole number"),
        ({"expand_ratios": [[2, None], [4]]}, "None is no number"),
        ({"expand_ratios": [[2, "4"], [4]]}, "'4' is no number"),
        ({"expand_ratios": [[2, 10**400], [4]]}, "too large"),
        ({"expand_ratios": [[2], [4]]}, "different depths"),
        ({"expand_ratios": [[2, 2]]}, "different depths"),
    ],
)
def test_refuses_what_is_no_arch(damage: dict[str, object], complaint: str) -> None:
    with pytest.raises(FileFormatError) as refusal:
        arch_from_json(JSON | damage, "best.json")
    assert refusal.value.problem.startswith("best.json: ")
    assert complaint in refusal.value.problem


def test_oblong_images_are_height_and_width() -> None:
    arch = arch_from_json(JSON | {"resolution": [40, 24]}, "best.json")
    assert arch.resolution == (40, 24)
    assert arch.to_json()["resolution"] == [40, 24]
    assert str(arch).startswith("r40x24 | ")
    assert arch_from_json(JSON | {"resolution": [28, 28]}, "best.json").resolution == 28


def test_refuses_json_nested_too_deeply() -> None:
    with pytest.raises(FileFormatError, match=r"best\.json: not"):
        parse_arch("[" * 100_000, "best.json")


@pytest.mark.parametrize("missing", sorted(JSON))
def test_refuses_a_missing_key(missing: str) -> None:
    with pytest.raises(FileFormatError, match="expected the keys"):
        arch_from_json({key: value for key, value in JSON.items() if key != missing}, "best.json")


@pytest.mark.parametrize("text", ["", "{", "[28", "resolution: 28"])
def test_refuses_what_is_no_json(text: str) -> None:
    with pytest.raises(FileFormatError, match=r"best\.json: not JSON"):
        parse_arch(text, "best.json")


@pytest.mark.parametrize("text", ["[]", "28", "null", '"arch"'])
def test_refuses_other_json(text: str) -> None:
    with pytest.raises(FileFormatError, match=r"best\.json: not an arch"):
        parse_arch(text, "best.json")

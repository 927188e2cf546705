from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcofa.boards import board_names
from mcofa.files.names import checked_name, checked_text
from mcofa.space.search_space import space_names


@pytest.mark.parametrize("name", [*board_names(), *space_names(), "a", "0", "A-b.c_d", "x" * 64])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "-x",
        "_x",
        ".x",
        "a b",
        "a\n",
        "a\0",
        "ä",
        "a\u202e",
        "x" * 65,
        "$(x)",
    ],
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="a name has 1 to 64 letters") as raised:
        checked_name(name)
    assert str(raised.value).isprintable()


@given(st.text())
def test_a_name_is_one_entry_of_a_folder(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    path = Path("folder") / name
    assert path.parent == Path("folder")
    assert path.name == name
    assert not set(name) & set(" $\"'`\\*?[]{}()<>|&;#~!%\n\0")


@pytest.mark.parametrize("text", ["a\nb", "a\0", "\x1b[31m", "a\u202e", "\ud800", "x" * 201])
def test_text_is_refused_in_printable_words(text: str) -> None:
    with pytest.raises(ValueError, match="title ") as raised:
        checked_text("title", text)
    assert str(raised.value).isprintable()

"""Names that users give: one pattern for all of them.

A name may become a folder, part of a file name or of a symbol, so it cannot hold what means
something there.
"""

from __future__ import annotations

import re
import reprlib

NAME_RULE = "1 to 64 letters (a to z), digits, points, hyphens and underscores, first a letter or digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(name: str) -> str:
    """Return ``name`` if it is one.

    Raises:
        ValueError: it is not; the message says what a name is.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name is {reprlib.repr(name)}; a name has {NAME_RULE}")
    return name


def checked_text(what: str, text: str, longest: int = 200) -> str:
    """Return ``text`` if it is one line that can be shown as it is: no control or invisible characters.

    Raises:
        ValueError: it is not, or has more than ``longest`` characters.
    """
    if not text.isprintable():
        unprintable = next(character for character in text if not character.isprintable())
        raise ValueError(f"{what} holds the character {unprintable!a}; it must be one line of printable text")
    if len(text) > longest:
        raise ValueError(f"{what} has {len(text):,} characters; at most {longest} are allowed")
    return text

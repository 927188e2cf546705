"""Text as each language of the generated files holds it, whatever the text is.

Names and titles come from files that anybody may have written. A template writes such text only
through one of these filters, the one for the place where it stands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_BEYOND_NAMES = {"_": "__", "-": "_h", ".": "_p"}
_COMMENT_SIGN = re.compile(r"(\*(?=/)|/(?=\*)|\?(?=\?))")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&#~])")


def comment(text: str) -> str:
    """Return ``text`` for a comment of C, a linker script or a Makefile: one line that ends none of them.

    A backslash, which may continue a line, becomes a slash, a character that cannot be seen a
    question mark; signs that begin or end something are set apart.
    """
    line = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text).replace("\\", "/")
    return _COMMENT_SIGN.sub(r"\1 ", line)


def c_string(text: str) -> str:
    """Return a C string literal of the UTF-8 bytes of ``text``, in plain ASCII."""
    return '"' + "".join(map(_c_character, text.encode())) + '"'


def recipe_word(text: str) -> str:
    """Return ``text`` as one word of a command in a Makefile's recipe, as the command will read it.

    A line break, which would end the command, becomes a space.
    """
    return shlex.quote(" ".join(text.splitlines())).replace("$", "$$")


def recipe_command(words: Iterable[str]) -> str:
    """Return an argument list as a command in a Makefile's recipe."""
    return " ".join(map(recipe_word, words))


def command_line(words: Iterable[str]) -> str:
    """Return an argument list as a person types it into a shell."""
    return shlex.join(words)


def make_value(words: Iterable[str]) -> str:
    """Return words, which a recipe will pass on, as the value of a variable of a Makefile."""
    return recipe_command(words).replace("#", "\\#")


def memory_symbol(name: str) -> str:
    """Return the symbol of a linker script for the memory ``name``; no two names have the same one."""
    return "memory_" + "".join(_BEYOND_NAMES.get(character, character) for character in name)


def markdown(text: str) -> str:
    """Return ``text`` as a Markdown paragraph shows it, without markup, links or HTML."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _c_character(byte: int) -> str:
    """A question mark is escaped so that no trigraph appears; octal escapes have a fixed width."""
    if chr(byte) in '"\\?':
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"

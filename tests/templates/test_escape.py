"""What the languages of the generated files make of escaped text: the compiler, make and the shell say it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from export.templates.escape import (
    c_string,
    command_line,
    comment,
    make_value,
    markdown,
    memory_symbol,
    recipe_command,
    recipe_word,
)

HOSTILE = (
    "plain text",
    "*/ int x; /*",
    "**/ /**/ /*/",
    "ends in a backslash \\",
    "ends in a trigraph ??/",
    "??????/ ???",
    "a \"quoted\" word, 'another'",
    "$(shell touch escaped) $(touch escaped) `touch escaped` ${HOME} $$ $@ $",
    "; touch escaped # | touch escaped && touch escaped",
    "line\nbreak\r\nand another\v\f\x1c\x85\u2028end",
    "%s %n \t tab",
    "éü€𝄞 \u202e turned \u200b",
    "[a](javascript:b) <script>c</script> ![d](e) `f` **g** _h_ | i | # j",
    "-n -e",
    "~ * ? [a-z] {a,b} !!",
    "",
)


def make(folder: Path, text: str) -> list[str]:
    """Run a Makefile and return the lines that its recipe prints."""
    (folder / "Makefile").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["make", "--silent", "all"], cwd=folder, capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert sorted(path.name for path in folder.iterdir()) == ["Makefile"]
    return done.stdout.decode().splitlines()


def test_comments_end_where_they_should(tmp_path: Path) -> None:
    lines = [f"// {comment(text)}\nint a{i};\n/* {comment(text)} */" for i, text in enumerate(HOSTILE)]
    last = [f"int b{i}; // {comment(text)}" for i, text in enumerate(HOSTILE)]
    asked = [f"  n += a{i} + b{i};" for i in range(len(HOSTILE))]
    source = "\n".join([*lines, *last, "int main(void) { int n = 0;", *asked, "  return n; }", ""])
    (tmp_path / "comments.c").write_text(source, encoding="utf-8")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wbidi-chars=any"]
    subprocess.run(["gcc", *strict, "comments.c", "-o", "comments"], cwd=tmp_path, check=True)
    subprocess.run(["./comments"], cwd=tmp_path, check=True)
    in_makefile = "".join(f"# {comment(text)}\nLINE{i} = {i}\n" for i, text in enumerate(HOSTILE))
    (tmp_path / "comments.c").unlink()
    (tmp_path / "comments").unlink()
    print_all = "".join(f"\t@echo $(LINE{i})\n" for i in range(len(HOSTILE)))
    assert make(tmp_path, f"{in_makefile}all:\n{print_all}") == [str(i) for i in range(len(HOSTILE))]


def test_strings_keep_every_byte(tmp_path: Path) -> None:
    literals = ",\n".join(map(c_string, HOSTILE))
    source = f"#include <stdio.h>\nstatic const char* const all[] = {{\n{literals}}};\n"
    source += "int main(void) { for (unsigned i = 0; i < sizeof all / sizeof *all; ++i) "
    source += "{ fputs(all[i], stdout); putchar(0); } }\n"
    (tmp_path / "strings.c").write_text(source, encoding="utf-8")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *strict, "strings.c", "-o", "strings"], cwd=tmp_path, check=True)
    done = subprocess.run(["./strings"], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.decode().split("\0")[:-1] == list(HOSTILE)


def test_a_recipe_passes_words_on_as_they_are(tmp_path: Path) -> None:
    words = [" ".join(text.splitlines()) for text in HOSTILE]
    each = "".join(f"\tprintf '%s\\n' {recipe_word(text)}\n" for text in HOSTILE)
    together = f"\tprintf '%s\\n' {recipe_command(HOSTILE)}\n"
    variable = f"WORDS := {make_value(HOSTILE)}\nall:\n\tprintf '%s\\n' $(WORDS)\n"
    assert make(tmp_path, f"all:\n{each}") == words
    assert make(tmp_path, f"all:\n{together}") == words
    assert make(tmp_path, variable) == words


def test_a_command_line_is_read_back_by_the_shell() -> None:
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command_line(HOSTILE)}"], capture_output=True, check=True
    )
    assert shown.stdout.decode().split("\0")[:-1] == list(HOSTILE)


@given(st.text(), st.text())
def test_comment_is_one_line_wherever_it_stands(before: str, text: str) -> None:
    written = comment(before + text)
    assert written.isprintable()
    assert not any(sign in written for sign in ("\\", "*/", "/*", "??"))


NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@given(
    st.sets(NAMES, max_size=8), st.sampled_from(["ram-1", "ram_1", "ram.1", "ram_h1", "1mb-sram", "ORIGIN"])
)
def test_no_two_memories_have_the_same_symbol(names: set[str], other: str) -> None:
    names.add(other)
    symbols = {memory_symbol(name) for name in names}
    assert len(symbols) == len(names)
    assert all(symbol.isidentifier() and symbol.isascii() for symbol in symbols)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    shown = MarkdownIt("commonmark").render(f"Board: {markdown(text)}")
    expected = " ".join(f"Board: {text}".split())
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        expected = expected.replace(sign, entity)
    assert shown == f"<p>{expected}</p>\n"

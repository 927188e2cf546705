"""Mutations: of bytes, of documents (what JSON and YAML hold) and of tables."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64),
    *(-(2**31), -(2**63), 10**18, 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1.5, 1e-300, 1e18, 1e300, math.inf, -math.inf, math.nan),
)
TEXTS = (
    *("", " ", "\t", "\n", "a\nb", "\x00", "\x1b[31m", "\ufeff", "\u202eabc", "é", "日本語", "🦊", "\u0130"),
    *(
        "../../../escaped",
        "/etc/passwd",
        "~",
        ".",
        "..",
        "-",
        "--json",
        "a/b",
        "a\\b",
        "con",
        "x" * 300,
        "x" * 20_000,
    ),
    *(
        "$(touch escaped)",
        "`touch escaped`",
        "; touch escaped",
        "$(shell touch escaped)",
        "%s%n",
        "{{ 7 * 7 }}",
        "{0}",
    ),
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"',
        "'",
        "*/",
        "//",
        "#",
        "[/bold]",
        "[red]",
    ),
    *("null", "true", "no", "1e3", "0x10", "1_000", "nan", "1,5", "²", "٣"),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"a": {}}})
MISSPELT: tuple[Callable[[str], str], ...] = (
    lambda key: key[:-1],
    lambda key: key + "s",
    str.upper,
    lambda key: key.replace("_", "-"),
    lambda key: key[1:] + key[:1],
    lambda key: f" {key}",
)


def mutated_bytes(rng: Random, data: bytes, most: int = 8) -> bytes:
    """Flip, cut, repeat, insert or overwrite some bytes."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(damaged) + 1)
        some = rng.choice((1, 1, 1, 2, 4, 8, 64, 1024))
        match rng.randrange(7):
            case 0 if damaged:
                damaged[at % len(damaged)] ^= 1 << rng.randrange(8)
            case 1 if damaged:
                damaged[at % len(damaged)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del damaged[at : at + some]
            case 3:
                damaged[at:at] = damaged[at : at + some]
            case 4:
                damaged[at:at] = rng.randbytes(some)
            case 5:
                damaged[at : at + 4] = rng.choice(
                    (b"\xff" * 4, b"\x00" * 4, b"\xff\xff\xff\x7f", rng.randbytes(4))
                )
            case _ if rng.random() < 0.3:
                del damaged[at:]
    return bytes(damaged)


def mutated_document(rng: Random, document: Any) -> Any:
    """Change one to three places of a document: other types, numbers, texts, keys, lengths, nesting.

    What is nested too deeply to be changed stays so.
    """
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        places = _places(changed)
        if not places:
            return _value(rng)
        change = _nudge if rng.random() < 0.4 else _change
        with contextlib.suppress(RecursionError):
            change(rng, *rng.choice(places), places)
    return changed


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (mapping or list, key or index) in a document."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list):
            keys = list(container) if isinstance(container, dict) else list(range(len(container)))
            found += [(container, key) for key in keys]
            waiting += [container[key] for key in keys]
    return found


def _nudge(rng: Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    """A change that may well leave the document sound: a number near by, an item less, another's text."""
    value = container[key]
    if isinstance(value, bool):
        container[key] = not value
    elif isinstance(value, int | float) and abs(value) < 1e300:
        near = (value - 1, value + 1, value * 2, value // 2, value + 16, value + 4_096)
        container[key] = rng.choice(near)
    elif isinstance(value, list) and len(value) > 1:
        del value[rng.randrange(len(value))]
    else:
        others = [(other, at) for other, at in places if at in other if isinstance(other, dict)]
        same = [other[at] for other, at in others if type(other[at]) is type(value)]
        container[key] = copy.deepcopy(rng.choice([*same, value]))


def _change(rng: Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    value = container[key]
    match rng.randrange(11):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict) and isinstance(key, str):
            container[rng.choice(MISSPELT)(key)] = container.pop(key)
        case 2 if isinstance(container, dict):
            container[rng.choice(TEXTS)] = _value(rng)
        case 2 | 3 if isinstance(container, list):
            container.extend([copy.deepcopy(value)] * rng.choice((1, 2, 130)))
        case 4:
            container[key] = _nested(rng, value)
        case 5:
            other, other_key = rng.choice(places)
            if other_key in other if isinstance(other, dict) else other_key < len(other):
                container[key] = copy.deepcopy(other[other_key])
        case 6 | 7 | 8 if isinstance(value, int | float) and not isinstance(value, bool):
            container[key] = _number(rng, value)
        case 6 | 7 | 8 if isinstance(value, str):
            container[key] = _text(rng, value)
        case _:
            container[key] = _value(rng)


def _value(rng: Random) -> Any:
    return copy.deepcopy(rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS))))


def _number(rng: Random, value: float) -> float:
    ways: tuple[Callable[[], float], ...] = (
        lambda: -value,
        lambda: value + rng.choice((-1, 1)),
        lambda: value * rng.choice((2, 3, 10, 1000, 10**9)),
        lambda: value / 2,
        lambda: float(value),
        lambda: rng.choice(NUMBERS),
    )
    try:
        return rng.choice(ways)()
    except OverflowError:
        return math.inf


def _text(rng: Random, value: str) -> Any:
    at = rng.randrange(len(value) + 1)
    return rng.choice(
        (value[:at] + rng.choice(TEXTS) + value[at:], value[:at], value.upper(), [value], rng.choice(TEXTS))
    )


def _nested(rng: Random, value: Any) -> Any:
    depth = rng.choice((1, 1, 2, 2, 5, 48, 49, 500))
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def json_text(rng: Random, document: Any) -> bytes:
    """Write a document as JSON, sometimes damaged as text."""
    try:
        text = json.dumps(document)
    except (RecursionError, ValueError):
        text = "[" * 100_000
    return _as_text(
        rng, text, ("[" * 5_000, "{" * 50, '{"a":' * 3_000, "NaN", "1" * 5_000, "\\ud800", "\ufeff")
    )


def yaml_text(rng: Random, document: Any) -> bytes:
    """Write a document as YAML, sometimes damaged as text."""
    try:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=rng.random() < 0.5)
    except (RecursionError, yaml.YAMLError, ValueError):
        text = "[" * 2_000
    inserted = (
        "&a [*a]",
        "!!python/object:os.system x",
        "? ",
        "- ",
        "\t",
        "{" * 200,
        "[" * 1_000,
        "<<: *a",
        "--- \n",
        "%YAML 9",
    )
    lines = text.splitlines(keepends=True)
    if lines and rng.random() < 0.1:
        at = rng.randrange(len(lines))
        lines.insert(rng.randrange(len(lines)), lines[at])
        text = "".join(lines)
    return _as_text(rng, text, inserted)


def _as_text(rng: Random, text: str, inserted: tuple[str, ...]) -> bytes:
    if rng.random() < 0.06:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(inserted) + text[at:]
    data = text.encode("utf-8", "surrogatepass")
    return mutated_bytes(rng, data) if rng.random() < 0.08 else data


def mutated_table(rng: Random, rows: list[list[str]]) -> bytes:
    """Change cells, columns, rows or quotes of a CSV file."""
    rows = [list(row) for row in rows]
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows)
        column = rng.randrange(max(1, len(row)))
        match rng.randrange(9):
            case 0 if row:
                row[column % len(row)] = rng.choice(TEXTS)
            case 1 | 2 if row:
                row[column % len(row)] = str(rng.choice(NUMBERS))
            case 3 if row:
                numbers = row[column % len(row)].split()
                if numbers:
                    numbers[rng.randrange(len(numbers))] = str(rng.choice((*NUMBERS, *TEXTS[:12])))
                    row[column % len(row)] = " ".join(numbers)
            case 4:
                for other in rows:
                    del other[column : column + 1]
            case 5:
                row.extend(rng.choice(TEXTS) for _ in range(rng.choice((1, 50))))
            case 6:
                rows.extend(list(row) for _ in range(rng.choice((1, 3, 200))))
            case 7 if len(rows) > 1:
                rows.remove(row)
            case _ if row:
                rows[0][column % max(1, len(rows[0])) :] = row[column % len(row) :]
    text = io.StringIO()
    csv.writer(text, lineterminator=rng.choice(("\n", "\n", "\r\n", "\r"))).writerows(rows)
    data = text.getvalue().encode("utf-8", "surrogatepass")
    return mutated_bytes(rng, data) if rng.random() < 0.15 else data

"""Sizes of images: a square is its side, any other one (height, width), in files and in memory alike."""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

Size = tuple[int, int]
"""Height and width in pixels."""
Resolution = int | Size
"""The size of the images that a network reads; a square is always an int."""

LARGEST_SIDE = 2_048
"""The most pixels a side may have."""


def size_of(resolution: Resolution) -> Size:
    """Return height and width."""
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    return height, width


def resolution_of(size: Size) -> Resolution:
    """Return the resolution of a height and a width."""
    height, width = size
    return height if height == width else size


def resolution_from_json(value: object) -> Resolution:
    """Read a side, or a list of height and width.

    Raises:
        ValueError: neither of them, or a side is not between 1 and ``LARGEST_SIDE`` pixels.
    """
    sides = value if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or any(type(side) is not int for side in sides):
        raise ValueError(f"{value!r} is neither a side in pixels nor [height, width]")
    height, width = sides
    for side in (height, width):
        if not 1 <= side <= LARGEST_SIDE:
            raise ValueError(f"a side of {side} pixels; 1 to {LARGEST_SIDE:,} can be used")
    return resolution_of((height, width))


def resolution_to_json(resolution: Resolution) -> int | list[int]:
    """Return what ``resolution_from_json`` reads."""
    return resolution if isinstance(resolution, int) else list(resolution)


def parse_resolution(text: str) -> Resolution:
    """Read ``28`` or ``40x24`` (height x width).

    Raises:
        ValueError: neither of them, or a side is not between 1 and ``LARGEST_SIDE`` pixels.
    """
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is neither a side in pixels nor HEIGHTxWIDTH, such as 40x24")
    height, width = match.groups(match[1])
    return resolution_from_json([int(height), int(width)])


def resolution_text(resolution: Resolution) -> str:
    """Return what ``parse_resolution`` reads."""
    return str(resolution) if isinstance(resolution, int) else "x".join(map(str, resolution))


ResolutionInFile = Annotated[
    Resolution,
    pydantic.PlainValidator(resolution_from_json),
    pydantic.PlainSerializer(resolution_to_json, when_used="json"),
]
"""A resolution as a field of a file's model."""

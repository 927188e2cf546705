"""Sizes of images in pixels: height before width, everywhere."""

from __future__ import annotations

Size = int | tuple[int, int]
"""A height and a width, or one number for both."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Return both sides of a size."""
    return (size, size) if isinstance(size, int) else size


def covering(image: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest size with the shape of ``image`` that covers ``wanted``; both (height, width)."""
    (image_height, image_width), (height, width) = image, wanted
    if image_height * width <= image_width * height:
        return height, height * image_width // image_height
    return width * image_height // image_width, width


def centre(covered: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Return the top and the left of a cut of ``wanted`` size at the centre of ``covered``."""
    top, left = (round((outer - inner) / 2) for outer, inner in zip(covered, wanted, strict=True))
    return top, left

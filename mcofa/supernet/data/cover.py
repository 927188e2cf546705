"""Where an image is cut when it has another shape than wanted: scaled to cover it, and cut at its centre."""

from __future__ import annotations

from mcofa.space.resolution import Size


def covering(image: Size, wanted: Size) -> Size:
    """Return the smallest size with the shape of ``image`` that covers ``wanted``."""
    (image_height, image_width), (height, width) = image, wanted
    if image_height * width <= image_width * height:
        return height, height * image_width // image_height
    return width * image_height // image_width, width


def centre(covered: Size, wanted: Size) -> tuple[int, int]:
    """Return the top and the left of a cut of ``wanted`` size at the centre of ``covered``."""
    top, left = (round((outer - inner) / 2) for outer, inner in zip(covered, wanted, strict=True))
    return top, left

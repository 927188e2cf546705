"""How an image of another shape fits what a network reads: it is cut, stretched, or padded with black.

- ``crop``: scaled until it covers what is read, and cut at its centre.
- ``stretch``: scaled to what is read, its height and its width each by its own factor.
- ``pad``: scaled until it fits into what is read, black around it, itself at the centre.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from mcofa.space.resolution import Size

Fit = Literal["crop", "stretch", "pad"]


class Window(NamedTuple):
    """What of an image scaled to ``scaled`` (height, width) is read, from ``top`` and ``left`` on.

    Both are below 0 where black comes first.
    """

    scaled: Size
    top: int
    left: int


def window(image: Size, wanted: Size, fit: Fit) -> Window:
    """Return how an image of size ``image`` becomes one of size ``wanted``."""
    scaled = wanted if fit == "stretch" else _keeping_shape(image, wanted, covers=fit == "crop")
    top, left = (round((outer - inner) / 2) for outer, inner in zip(scaled, wanted, strict=True))
    return Window(scaled, top, left)


def _keeping_shape(image: Size, wanted: Size, *, covers: bool) -> Size:
    """Return the smallest size with the shape of ``image`` that covers ``wanted``, or the largest within."""
    (image_height, image_width), (height, width) = image, wanted
    if (image_height * width <= image_width * height) == covers:
        return height, max(1, height * image_width // image_height)
    return max(1, width * image_height // image_width), width

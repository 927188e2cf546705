"""Reading one image file: upright, in 8 bits, grey or in colour, or refused by its name.

The orientation that a camera noted (EXIF) is applied. Of an animation the first picture is read.
Transparency is ignored: pixels have the colours that are stored. Grey of 16 bits is scaled to 8;
of 16-bit colour the upper 8 bits are read. Numbers without a known range (32 bits, floating point)
are refused.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit, window

# Of what Pillow opens, the formats that hold photographs, and need no other program to be read.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Where Pillow itself begins to warn of decompression bombs.
_MOST_PIXELS = 89_478_485
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@functools.cache
def suffixes() -> frozenset[str]:
    """Return the endings of the files that are read, in lower case, with the dot."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, format_ in known.items() if format_ in _FORMATS)


def read_image(path: str, channels: int) -> Image.Image:
    """Read an image file as grey (``channels`` 1) or in colour (3).

    To be called in ``pillow_warnings_ignored``.

    Raises:
        FileFormatError: it holds no image that can be read, or one that is too large.
    """
    try:
        with Image.open(path, formats=_FORMATS) as file:
            if file.width * file.height > _MOST_PIXELS:
                raise ValueError(f"{file.width:,}×{file.height:,} pixels, at most {_MOST_PIXELS:,} are read")
            file.load()
            _check_range(file)
            # Only the file itself knows its format, by which its numbers are understood.
            image = _in_8_bits(file)
            upright = ImageOps.exif_transpose(image)
        coloured = upright if upright.mode == "L" else upright.convert("RGB")
        return coloured.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow raises a dozen kinds on damaged files
        reason = str(error) or type(error).__name__
        raise FileFormatError(
            path, f"cannot be read as an image: {reason}", "replace or remove it"
        ) from error


def fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Return an image of ``size`` (height, width), see module ``fit``.

    Raises:
        ValueError: it is so narrow that it would have to become enormous.
    """
    (height, width), top, left = window((image.height, image.width), size, fit)
    if height * width > _MOST_PIXELS:
        raise ValueError(f"{image.width:,}×{image.height:,} pixels are too narrow for {size[1]}×{size[0]}")
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + size[1], top + size[0]))


@contextlib.contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Ignore what Pillow warns of while images are read: what cannot be read is an error anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_range(file: Image.Image) -> None:
    """Refuse numbers of which the file does not say what is white.

    Raises:
        ValueError: says which.
    """
    if file.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if file.mode == "I" and file.format != "PPM":
        raise ValueError("32-bit or signed pixels, whose range is not known")
    tags = getattr(file, "tag_v2", {})
    if file.mode.startswith("I;16"):
        if tags.get(_TIFF_BITS, (16,)) != (16,):
            raise ValueError(f"grey of {tags[_TIFF_BITS][0]} bits, only 1, 8 and 16 are read")
        if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
            raise ValueError("grey of 16 bits in which 0 is white")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits to 8; Pillow holds PGM files of 16 bits in mode I."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    levels = (np.asarray(image).astype(np.uint32) + 128) // 257
    scaled = Image.fromarray(levels.astype(np.uint8))
    scaled.info = image.info
    return scaled

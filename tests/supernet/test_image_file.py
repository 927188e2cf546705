"""Image files: upright, 8 bits, grey or colour, the same pixels from every format; or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mcofa.errors import FileFormatError
from mcofa.space.fit import Fit
from mcofa.supernet.data import image_file
from mcofa.supernet.data.image_file import fitted, pillow_warnings_ignored, read_image, suffixes
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.data.splits import resized

pytestmark = pytest.mark.torch

Pixels = npt.NDArray[np.uint8]
RNG = np.random.default_rng(0)
GREY: Pixels = RNG.integers(0, 256, (5, 7)).astype(np.uint8)
COLOUR: Pixels = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)


def read(path: Path, channels: int) -> Pixels:
    with pillow_warnings_ignored():
        return np.asarray(read_image(str(path), channels))


def luma(colour: Pixels) -> npt.NDArray[np.float64]:
    """ITU-R 601-2, as the Pillow documentation states it."""
    return colour.astype(np.float64) @ (0.299, 0.587, 0.114)


def assert_colour(path: Path, expected: Pixels) -> None:
    np.testing.assert_array_equal(read(path, 3), expected)
    np.testing.assert_allclose(read(path, 1), luma(expected), atol=1)


def assert_grey(path: Path, expected: Pixels) -> None:
    np.testing.assert_array_equal(read(path, 1), expected)
    np.testing.assert_array_equal(read(path, 3), np.dstack([expected] * 3))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "jp2"])
def test_colour_of_every_lossless_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(COLOUR).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert_colour(path, COLOUR)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm", "gif", "jp2"])
def test_grey_of_every_lossless_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(GREY).save(path)
    assert_grey(path, GREY)


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "avif", "webp"])
def test_lossy_formats_are_near(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8)).save(path, quality=95)
    np.testing.assert_allclose(read(path, 3), np.full((16, 16, 3), (200, 100, 50)), atol=6)


def test_transparency_is_ignored(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, GREY.shape).astype(np.uint8)
    Image.fromarray(np.dstack([COLOUR, alpha])).save(tmp_path / "rgba.png")
    assert_colour(tmp_path / "rgba.png", COLOUR)
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    assert_grey(tmp_path / "la.png", GREY)


@pytest.mark.parametrize(
    ("suffix", "transparency"),
    [
        ("png", {}),
        ("png", {"transparency": 0}),
        ("png", {"transparency": bytes(range(35))}),
        ("gif", {}),
        ("gif", {"transparency": 0}),
        ("tif", {}),
    ],
)
def test_palettes_are_followed(tmp_path: Path, suffix: str, transparency: dict[str, Any]) -> None:
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7)).convert("L")
    image.putpalette(COLOUR.tobytes())
    image.save(tmp_path / f"image.{suffix}", **transparency)
    assert_colour(tmp_path / f"image.{suffix}", COLOUR)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    for suffix in ("png", "pbm", "tif", "bmp"):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(GREY > 127).save(path)
        assert_grey(path, np.where(GREY > 127, 255, 0).astype(np.uint8))


def test_cmyk_is_ink_on_white(tmp_path: Path) -> None:
    inks = np.concatenate([np.zeros((1, 4)), 255 * np.eye(4)])[np.newaxis].astype(np.uint8)
    colours = [[[255, 255, 255], [0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]]]
    Image.fromarray(inks, "CMYK").save(tmp_path / "inks.tif")
    assert_colour(tmp_path / "inks.tif", np.array(colours, np.uint8))


# 16 bits


def deep_png(values: npt.NDArray[np.uint16]) -> bytes:
    """A PNG of 16-bit samples, (height, width) or (height, width, channels), written by its specification."""
    height, width, *channels = values.shape
    kind = {(): 0, (2,): 4, (3,): 2, (4,): 6}[tuple(channels)]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


DEEP: npt.NDArray[np.uint16] = RNG.integers(0, 65536, (5, 7)).astype(np.uint16)
SCALED = np.round(DEEP / 257).astype(np.uint8)


@pytest.mark.parametrize("order", ["little", "big"])
def test_grey_of_16_bits_is_scaled(tmp_path: Path, order: str) -> None:
    (tmp_path / "deep.png").write_bytes(deep_png(DEEP))
    (tmp_path / "deep.pgm").write_bytes(b"P5 7 5 65535\n" + DEEP.astype(">u2").tobytes())
    swapped = "I;16B" if order == "big" else "I;16"
    Image.frombytes(swapped, (7, 5), DEEP.astype(">u2" if order == "big" else "<u2").tobytes()).save(
        tmp_path / "deep.tif"
    )
    for suffix in ("png", "pgm", "tif"):
        assert_grey(tmp_path / f"deep.{suffix}", SCALED)


def test_a_pgm_is_scaled_by_its_own_maximum(tmp_path: Path) -> None:
    values = np.array([[0, 300, 600, 1000]], ">u2")
    (tmp_path / "deep.pgm").write_bytes(b"P5 4 1 1000\n" + values.tobytes())
    np.testing.assert_allclose(read(tmp_path / "deep.pgm", 1), [[0, 76.5, 153, 255]], atol=1)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_of_16_bit_colour_the_upper_8_bits_are_read(tmp_path: Path, channels: int) -> None:
    deep = RNG.integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(deep_png(deep))
    upper = (deep >> 8).astype(np.uint8)
    if channels == 2:
        assert_grey(tmp_path / "deep.png", upper[..., 0])
    else:
        assert_colour(tmp_path / "deep.png", upper[..., :3])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (GREY.astype(np.float32) / 255, "floating-point pixels"),
        (GREY.astype(np.int32) * 1000, "32-bit or signed pixels"),
    ],
)
def test_numbers_of_unknown_range_are_refused(tmp_path: Path, values: Any, problem: str) -> None:
    path = tmp_path / "image.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(FileFormatError, match=f"^{path}: cannot be read as an image: {problem}"):
        read(path, 1)


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """A little-endian TIFF of one strip, 4×1 pixels, written by its specification."""
    entries = {256: 4, 257: 1, 259: 1, 273: 0, 277: 1, 278: 1, 279: len(data), **tags}
    offset = 8 + 2 + 12 * len(entries) + 4
    entries[273] = offset
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0) + data


def test_grey_that_pillow_would_read_wrong_is_refused(tmp_path: Path) -> None:
    """White as 0 is not turned over in 16 bits, and 12 bits would come out dark."""
    path = tmp_path / "image.tif"
    path.write_bytes(tiff({258: 16, 262: 1}, np.array([0, 257, 2570, 65535], "<u2").tobytes()))
    assert read(path, 1).tolist() == [[0, 1, 10, 255]]
    path.write_bytes(tiff({258: 16, 262: 0}, np.array([0, 257, 2570, 65535], "<u2").tobytes()))
    with pytest.raises(FileFormatError, match="16 bits in which 0 is white"):
        read(path, 1)
    path.write_bytes(tiff({258: 12, 262: 1}, bytes(6)))
    with pytest.raises(FileFormatError, match="grey of 12 bits"):
        read(path, 1)


# Orientation


# As the EXIF specification says where the 0th row and the 0th column of the stored picture belong.
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_photographs_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(COLOUR).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    assert_colour(path, TURNS[orientation](COLOUR))


@pytest.mark.parametrize("orientation", TURNS)
def test_jpegs_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """A phone's photograph: bright at the right end, dark below."""
    stored = np.zeros((32, 64), np.uint8)
    stored[:, 48:] = 250
    stored[24:] //= 2
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image.jpg"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    np.testing.assert_allclose(read(path, 1), TURNS[orientation](stored), atol=12)


def test_grey_of_16_bits_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.frombytes("I;16", (7, 5), DEEP.astype("<u2").tobytes()).save(tmp_path / "deep.png", exif=exif)
    assert_grey(tmp_path / "deep.png", TURNS[6](SCALED))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_picture_is_read(tmp_path: Path, suffix: str) -> None:
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY // 2)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(GREY).save(path, save_all=True, append_images=others, **options)
    assert_grey(path, GREY)


def test_a_jpeg_of_several_pictures_is_read(tmp_path: Path) -> None:
    """As phones write them: the format is MPO, the ending .jpg."""
    path = tmp_path / "image.jpg"
    picture = Image.fromarray(np.full((16, 16), 200, np.uint8))
    picture.save(path, "MPO", save_all=True, append_images=[Image.fromarray(np.zeros((16, 16), np.uint8))])
    np.testing.assert_allclose(read(path, 1), np.full((16, 16), 200), atol=2)


# Damage


def saved(suffix: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOUR.repeat(8, 0).repeat(8, 1)).save(file, Image.registered_extensions()[suffix])
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".jp2", ".avif"])
def test_a_damaged_file_is_read_or_named_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    whole = np.frombuffer(saved(suffix), np.uint8)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        content = whole.copy()
        places = rng.integers(0, min(len(content), 200), rng.integers(1, 6))
        content[places] = rng.integers(0, 256, len(places))
        path.write_bytes(content.tobytes()[: rng.integers(1, len(content) + 1)])
        problem = named = f"{path}: cannot be read as an image: "
        try:
            read(path, 3)
        except FileFormatError as error:
            problem = error.problem
            refused += 1
        assert problem.startswith(named)
    assert refused > 50


@pytest.mark.parametrize("sides", [(30_000, 3_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)], ids=str)
def test_a_decompression_bomb_is_refused(tmp_path: Path, sides: tuple[int, int]) -> None:
    header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, *sides, 1, 24, 0, 0, 0, 0, 0, 0)
    path = tmp_path / "bomb.bmp"
    path.write_bytes(header)
    with pytest.raises(FileFormatError, match=f"^{path}: cannot be read as an image: .*pixels"):
        read(path, 3)


def test_the_limit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "_MOST_PIXELS", 34)
    Image.fromarray(GREY).save(tmp_path / "image.png")
    with pytest.raises(FileFormatError, match="7×5 pixels, at most 34 are read"):
        read(tmp_path / "image.png", 1)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"#define a_width 1\n", b"GIF8"])
def test_other_formats_are_not_even_tried(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"^{path}: cannot be read as an image"):
        read(path, 3)


def test_the_endings_are_those_of_photographs() -> None:
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".ppm", ".avif", ".jp2"} <= suffixes()
    assert not {".eps", ".pdf", ".txt", ".heic", ".svg", ".h5", ".mpg"} & suffixes()


# Sizes


@pytest.mark.parametrize(
    ("image", "wanted", "box"),
    [
        ((8, 8), (4, 4), (0, 0, 8, 8)),
        ((8, 16), (4, 4), (0, 4, 8, 12)),
        ((16, 8), (4, 4), (4, 0, 12, 8)),
        ((8, 8), (4, 2), (0, 2, 8, 6)),
        ((8, 8), (2, 4), (2, 0, 6, 8)),
        ((40, 24), (40, 24), (0, 0, 40, 24)),
        ((80, 48), (40, 24), (0, 0, 80, 48)),
        ((48, 80), (40, 24), (0, 26, 48, 54)),
    ],
    ids=str,
)
def test_the_largest_centred_part_of_the_wanted_shape_is_taken(
    image: tuple[int, int], wanted: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    """What lies in the box (top, left, bottom, right) is white, everything else black."""
    pixels = np.zeros(image, np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = 255
    found = np.asarray(fitted(Image.fromarray(pixels), wanted, "crop"))
    assert found.shape == wanted
    assert (found[1:-1, 1:-1] == 255).all()
    assert found.mean() > 200


@pytest.mark.parametrize(
    ("image", "wanted", "place"),
    [
        ((8, 8), (4, 4), (0, 0, 4, 4)),
        ((8, 16), (8, 8), (2, 0, 6, 8)),
        ((24, 16), (12, 12), (0, 2, 12, 10)),
        ((3, 100), (10, 10), (4, 0, 5, 10)),
        ((40, 24), (80, 96), (0, 24, 80, 72)),
    ],
    ids=str,
)
def test_a_padded_image_keeps_its_shape_at_the_centre_of_black(
    image: tuple[int, int], wanted: tuple[int, int], place: tuple[int, int, int, int]
) -> None:
    """A white image comes to lie at ``place`` (top, left, bottom, right)."""
    expected = np.zeros(wanted, np.uint8)
    top, left, bottom, right = place
    expected[top:bottom, left:right] = 255
    found = np.asarray(fitted(Image.fromarray(np.full(image, 255, np.uint8)), wanted, "pad"))
    np.testing.assert_array_equal(found, expected)


def test_a_stretched_image_is_all_there() -> None:
    """Its left half is white, before and after, but for the two columns that the edge blurs."""
    pixels = np.zeros((8, 64), np.uint8)
    pixels[:, :32] = 255
    found = np.asarray(fitted(Image.fromarray(pixels), (16, 8), "stretch"))
    assert found.shape == (16, 8)
    assert (found[:, :3] == 255).all()
    assert (found[:, 5:] == 0).all()


@pytest.mark.parametrize("fit", get_args(Fit))
@given(
    pixels=arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 30)] * 2)),
    wanted=st.tuples(*[st.integers(1, 20)] * 2),
)
@settings(max_examples=60, deadline=None)
def test_images_in_memory_are_fitted_as_files_are(fit: Fit, pixels: Pixels, wanted: tuple[int, int]) -> None:
    """Pillow and torch scale alike but for rounding; what black surrounds starts at the same pixel."""
    in_file = np.asarray(fitted(Image.fromarray(pixels), wanted, fit)).astype(int)
    in_memory = resized(torch.from_numpy(pixels)[None, None], wanted, fit)[0, 0].numpy()
    np.testing.assert_allclose(in_memory, in_file, atol=2)


def test_an_image_too_narrow_to_be_scaled_is_named(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    Image.fromarray(np.zeros((1, 10_000), np.uint8)).save(path)
    files = ImageFiles((str(path),), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(FileFormatError, match=f"^{path}: 10,000×1 pixels are too narrow for 128×128"):
        files.read(torch.arange(1), 128, 1, "crop")

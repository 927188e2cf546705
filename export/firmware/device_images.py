"""Images that a firmware carries with it, and the answers that the host computes for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.convert.to_c import DeployedModel
from export.firmware.engine_part import EnginePart
from export.runtimes import litert
from export.runtimes.litert import Int8Array
from mcofa.boards import Board

EMULATED_IMAGES = 50
"""Test images in a firmware for an emulated board; a real one carries one."""


@dataclass(frozen=True)
class DeviceImages:
    """Inputs, int8 (n, rows, columns, channels), and LiteRT's answers, int8 (n, outputs)."""

    inputs: Int8Array
    outputs: Int8Array


def device_images(engine: EnginePart, board: Board, candidates: Int8Array | None = None) -> DeviceImages:
    """Return as many images as ``board`` carries beside ``engine``, with the answers of its model to them.

    The first of ``candidates``, int8 (n, rows, columns, channels); without candidates random
    bytes, always the same.

    Raises:
        FileFormatError: LiteRT cannot load the model.
    """
    model, count = engine.model, image_count(engine, board)
    images = random_images(model, count) if candidates is None else candidates[:count]
    return DeviceImages(images, litert.invoke(model.data, images, model.name))


def image_count(engine: EnginePart, board: Board) -> int:
    """Return how many images a firmware carries: 50 if emulated, fewer where they do not fit, else 1."""
    if board.emulate is None:
        return 1
    model = engine.model
    each_bytes = int(np.prod(model.input_shape) + np.prod(model.output_shape))
    free_bytes = board.images_region.bytes
    if board.images_region == board.flash_region:
        free_bytes = board.flash_budget_bytes - engine.flash_bytes
    return max(1, min(EMULATED_IMAGES, free_bytes // each_bytes))


def random_images(model: DeployedModel, count: int) -> Int8Array:
    """Return ``count`` images of random bytes, the same at every call."""
    generator = np.random.default_rng(0)
    shape = (count, *model.input_shape[1:])
    return generator.integers(-128, 128, shape, dtype=np.int8)

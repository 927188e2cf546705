"""Images that a firmware carries with it, and the answers that the host computes for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.convert.to_c import DeployedModel
from export.runtimes import litert
from export.runtimes.litert import Int8Array
from mcofa.boards import Board
from mcofa.engines.tflm.runtime_code import runtime_code_bytes
from mcofa.graph import OpKind

EMULATED_IMAGES = 50
"""Test images in a firmware for an emulated board; a real one carries one."""


@dataclass(frozen=True)
class DeviceImages:
    """Inputs, int8 (n, rows, columns, channels), and LiteRT's answers, int8 (n, outputs)."""

    inputs: Int8Array
    outputs: Int8Array


def device_images(model: DeployedModel, board: Board, candidates: Int8Array | None = None) -> DeviceImages:
    """Return as many images as ``board`` carries, with the answers of ``model`` to them.

    The first of ``candidates``, int8 (n, rows, columns, channels); without candidates random
    bytes, always the same.

    Raises:
        FileFormatError: LiteRT cannot load the model.
    """
    count = image_count(model, board)
    images = random_images(model, count) if candidates is None else candidates[:count]
    return DeviceImages(images, litert.invoke(model.data, images, model.name))


def image_count(model: DeployedModel, board: Board) -> int:
    """Return how many images a firmware carries: 50 if emulated, fewer where they do not fit, else 1."""
    if board.emulate is None:
        return 1
    each_bytes = int(np.prod(model.input_shape) + np.prod(model.output_shape))
    free_bytes = board.images_region.bytes
    if board.images_region == board.flash_region:
        code_bytes = runtime_code_bytes(map(OpKind, model.op_kinds), board.core, board.kernels)
        taken_bytes = len(model.data) + code_bytes + board.reserved.firmware_flash_bytes
        free_bytes = board.flash_budget_bytes - taken_bytes
    return max(1, min(EMULATED_IMAGES, free_bytes // each_bytes))


def random_images(model: DeployedModel, count: int) -> Int8Array:
    """Return ``count`` images of random bytes, the same at every call."""
    generator = np.random.default_rng(0)
    shape = (count, *model.input_shape[1:])
    return generator.integers(-128, 128, shape, dtype=np.int8)

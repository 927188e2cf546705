"""Inputs that a firmware carries with it, and the answers that the host computes for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from export.convert.to_c import DeployedModel, DeployedTensor
from export.firmware.engine_part import EnginePart
from export.runtimes.answers import Items
from mcofa.boards import Board
from mcofa.errors import FileFormatError

EMULATED_IMAGES = 50
"""Test images that an emulated board runs, as many at a time as fit; a real one carries one."""

_HIGHEST_INDEX = 3
"""What random items of an integer type without scale go up to: they may be indices into something."""


@dataclass(frozen=True)
class DeviceImages:
    """For each input and each output of a model an array (n, ...) of its whole shape.

    Inputs that are ``computed`` are not stored in the firmware: it makes them anew, see ``computed_images``.
    """

    inputs: tuple[Items, ...]
    outputs: tuple[Items, ...]
    computed: bool = False

    @property
    def count(self) -> int:
        """How many images there are: in each, everything that one run takes."""
        return len(self.inputs[0])

    def first(self, count: int) -> DeviceImages:
        """Return the first ``count`` images."""
        return DeviceImages(
            tuple(items[:count] for items in self.inputs),
            tuple(items[:count] for items in self.outputs),
            self.computed,
        )

    def input_bytes(self, image: int) -> bytes:
        """Return all inputs of an image, one behind another."""
        return b"".join(items[image].tobytes() for items in self.inputs)

    def output_bytes(self, image: int) -> bytes:
        """Return the answers to an image, one behind another."""
        return b"".join(items[image].tobytes() for items in self.outputs)


def device_images(engine: EnginePart, board: Board, candidates: Items | None = None) -> DeviceImages:
    """Return as many images as ``board`` carries beside ``engine``, with the answers that it must give.

    They are the first of ``self_test_inputs``, or computed ones where not one of these fits.

    Raises:
        FileFormatError: the engine's reference cannot run the model.
    """
    inputs, carried = self_test_inputs(engine.model, board, candidates), image_count(engine, board)
    if not carried:
        return replace(with_answers(engine, computed_images(engine.model, len(inputs[0]))), computed=True)
    return with_answers(engine, [items[:carried] for items in inputs])


def self_test_inputs(
    model: DeployedModel, board: Board, candidates: Items | None = None
) -> tuple[Items, ...]:
    """Return all images that the board's self-test is to run, at once or in turns: an array for each input.

    The first of ``candidates``, (n, rows, columns, channels); without candidates random
    ones, always the same.
    """
    count = EMULATED_IMAGES if board.emulate else 1
    if candidates is None:
        return random_images(model, count)
    return (candidates[:count].reshape(-1, *model.inputs[0].shape),)


def with_answers(engine: EnginePart, inputs: Sequence[Items]) -> DeviceImages:
    """Return images with the answers that ``engine`` must give to them.

    Raises:
        FileFormatError: the engine's reference cannot run the model.
    """
    model = engine.model
    outputs = engine.reference.run(model.data, inputs, model.file.name)
    for found, expected in zip(outputs, model.outputs, strict=True):
        if found.shape[1:] != expected.shape:
            raise FileFormatError(
                model.file.name,
                f"{engine.reference.title} give an output of shape {found.shape[1:]}, not {expected.shape}",
                "convert it with static shapes",
            )
    return DeviceImages(tuple(inputs), tuple(outputs))


def image_count(engine: EnginePart, board: Board) -> int:
    """Return how many images a firmware carries: 50 if emulated, else 1, and fewer where they do not fit."""
    model = engine.model
    each_bytes = sum(tensor.bytes for tensor in (*model.inputs, *model.outputs))
    free_bytes = board.images_region.bytes
    if board.images_region == board.flash_region:
        free_bytes = board.flash_budget_bytes - engine.flash_bytes
    fitting = min(EMULATED_IMAGES if board.emulate else 1, max(0, free_bytes) // each_bytes)
    return fitting if _can_be_computed(model) else max(1, fitting)


def computed_images(model: DeployedModel, count: int) -> tuple[Items, ...]:
    """Return images that a program can compute itself: ``test_input`` of src/test_images.h does the same."""
    each_bytes, first, inputs = sum(given.bytes for given in model.inputs), 0, []
    for given in model.inputs:
        dtype = np.dtype(str(given.dtype))
        places = np.arange(first, first + given.bytes, dtype.itemsize, dtype=np.uint32)
        numbers = np.arange(count, dtype=np.uint32)[:, None] * np.uint32(each_bytes) + places
        levels = ((numbers * np.uint32(2654435761)) >> np.uint32(24)).astype(np.uint8)
        items = levels.astype(np.float32) / 128 - 1 if given.is_float else levels.view(dtype)
        inputs.append(items.reshape(count, *given.shape))
        first += given.bytes
    return tuple(inputs)


def _can_be_computed(model: DeployedModel) -> bool:
    """Whether any byte, or any float from -1 to 1, is an item of every input."""
    types = {str(given.dtype) for given in model.inputs}
    if types == {"float32"}:
        return True
    return types in ({"int8"}, {"uint8"}) and all(given.scale for given in model.inputs)


def random_images(model: DeployedModel, count: int) -> tuple[Items, ...]:
    """Return ``count`` random images, the same at every call: any integers, or floats from -1 to 1."""
    generator = np.random.default_rng(0)
    return tuple(_random_items(generator, given, (count, *given.shape)) for given in model.inputs)


def _random_items(generator: np.random.Generator, given: DeployedTensor, shape: tuple[int, ...]) -> Items:
    dtype = np.dtype(str(given.dtype))
    if given.is_float:
        return generator.uniform(-1, 1, shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if not given.scale:
        return generator.integers(0, _HIGHEST_INDEX, shape, dtype, endpoint=True)
    lowest, highest = given.integer_range
    return generator.integers(lowest, highest, shape, dtype, endpoint=True)

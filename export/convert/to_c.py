"""The int8 model as a C array, with everything the firmware must know about it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from export.templates.render import render_template
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.errors import FileFormatError, McofaError
from mcofa.graph import DType

_IMAGE_RANK = 4
_IMAGE_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class DeployedTensor:
    """An input or an output of a model as its program sees it.

    Integers stand for numbers: ``scale · (integer - zero_point)``; where ``scale`` is 0, the items are the
    numbers themselves. ``name`` is what the file calls it.
    """

    shape: tuple[int, ...]
    scale: float
    zero_point: int
    dtype: DType = DType.INT8
    name: str = ""

    @property
    def c_shape(self) -> tuple[int, ...]:
        """The shape, that of a single item being (1,)."""
        return self.shape or (1,)

    @property
    def channels(self) -> int:
        """How many items lie at one position: pixels' channels, or classes."""
        return self.c_shape[-1]

    @property
    def items(self) -> int:
        """Number of items."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of all items."""
        return self.items * self.dtype.item_bytes

    @property
    def c_type(self) -> str:
        """The C type of an item."""
        return {"float32": "float", "bool": "bool"}.get(str(self.dtype), f"{self.dtype}_t")

    @property
    def integer_range(self) -> tuple[int, int]:
        """The lowest and the highest item of an integer type."""
        bits = 8 * self.dtype.item_bytes
        lowest = 0 if str(self.dtype).startswith("u") else -(1 << (bits - 1))
        return lowest, lowest + (1 << bits) - 1

    @property
    def is_float(self) -> bool:
        """Whether the items are floating-point numbers."""
        return self.dtype is DType.FLOAT32

    @property
    def is_image(self) -> bool:
        """Whether it may hold pixels: NHWC with at most four channels, of real numbers."""
        return (
            len(self.shape) == _IMAGE_RANK
            and self.channels <= _IMAGE_CHANNELS
            and (self.is_float or self.scale > 0)
        )


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A ``.tflite`` file and what a program needs to feed it and to read its answer.

    Shapes of images are NHWC. A pixel of 0..255 in channel c becomes
    ``(pixel / 255 - mean[c]) / std[c]`` before quantization (a single mean and
    standard deviation serve every channel); with ``rotate_180`` the image is fed
    rotated by 180 degrees. ``labels`` name the classes of the first output, in its last dimension; there
    are none where classes have no names. ``op_kinds`` are TFLite builtin names, sorted and unique.
    ``arena_bytes`` is the arena to reserve on ``target``, which names board, core, kernels and engine:
    each of them changes it. With ``streams_input`` the program is given the image row by row.

    Raises:
        McofaError: a value that the C compiler or the firmware could not use.
    """

    name: str
    file: ModelFile
    inputs: tuple[DeployedTensor, ...]
    outputs: tuple[DeployedTensor, ...]
    labels: tuple[str, ...]
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    rotate_180: bool
    op_kinds: tuple[str, ...]
    arena_bytes: int
    target: str
    streams_input: bool = False

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.file.data

    def __post_init__(self) -> None:
        """Refuse what would become invalid C."""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise McofaError(
                f"model name {self.name!r} is not a C identifier",
                "use letters, digits and underscores, and start with a letter",
            )
        if not self.data:
            raise McofaError(f"model {self.name} holds 0 bytes", "export it again")
        if not re.fullmatch(r"[ -\[\]-~]*", self.target):
            raise McofaError(
                f"target {self.target!r} cannot stand in a C comment",
                "use printable ASCII without a backslash",
            )
        classes = self.outputs[0].channels
        if self.labels and len(self.labels) != classes:
            raise McofaError(
                f"{len(self.labels)} labels for {classes} outputs of model {self.name}",
                "give one label for every class, in the order of the outputs",
            )
        for label in self.labels:
            if not _is_c_text(label):
                raise McofaError(
                    f"label {label!r} of model {self.name} holds a NUL or what UTF-8 has no bytes for",
                    "rename that class (its folder of images)",
                )
        if self.arena_bytes <= 0 or self.arena_bytes % 16:
            raise McofaError(
                f"arena of {self.arena_bytes} bytes is not a positive multiple of 16",
                "predict it with `mcofa arena MODEL.tflite`",
            )
        if list(self.op_kinds) != sorted(set(self.op_kinds)):
            raise McofaError(
                f"op kinds of model {self.name} are not sorted and unique: {', '.join(self.op_kinds)}",
                "pass them as tuple(sorted(set(kinds)))",
            )
        for what, values in (("mean", self.mean), ("std", self.std)):
            for given in self.inputs:
                if isinstance(values, tuple) and len(values) != given.channels:
                    raise McofaError(
                        f"{len(values)} values of {what} for {given.channels} input channels",
                        "give one value, or one for every channel",
                    )

    def channel_means(self, given: DeployedTensor) -> tuple[float, ...]:
        """Return the mean of every channel of an input, in units of pixel / 255."""
        return self.mean if isinstance(self.mean, tuple) else (self.mean,) * given.channels

    def channel_stds(self, given: DeployedTensor) -> tuple[float, ...]:
        """Return the standard deviation of every channel of an input, in units of pixel / 255."""
        return self.std if isinstance(self.std, tuple) else (self.std,) * given.channels

    @property
    def numbered_inputs(self) -> list[tuple[str, DeployedTensor]]:
        """The inputs, each with its number in names of C, which the only one has not."""
        return _numbered(self.inputs)

    @property
    def numbered_outputs(self) -> list[tuple[str, DeployedTensor]]:
        """The outputs, each with its number in names of C, which the only one has not."""
        return _numbered(self.outputs)


def _numbered(tensors: Iterable[DeployedTensor]) -> list[tuple[str, DeployedTensor]]:
    every = list(tensors)
    return [(str(number) if len(every) > 1 else "", tensor) for number, tensor in enumerate(every)]


def target_words(board: Board, engine: str, streams_input: bool = False) -> str:
    """Return what an arena is for, in words."""
    by_rows = ", image row by row" if streams_input else ""
    return f"{board.name}, {board.core}, {board.kernels}, engine {engine}{by_rows}"


def to_c(model: DeployedModel) -> dict[str, bytes]:
    """Return the header and the source that carry ``model``, as file name to contents.

    The pair ``<name>_model.h`` and ``<name>_model.cc`` is valid C++17 and valid C11,
    and depends on nothing but ``model``. ``read_c_array`` is the inverse for the data.
    """
    return {
        f"{model.name}_model.h": render_template("model/model.h.jinja", model=model),
        f"{model.name}_model.cc": render_template("model/model.cc.jinja", model=model),
    }


def read_c_array(source: str) -> bytes:
    """Return the model's bytes from the text of a ``<name>_model.cc``.

    Raises:
        FileFormatError: no such array, or one cut short.
    """
    array = re.search(r"_model_data\[(\d+)\]\s*=\s*\{([^{}]*)\};", source)
    if array is None:
        raise _bad_source("no array *_model_data[BYTES] = {...};")
    declared_bytes, items = int(array[1]), array[2]
    try:
        data = bytes(int(item, 16) for item in items.replace(",", " ").split())
    except ValueError as error:
        raise _bad_source(f"not a byte in the array: {error}") from error
    if len(data) != declared_bytes:
        raise _bad_source(f"the array declares {declared_bytes} bytes and lists {len(data)}")
    return data


def _is_c_text(text: str) -> bool:
    try:
        return 0 not in text.encode()
    except UnicodeEncodeError:  # A lone surrogate, as in a file name that is not UTF-8.
        return False


def _bad_source(detail: str) -> FileFormatError:
    return FileFormatError("C source", detail, "write it again with `mcofa export`")

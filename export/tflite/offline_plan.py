"""Writing an offline memory plan into a .tflite file, for TFLM to follow.

The file is kept byte for byte and a new root is put in front of it::

    root  TFL3  plan  Model'  buffers' …      the old file, its own header included
      └────────────────▲   └── operator codes, subgraphs, … ──▲

The new model table points to the old file's operator codes, subgraphs and everything else;
its lists of buffers and of metadata are longer by the plan. Nothing else of the model is
read or rewritten, so weights cannot change and stay aligned. The old root and lists remain
as dead bytes, a few for each buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.tflite.model_file import ModelFile
from export.tflite.parse import GARBAGE_ERRORS, OFFLINE_PLAN, parse_tflite
from mcofa.engines.tflm import Target
from mcofa.engines.tflm.offline import plan_graph
from mcofa.errors import FileFormatError

_IDENTIFIER = b"TFL3"
_NEXT_STEP = "check that the file is whole; mcofa export writes such files"
_PLAN_VERSION = 1
_SUBGRAPH = 0
_ALIGNMENT_BYTES = 16
_VERSION_SLOT, _BUFFERS_SLOT, _METADATA_SLOT = 0, 4, 6
_MODEL_SLOTS = 10
"""Fields of the schema's Model table; all but the version are offsets."""


@dataclass(frozen=True, slots=True)
class OfflinePlanned:
    """A .tflite file with the offline plan that saves memory on one target, or as it was.

    All in bytes. ``head_bytes_before`` and ``head_bytes_after`` are the head on that target,
    ``saved_bytes`` is what the minimum arena falls by (on x86-64: head and tail). No plan has
    a head below ``lower_bound_bytes``; ``proven_optimal`` says that none is smaller than
    ``head_bytes_after``. ``growth_bytes`` is what the plan adds to the file, so to the flash.
    When nothing is saved, ``file`` is the one that was given.
    """

    file: ModelFile
    head_bytes_before: int
    head_bytes_after: int
    saved_bytes: int
    growth_bytes: int
    lower_bound_bytes: int
    proven_optimal: bool

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.file.data


def with_offline_plan(model: ModelFile, on: Target, time_limit_seconds: float = 10.0) -> OfflinePlanned:
    """Return ``model`` with a better memory plan than TFLM's for ``on``.

    The same file gives the same bytes. On other targets
    the new file runs too, but its head may be larger there than without the plan, because
    their scratch differs.

    Raises:
        FileFormatError: not a .tflite that can be accounted for.
        UnsupportedOpError: names all the ops that the accounting has no rule for.
        McofaError: the solver is needed and not installed.
    """
    planned = plan_graph(model.graph, on, time_limit_seconds)
    offsets = planned.graph.offline_offsets
    written = model
    if planned.graph is not model.graph and offsets is not None:
        written = ModelFile(_with_plan(model.data, model.name, offsets), model.name)
    return OfflinePlanned(
        file=written,
        head_bytes_before=planned.before.head_bytes,
        head_bytes_after=planned.after.head_bytes,
        saved_bytes=planned.saved_bytes,
        growth_bytes=len(written.data) - len(model.data),
        lower_bound_bytes=planned.lower_bound_bytes,
        proven_optimal=planned.proven_optimal,
    )


def without_offline_plan(data: bytes, name: str) -> bytes:
    """Return a file of the same model whose plan, if it has one, leaves every tensor to TFLM.

    Raises:
        FileFormatError: not a .tflite that can be accounted for.
    """
    graph = parse_tflite(data, name)
    return data if graph.offline_offsets is None else _with_plan(data, name, [-1] * len(graph.tensors))


def _with_plan(data: bytes, name: str, offsets: Sequence[int]) -> bytes:
    try:
        return _Prefix(data).write(offsets)
    except GARBAGE_ERRORS as error:
        detail = "corrupt or truncated .tflite: its internal offsets lead nowhere"
        raise FileFormatError(name, detail, _NEXT_STEP) from error


class _Prefix:
    """Builds, back to front, what goes before the old file.

    The builder counts offsets from the end of the file, where the old one lies.
    """

    def __init__(self, data: bytes) -> None:
        self.model = schema.Model.GetRootAs(data, 0)
        self.old = data + bytes(-len(data) % _ALIGNMENT_BYTES)
        self.builder = flatbuffers.Builder(len(self.old) + (1 << 12))
        self.builder.head -= len(self.old)
        self.builder.Bytes[self.builder.head :] = self.old

    def write(self, offsets: Sequence[int]) -> bytes:
        """Return the new file, with ``offsets`` as its only offline plan."""
        model, builder = self.model, self.builder
        buffers = [self._kept(self._buffer_position(index)) for index in range(model.BuffersLength())]
        entries = [model.Metadata(index) for index in range(model.MetadataLength())]
        metadata = [self._kept(entry._tab.Pos) for entry in entries if entry.Name() != OFFLINE_PLAN]
        fields = self._kept_fields()
        fields[_METADATA_SLOT] = self._tables([*metadata, self._metadata(len(buffers))])
        fields[_BUFFERS_SLOT] = self._tables([*buffers, self._plan_buffer(offsets)])
        builder.StartObject(_MODEL_SLOTS)
        builder.PrependUint32Slot(_VERSION_SLOT, model.Version(), 0)
        for slot in sorted(fields):
            builder.PrependUOffsetTRelativeSlot(slot, fields[slot], 0)
        builder.Finish(builder.EndObject(), _IDENTIFIER)
        return bytes(builder.Output())

    def _kept(self, position: int) -> int:
        """The builder's offset of what lies at ``position`` in the old file."""
        if not 0 < position < len(self.old):
            raise ValueError(f"an offset leads to byte {position} of {len(self.old)}")
        return len(self.old) - position

    def _buffer_position(self, index: int) -> int:
        """Where a buffer's table lies; its data must lie in the flatbuffer, since the file moves."""
        buffer = self.model.Buffers(index)
        if buffer.Offset() > 1:
            raise ValueError(f"buffer {index} has its data outside the flatbuffer")
        return int(buffer._tab.Pos)

    def _kept_fields(self) -> dict[int, int]:
        table = self.model._tab
        found = {slot: table.Offset(4 + 2 * slot) for slot in range(_VERSION_SLOT + 1, _MODEL_SLOTS)}
        return {slot: self._kept(table.Indirect(table.Pos + at)) for slot, at in found.items() if at}

    def _plan_buffer(self, offsets: Sequence[int]) -> int:
        words = np.array([_PLAN_VERSION, _SUBGRAPH, len(offsets), *offsets], "<i4").tobytes()
        self.builder.StartVector(1, len(words), _ALIGNMENT_BYTES)
        self.builder.head -= len(words)
        self.builder.Bytes[self.builder.head : self.builder.head + len(words)] = words
        content = self.builder.EndVector()
        schema.BufferStart(self.builder)
        schema.BufferAddData(self.builder, content)
        return int(schema.BufferEnd(self.builder))

    def _metadata(self, buffer: int) -> int:
        name = self.builder.CreateString(OFFLINE_PLAN)
        schema.MetadataStart(self.builder)
        schema.MetadataAddName(self.builder, name)
        schema.MetadataAddBuffer(self.builder, buffer)
        return int(schema.MetadataEnd(self.builder))

    def _tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

"""What lies where in an arena while each op runs: data for a text or a picture, whatever the engine.

Sizes are those that are planned (rounded up to 16 bytes), offsets count from the start of the
arena, and steps are those of ``mcofa.memory.plan``: step 0 is the input before the first op,
op *i* is step *i* + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, Peak, Plan, aligned


@dataclass(frozen=True, slots=True)
class PlacedBuffer:
    """Memory of one or more tensors, or scratch (then without tensors), and where it lies.

    Live from ``first_step`` to ``last_step``, both included; ``what`` says it in words. Of a ring, which
    keeps the last rows of a tensor only, ``ring_rows`` says how many, and of how many.
    """

    tensors: tuple[int, ...]
    what: str
    bytes: int
    offset_bytes: int
    first_step: int
    last_step: int
    ring_rows: tuple[int, int] | None = None

    @property
    def is_scratch(self) -> bool:
        """Whether one op needs it for itself."""
        return not self.tensors

    def is_live(self, step: int) -> bool:
        """Whether it must stay intact during ``step``."""
        return self.first_step <= step <= self.last_step


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """What is live while one op runs, which makes the tensors ``outputs``."""

    op_index: int
    kind: str
    outputs: tuple[int, ...]
    buffers: tuple[PlacedBuffer, ...]

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the op's scratch buffers."""
        return sum(buffer.bytes for buffer in self.buffers if buffer.is_scratch)

    @property
    def ring_bytes(self) -> int:
        """Bytes of rings."""
        return sum(buffer.bytes for buffer in self.buffers if buffer.ring_rows)

    @property
    def live_bytes(self) -> int:
        """Bytes of everything live during the op."""
        return sum(buffer.bytes for buffer in self.buffers)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The memory of one inference, op by op.

    ``place`` says where it runs; ``buffers`` are all planned buffers, in the planner's order, and
    ``head_bytes`` is what they span. ``persistent`` is what the engine keeps besides, from the top of
    the arena downward, ``persistent_of`` whose that is. ``arena_bytes`` is to be reserved;
    ``decided_by`` says what makes it so large, where that is known. ``spans`` are the ops that run together,
    row by row: what one of them needs is there during all. ``notes`` are what else is to be known, each
    with its title.
    """

    place: str
    rows: tuple[TimelineRow, ...]
    buffers: tuple[PlacedBuffer, ...]
    head_bytes: int
    peak: Peak
    arena_bytes: int
    persistent: tuple[tuple[str, int], ...] = ()
    persistent_of: str = ""
    decided_by: str = ""
    spans: tuple[range, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def tail_bytes(self) -> int:
        """What is persistent."""
        return sum(size for _, size in self.persistent)

    @property
    def lower_bound_bytes(self) -> int:
        """What no plan of the buffers can go below: the most that is live at one step."""
        return self.peak.bytes

    @property
    def live_at_peak(self) -> tuple[PlacedBuffer, ...]:
        """The buffers that are live when most is."""
        return tuple(self.buffers[i] for i in self.peak.members)

    @property
    def peak_op(self) -> int:
        """The op that runs when most is live, -1 before the first one."""
        return max(self.peak.step - 1, -1)

    @property
    def peak_words(self) -> str:
        """When most is live."""
        if self.peak_op < 0:
            return "before the first op"
        if len(span := self.span_of(self.peak_op)) > 1:
            return f"in ops {span[0]} to {span[-1]}, row by row"
        return f"in op {self.peak_op} {self.rows[self.peak_op].kind}"

    def span_of(self, op: int) -> range:
        """Return the ops that run together with ``op``, itself among them."""
        return next((span for span in self.spans if op in span), range(op, op + 1))


def placed_buffers(
    graph: Graph, buffers: Sequence[Buffer], tensors: Sequence[tuple[int, ...]], plan: Plan
) -> tuple[PlacedBuffer, ...]:
    """Return ``buffers`` where ``plan`` puts them; ``tensors`` are those that each holds."""
    return tuple(
        PlacedBuffer(
            tensors=held,
            what=_words(graph, held, buffer),
            bytes=aligned(buffer.bytes),
            offset_bytes=offset,
            first_step=buffer.first_step,
            last_step=buffer.last_step,
        )
        for buffer, held, offset in zip(buffers, tensors, plan.offsets, strict=True)
    )


def timeline_rows(graph: Graph, placed: Sequence[PlacedBuffer]) -> tuple[TimelineRow, ...]:
    """Return what is live during each op of ``graph``, tensors before scratch."""
    ordered = sorted(placed, key=lambda buffer: buffer.is_scratch)
    return tuple(
        TimelineRow(i, str(op.kind), op.outputs, tuple(b for b in ordered if b.is_live(i + 1)))
        for i, op in enumerate(graph.ops)
    )


def _words(graph: Graph, held: tuple[int, ...], buffer: Buffer) -> str:
    if not held:
        op_index = buffer.first_step - 1
        return f"scratch of op {op_index} {graph.ops[op_index].kind}"
    first = graph.tensors[held[0]]
    others = f", then {', '.join(map(str, held[1:]))} in its place" if held[1:] else ""
    return f"tensor {held[0]}, {'×'.join(map(str, first.shape)) or 'scalar'} {first.dtype}{others}"

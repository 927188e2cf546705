"""Which tensors lie where in the arena while each op runs, as text and as SVG.

A timeline has one row per op. Sizes are those that the planner places (rounded up to
16 bytes), offsets count from the start of the arena, and steps are those of
``mcofa.memory.plan``: step 0 is the input before the first op, op *i* is step *i* + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from mcofa.engines.tflm import Arena, Target, account, head_plan, op_memory, planned_buffers, planned_tensors
from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, aligned, lower_bound


@dataclass(frozen=True, slots=True)
class PlacedBuffer:
    """A planned tensor, or a scratch buffer (``tensor`` is None), and where it lies.

    Live from ``first_step`` to ``last_step``, both included; ``what`` says it in words.
    """

    tensor: int | None
    what: str
    bytes: int
    offset_bytes: int
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """What is live while one op runs: tensors, scratch, and the bytes of both together."""

    op_index: int
    kind: str
    tensors: tuple[PlacedBuffer, ...]
    scratch: tuple[PlacedBuffer, ...]

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the op's scratch buffers."""
        return sum(buffer.bytes for buffer in self.scratch)

    @property
    def live_bytes(self) -> int:
        """Bytes of everything live during the op."""
        return sum(buffer.bytes for buffer in self.tensors) + self.scratch_bytes


@dataclass(frozen=True, slots=True)
class Timeline:
    """The memory of one inference, op by op.

    ``buffers`` are all planned buffers in the planner's order, ``lower_bound_bytes`` is
    what no plan of the head can go below. The peak, head, tail and minimum are ``arena``'s.
    """

    rows: tuple[TimelineRow, ...]
    buffers: tuple[PlacedBuffer, ...]
    arena: Arena
    lower_bound_bytes: int

    @property
    def tail_bytes(self) -> int:
        """Tail of a plain interpreter; on x86-64, where only that is known, of a recording one."""
        plain = self.arena.tail_bytes
        return self.arena.recording_tail_bytes if plain is None else plain

    @property
    def arena_bytes(self) -> int:
        """What to reserve; on x86-64, where the minimum is not known, head and tail."""
        minimum = self.arena.minimum_bytes
        return self.arena.head_bytes + self.tail_bytes if minimum is None else minimum


def timeline(graph: Graph, on: Target) -> Timeline:
    """Return where TFLM on the target ``on`` keeps every tensor of ``graph``, op by op.

    Raises:
        UnsupportedOpError: names all the ops of the graph that have no rule.
    """
    arena = account(graph, on)
    ops = [op_memory(graph, op, on) for op in graph.ops]
    buffers = planned_buffers(graph, ops)
    tensors = planned_tensors(graph)
    placed = tuple(
        PlacedBuffer(
            tensor=tensors[i] if i < len(tensors) else None,
            what=_tensor_words(graph, tensors[i]) if i < len(tensors) else _scratch_words(graph, buffer),
            bytes=aligned(buffer.bytes),
            offset_bytes=offset,
            first_step=buffer.first_step,
            last_step=buffer.last_step,
        )
        for i, (buffer, offset) in enumerate(zip(buffers, head_plan(graph, buffers).offsets, strict=True))
    )
    rows = tuple(_row(i, str(op.kind), placed) for i, op in enumerate(graph.ops))
    return Timeline(rows, placed, arena, lower_bound(buffers))


def _tensor_words(graph: Graph, index: int) -> str:
    tensor = graph.tensors[index]
    return f"tensor {index}, {'×'.join(map(str, tensor.shape)) or 'scalar'} {tensor.dtype}"


def _scratch_words(graph: Graph, buffer: Buffer) -> str:
    op_index = buffer.first_step - 1
    return f"scratch of op {op_index} {graph.ops[op_index].kind}"


def _row(op_index: int, kind: str, placed: Sequence[PlacedBuffer]) -> TimelineRow:
    live = [b for b in placed if b.first_step <= op_index + 1 <= b.last_step]
    return TimelineRow(
        op_index=op_index,
        kind=kind,
        tensors=tuple(b for b in live if b.tensor is not None),
        scratch=tuple(b for b in live if b.tensor is None),
    )


def as_text(shown: Timeline, width: int = 100) -> str:
    """Return the timeline as lines of at most ``width`` characters where that is possible.

    One line per op, its bar scaled so that a full one is the head: █ tensors, ▒ scratch.
    The peak is marked, and what is live there, head, tail and minimum follow.
    """
    return "\n".join([*_bar_lines(shown, width), *_footer_lines(shown, width)]) + "\n"


def _bar_lines(shown: Timeline, width: int) -> Iterable[str]:
    kind_width = max((len(row.kind) for row in shown.rows), default=0)
    index_width = len(str(len(shown.rows)))
    bytes_width = len(f"{shown.arena.head_bytes:,}")
    mark = " ◄ peak"
    taken = index_width + kind_width + bytes_width + len("   " + " B  " + mark)
    bar_width = max(10, width - taken)
    scale = bar_width / max(1, shown.arena.head_bytes)
    for row in shown.rows:
        full = round(row.live_bytes * scale)
        scratch = min(full, round(row.scratch_bytes * scale))
        bar = "█" * (full - scratch) + "▒" * scratch
        name = f"{row.op_index:>{index_width}} {row.kind:<{kind_width}}"
        line = f"{name}  {row.live_bytes:>{bytes_width},} B  {bar}"
        yield line.rstrip() + (mark if row.op_index == shown.arena.head_peak.op_index else "")


def _footer_lines(shown: Timeline, width: int) -> Iterable[str]:
    arena = shown.arena
    yield ""
    yield f"peak     {shown.lower_bound_bytes:,} B live {_peak_words(shown)}:"
    for buffer in sorted(_live_at_peak(shown), key=lambda b: b.offset_bytes):
        yield f"           {buffer.bytes:,} B at {buffer.offset_bytes:,}: {buffer.what}"
    yield f"head     {arena.head_bytes:,} B planned, {_planner_words(shown)}"
    tail_of = "of a recording interpreter" if arena.tail_bytes is None else "of a plain interpreter"
    yield f"tail     {shown.tail_bytes:,} B {tail_of}:"
    categories = [f"{name} {size:,}" for name, size in arena.breakdown.items() if name != "head"]
    yield from _wrapped(categories, width, " " * 11)
    yield f"minimum  {_minimum_words(shown)}"


def _wrapped(items: Iterable[str], width: int, indent: str) -> Iterable[str]:
    line = ""
    for item in items:
        longer = f"{line}, {item}" if line else item
        if line and len(indent) + len(longer) + 1 > width:
            yield f"{indent}{line},"
            line = item
        else:
            line = longer
    yield f"{indent}{line}"


def _live_at_peak(shown: Timeline) -> tuple[PlacedBuffer, ...]:
    peak = shown.arena.head_peak.op_index
    if peak < 0:
        return tuple(b for b in shown.buffers if b.tensor in shown.arena.head_peak.tensors)
    return shown.rows[peak].tensors + shown.rows[peak].scratch


def _peak_words(shown: Timeline) -> str:
    peak = shown.arena.head_peak.op_index
    return "before the first op" if peak < 0 else f"in op {peak} {shown.rows[peak].kind}"


def _planner_words(shown: Timeline) -> str:
    head, bound = shown.arena.head_bytes, shown.lower_bound_bytes
    if head == bound:
        return "which no plan can beat"
    return f"{head - bound:,} B ({(head - bound) / head * 100:.1f} %) above the lower bound of {bound:,} B"


def _minimum_words(shown: Timeline) -> str:
    if shown.arena.minimum_bytes is None:
        return f"not known on {shown.arena.target.name}; head and tail are {shown.arena_bytes:,} B"
    return f"{shown.arena.minimum_bytes:,} B, decided by: {shown.arena.minimum_cause}"


# The SVG. Lengths are pixels, x grows with the steps and y with the offset, upward.

_FONT_PX = 11
_SMALL_PX = 9
_LEFT_PX = 64
_TOP_PX = 64
_PLOT_HEIGHT_PX = 440
_KIND_LABEL_PX = 132
_INK, _QUIET, _PAPER, _WARNING = "#1f2933", "#616e7c", "#ffffff", "#c53030"
_FILLS = {"at-peak": "#2b6cb0", "tensor": "#bcd6ee", "scratch": "url(#hatch)"}
_TAIL_FILLS = ("#d5dae0", "#e4e7eb")


@dataclass(frozen=True, slots=True)
class _Scale:
    """From steps and bytes to pixels."""

    first_step: int
    step_px: float
    columns: int
    arena_bytes: int

    @property
    def right_px(self) -> float:
        return _LEFT_PX + self.columns * self.step_px

    def x(self, step: int) -> float:
        return _LEFT_PX + (step - self.first_step) * self.step_px

    def y(self, offset_bytes: float) -> float:
        return _TOP_PX + _PLOT_HEIGHT_PX * (1 - offset_bytes / self.arena_bytes)


def as_svg(shown: Timeline) -> str:
    """Return the timeline as one SVG document that needs nothing else.

    x: the ops in order; y: offset in the arena. Every planned buffer is one rectangle
    with a tooltip (class ``tensor`` or ``scratch``), the op at the peak is marked, and
    the tail lies on top, its categories in the order in which they lie in memory.
    """
    scale = _scale(shown)
    width = max(scale.right_px + 196, 760)
    height = _TOP_PX + _PLOT_HEIGHT_PX + _KIND_LABEL_PX + 44
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_px(width)} {_px(height)}"}
    attributes |= {"width": _px(width), "height": _px(height), "font-family": "sans-serif"}
    root = ET.Element("svg", attributes)
    _hatch(root)
    _rect(root, 0, 0, width, height, fill=_PAPER)
    _titles(root, shown)
    _y_axis(root, scale)
    _x_axis(root, shown, scale)
    _peak(root, shown, scale)
    _buffers(root, shown, scale)
    _tail(root, shown, scale)
    _right_labels(root, shown, scale)
    _legend(root, shown, height)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _scale(shown: Timeline) -> _Scale:
    first = min((b.first_step for b in shown.buffers), default=0)
    columns = len(shown.rows) + 1 - min(first, 0)
    step_px = min(40.0, max(12.0, 900 / columns))
    return _Scale(min(first, 0), step_px, columns, max(1, shown.arena_bytes))


def _px(length: float) -> str:
    return f"{length:.1f}".removesuffix(".0")


def _rect(parent: ET.Element, x: float, y: float, width: float, height: float, **style: str) -> ET.Element:
    box = {"x": _px(x), "y": _px(y), "width": _px(width), "height": _px(height)}
    return ET.SubElement(parent, "rect", box | _attributes(style))


def _line(parent: ET.Element, x1: float, y1: float, x2: float, y2: float, **style: str) -> None:
    ends = {"x1": _px(x1), "y1": _px(y1), "x2": _px(x2), "y2": _px(y2)}
    ET.SubElement(parent, "line", ends | _attributes(style))


def _text(
    parent: ET.Element, x: float, y: float, words: str, size_px: float = _FONT_PX, **style: str
) -> None:
    place = {"x": _px(x), "y": _px(y), "font-size": _px(size_px), "fill": _INK}
    ET.SubElement(parent, "text", place | _attributes(style)).text = words


def _attributes(style: dict[str, str]) -> dict[str, str]:
    """Attribute names from Python ones: ``stroke_width``, and ``class_``."""
    return {name.rstrip("_").replace("_", "-"): value for name, value in style.items()}


def _text_width_px(words: str, size_px: float = _FONT_PX) -> float:
    """An upper estimate: the fonts at hand differ."""
    return 0.62 * size_px * len(words)


def _hatch(root: ET.Element) -> None:
    attributes = {"id": "hatch", "width": "5", "height": "5", "patternUnits": "userSpaceOnUse"}
    pattern = ET.SubElement(ET.SubElement(root, "defs"), "pattern", attributes)
    _rect(pattern, 0, 0, 5, 5, fill="#fbd9b5")
    ET.SubElement(pattern, "path", {"d": "M-1,1 l2,-2 M0,5 l5,-5 M4,6 l2,-2", "stroke": "#c05621"})


def _titles(root: ET.Element, shown: Timeline) -> None:
    on = shown.arena.target
    title = f"Tensor arena on {on.name}, {on.kernels} kernels: {shown.arena_bytes:,} B"
    ET.SubElement(root, "title").text = title
    _text(root, 16, 24, title, 15, font_weight="bold")
    _text(root, 16, 42, _subtitle(shown), fill=_QUIET)


def _subtitle(shown: Timeline) -> str:
    peak = f"peak: {shown.lower_bound_bytes:,} B live {_peak_words(shown)}"
    if shown.arena.minimum_bytes is None:
        return f"{peak}; head and tail of a recording interpreter"
    return f"{peak}; the size is decided by {shown.arena.minimum_cause}"


def _y_axis(root: ET.Element, scale: _Scale) -> None:
    tick = _tick_bytes(scale.arena_bytes)
    unit, unit_bytes = ("KiB", 1024) if tick >= 1024 else ("B", 1)
    for offset in range(0, scale.arena_bytes + 1, tick):
        y = scale.y(offset)
        _line(root, _LEFT_PX, y, scale.right_px, y, stroke="#e4e7eb")
        _text(root, _LEFT_PX - 8, y + 4, f"{offset // unit_bytes:,}", text_anchor="end")
    middle = _TOP_PX + _PLOT_HEIGHT_PX / 2
    turn = f"rotate(-90 18 {_px(middle)})"
    _text(root, 18, middle, f"offset in the arena ({unit})", text_anchor="middle", transform=turn)


def _tick_bytes(arena_bytes: int) -> int:
    """A power of two that gives at most ten ticks."""
    tick = 16
    while arena_bytes > 10 * tick:
        tick *= 2
    return tick


def _x_axis(root: ET.Element, shown: Timeline, scale: _Scale) -> None:
    base = _TOP_PX + _PLOT_HEIGHT_PX
    peak_step = shown.arena.head_peak.op_index + 1
    names = {-1: "unused", 0: "input"} | {r.op_index + 1: f"{r.op_index} {r.kind}" for r in shown.rows}
    for step in range(scale.first_step, scale.first_step + scale.columns):
        x, y = scale.x(step) + scale.step_px / 2 + 3, base + 6
        weight = "bold" if step == peak_step else "normal"
        turn = f"rotate(-90 {_px(x)} {_px(y)})"
        _text(root, x, y, names[step], _SMALL_PX, text_anchor="end", transform=turn, font_weight=weight)
    _line(root, _LEFT_PX, base, scale.right_px, base, stroke=_INK)
    _line(root, _LEFT_PX, _TOP_PX, _LEFT_PX, base, stroke=_INK)


def _buffers(root: ET.Element, shown: Timeline, scale: _Scale) -> None:
    group = ET.SubElement(root, "g", {"stroke": "#1a4971", "stroke-width": "0.5"})
    at_peak = set(_live_at_peak(shown))
    for buffer in shown.buffers:
        kind = "scratch" if buffer.tensor is None else "tensor"
        fill = _FILLS["at-peak" if kind == "tensor" and buffer in at_peak else kind]
        x, top = scale.x(buffer.first_step), scale.y(buffer.offset_bytes + buffer.bytes)
        width, height = scale.x(buffer.last_step + 1) - x, scale.y(buffer.offset_bytes) - top
        rect = _rect(group, x, top, width, height, class_=kind, fill=fill)
        ET.SubElement(rect, "title").text = _tooltip(buffer)
        words = "" if buffer.tensor is None else f"{buffer.bytes:,} B"
        if words and height >= _FONT_PX + 3 and width >= _text_width_px(words, _SMALL_PX):
            colour = _PAPER if buffer in at_peak else _INK
            y = top + height / 2 + 3
            centre = x + width / 2
            _text(group, centre, y, words, _SMALL_PX, text_anchor="middle", fill=colour, stroke="none")


def _tooltip(buffer: PlacedBuffer) -> str:
    first, last = buffer.first_step - 1, buffer.last_step - 1
    when = f"from op {first} to op {last}" if first >= 0 else f"from the start to op {last}"
    return f"{buffer.what}: {buffer.bytes:,} B at offset {buffer.offset_bytes:,}, {when}"


def _tail(root: ET.Element, shown: Timeline, scale: _Scale) -> None:
    """Bands from the top of the arena downward, as TFLM allocates them."""
    group = ET.SubElement(root, "g", {"class": "tail"})
    end = scale.arena_bytes
    sizes = [(name, size) for name, size in shown.arena.breakdown.items() if name != "head" and size]
    for i, (name, size) in enumerate(sizes):
        top, height = scale.y(end), scale.y(end - size) - scale.y(end)
        rect = _rect(group, _LEFT_PX, top, scale.right_px - _LEFT_PX, height, fill=_TAIL_FILLS[i % 2])
        ET.SubElement(rect, "title").text = f"tail, {name}: {size:,} B"
        if height >= _FONT_PX + 1:
            _text(group, _LEFT_PX + 6, top + height / 2 + 3, f"{name} {size:,} B", _SMALL_PX)
        end -= size
    y = scale.y(end)
    _line(root, _LEFT_PX, y, scale.right_px, y, stroke=_INK)


def _peak(root: ET.Element, shown: Timeline, scale: _Scale) -> None:
    """A band behind the buffers of the step at the peak, and a bar on the axis below it."""
    x, base = scale.x(shown.arena.head_peak.op_index + 1), _TOP_PX + _PLOT_HEIGHT_PX
    top = scale.y(shown.arena.head_bytes)
    _rect(root, x, top, scale.step_px, base - top, class_="peak", fill="#fbd5d5")
    _rect(root, x, base, scale.step_px, 4, fill=_WARNING)


def _right_labels(root: ET.Element, shown: Timeline, scale: _Scale) -> None:
    """Names of the heights, pushed apart where they would overlap."""
    arena = shown.arena
    tail_start = scale.arena_bytes - shown.tail_bytes
    labels = [(scale.y(tail_start + shown.tail_bytes / 2), f"tail {shown.tail_bytes:,} B", _INK)]
    if tail_start - arena.head_bytes >= 16:
        between = (tail_start + arena.head_bytes) / 2
        labels.append((scale.y(between), f"only at start-up {tail_start - arena.head_bytes:,} B", _QUIET))
    labels.append((scale.y(arena.head_bytes), f"head {arena.head_bytes:,} B", _INK))
    if shown.lower_bound_bytes < arena.head_bytes:
        labels.append(
            (scale.y(shown.lower_bound_bytes), f"lower bound {shown.lower_bound_bytes:,} B", _WARNING)
        )
    text_y = 0.0
    for y, words, colour in labels:
        text_y = max(y, text_y + _FONT_PX + 3)
        _line(root, scale.right_px, y, scale.right_px + 14, text_y, stroke=colour)
        _text(root, scale.right_px + 18, text_y + 4, words, fill=colour)
    for offset, colour in {shown.lower_bound_bytes: _WARNING, arena.head_bytes: _INK}.items():
        y = scale.y(offset)
        _line(root, _LEFT_PX, y, scale.right_px, y, stroke=colour, stroke_dasharray="4 3")


def _legend(root: ET.Element, shown: Timeline, height: float) -> None:
    x, y = float(_LEFT_PX), height - 16
    entries = [("tensor live at the peak", _FILLS["at-peak"]), ("other tensors", _FILLS["tensor"])]
    if any(b.tensor is None for b in shown.buffers):
        entries.append(("scratch of one op", _FILLS["scratch"]))
    entries.append(("tail: persistent", _TAIL_FILLS[0]))
    for words, fill in entries:
        _rect(root, x, y - 9, 12, 10, fill=fill, stroke=_QUIET, stroke_width="0.5")
        _text(root, x + 18, y, words)
        x += 34 + _text_width_px(words)

"""The memory of an inference as a picture.

x: the ops in order; y: the offset in the arena, upward. Every planned buffer is one rectangle with a
tooltip (class ``tensor``, ``ring`` or ``scratch``), the op at the peak is marked, and what is persistent
lies on top, in the order in which it lies in memory. Ops that run together, row by row, have a bar (class
``span``) above them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcofa.draw.svg import FONT_PX, GRID, INK, PAPER, QUIET, Picture, text_width_px
from mcofa.memory.timeline import PlacedBuffer, Timeline

_SMALL_PX = 9
_LEFT_PX = 64
_TOP_PX = 64
_PLOT_HEIGHT_PX = 440
_BASE_PX = _TOP_PX + _PLOT_HEIGHT_PX
_KIND_LABEL_PX = 132
_WARNING = "#c53030"
_AT_PEAK, _TENSOR = "#2b6cb0", "#bcd6ee"
_RING_AT_PEAK, _RING = "#0f766e", "#a7dcd3"
_SPAN = "#64748b"
_BAR_PX = 4
_HATCH_INK, _HATCH_PAPER = "#c05621", "#fbd9b5"
_TAIL_FILLS = ("#d5dae0", GRID)
_FILLS = {"tensor": (_TENSOR, _AT_PEAK), "ring": (_RING, _RING_AT_PEAK)}
"""Of each kind, elsewhere and at the peak."""
_LINE_PX = 18


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


def timeline_svg(shown: Timeline) -> str:
    """Return the timeline as one SVG document."""
    scale = _scale(shown)
    legend = _legend_entries(shown)
    width = max(scale.right_px + 196, 760, _legend_width_px(legend))
    height = _BASE_PX + _KIND_LABEL_PX + 44 + _LINE_PX * len(shown.notes)
    title = f"Tensor arena on {shown.place}: {shown.arena_bytes:,} B"
    picture = Picture(width, height, title)
    scratch_fill = picture.hatching(_HATCH_INK, _HATCH_PAPER)
    picture.text(16, 24, title, 15, font_weight="bold")
    subtitle = f"peak: {shown.lower_bound_bytes:,} B live {shown.peak_words}; {_cause(shown)}"
    picture.text(16, 42, subtitle, fill=QUIET)
    _y_axis(picture, scale)
    _x_axis(picture, shown, scale)
    _spans(picture, shown, scale)
    _peak(picture, shown, scale)
    _buffers(picture, shown, scale, scratch_fill)
    _tail(picture, shown, scale)
    _right_labels(picture, shown, scale)
    legend_y = height - 16 - _LINE_PX * len(shown.notes)
    _legend(picture, legend, legend_y, scratch_fill)
    for number, (title, words) in enumerate(shown.notes, 1):
        picture.text(_LEFT_PX, legend_y + _LINE_PX * number, f"{title}: {words}", fill=QUIET)
    return str(picture)


def _scale(shown: Timeline) -> _Scale:
    first = min((buffer.first_step for buffer in shown.buffers), default=0)
    columns = len(shown.rows) + 1 - first
    step_px = min(40.0, max(12.0, 900 / columns))
    return _Scale(first, step_px, columns, max(1, shown.arena_bytes))


def _cause(shown: Timeline) -> str:
    if not shown.persistent:
        return "nothing is persistent"
    if not shown.decided_by:
        return f"head and tail of {shown.persistent_of}"
    return f"the size is decided by {shown.decided_by}"


def _y_axis(picture: Picture, scale: _Scale) -> None:
    tick = _tick_bytes(scale.arena_bytes)
    unit, unit_bytes = ("KiB", 1024) if tick >= 1024 else ("B", 1)
    for offset in range(0, scale.arena_bytes + 1, tick):
        y = scale.y(offset)
        picture.line(_LEFT_PX, y, scale.right_px, y, stroke=GRID)
        picture.text(_LEFT_PX - 8, y + 4, f"{offset // unit_bytes:,}", text_anchor="end")
    middle = _TOP_PX + _PLOT_HEIGHT_PX / 2
    picture.turned_text(18, middle, f"offset in the arena ({unit})", text_anchor="middle")


def _tick_bytes(arena_bytes: int) -> int:
    """A power of two that gives at most ten ticks."""
    tick = 16
    while arena_bytes > 10 * tick:
        tick *= 2
    return tick


def _x_axis(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    names = {-1: "unused", 0: "input"}
    names |= {row.op_index + 1: f"{row.op_index} {row.kind}" for row in shown.rows}
    for step in range(scale.first_step, scale.first_step + scale.columns):
        x = scale.x(step) + scale.step_px / 2 + 3
        weight = "bold" if step in _peak_steps(shown) else "normal"
        picture.turned_text(x, _BASE_PX + 6, names[step], _SMALL_PX, text_anchor="end", font_weight=weight)
    picture.line(_LEFT_PX, _BASE_PX, scale.right_px, _BASE_PX, stroke=INK)
    picture.line(_LEFT_PX, _TOP_PX, _LEFT_PX, _BASE_PX, stroke=INK)


def _spans(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    """A bar above the ops of each span, and lines down from its ends."""
    if not shown.spans:
        return
    group = picture.group(stroke=_SPAN, stroke_dasharray="1 3")
    for span in shown.spans:
        x, end = scale.x(span.start + 1), scale.x(span.stop + 1)
        for edge in (x, end):
            group.line(edge, _TOP_PX, edge, _BASE_PX)
        tooltip = f"{_op_words(span)}: row by row, {shown.rows[span[0]].live_bytes:,} B"
        bar = {"class_": "span", "fill": _SPAN}
        picture.rect(x + 1, _TOP_PX - _BAR_PX, end - x - 2, _BAR_PX, tooltip=tooltip, **bar)
        words = "row by row"
        if end - x >= text_width_px(words, _SMALL_PX):
            at = {"text_anchor": "middle", "fill": _SPAN}
            picture.text((x + end) / 2, _TOP_PX - _BAR_PX - 3, words, _SMALL_PX, **at)


def _op_words(span: range) -> str:
    return f"ops {span[0]} to {span[-1]}" if len(span) > 1 else f"op {span[0]}"


def _peak_steps(shown: Timeline) -> range:
    """The steps at the peak: one, or all of a span."""
    if shown.peak.step < 1:
        return range(shown.peak.step, shown.peak.step + 1)
    span = shown.span_of(shown.peak_op)
    return range(span.start + 1, span.stop + 1)


def _peak(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    """A band behind the buffers of the steps at the peak, and a bar on the axis below it."""
    steps, top = _peak_steps(shown), scale.y(shown.head_bytes)
    x, width = scale.x(steps.start), len(steps) * scale.step_px
    picture.rect(x, top, width, _BASE_PX - top, class_="peak", fill="#fbd5d5")
    picture.rect(x, _BASE_PX, width, 4, fill=_WARNING)


def _buffers(picture: Picture, shown: Timeline, scale: _Scale, scratch_fill: str) -> None:
    group = picture.group(stroke="#1a4971", stroke_width=0.5)
    at_peak = set(shown.live_at_peak)
    for buffer in shown.buffers:
        kind = _kind(buffer)
        fill = scratch_fill if buffer.is_scratch else _FILLS[kind][buffer in at_peak]
        x, top = scale.x(buffer.first_step), scale.y(buffer.offset_bytes + buffer.bytes)
        width, height = scale.x(buffer.last_step + 1) - x, scale.y(buffer.offset_bytes) - top
        style = {"stroke": PAPER} if kind == "ring" else {}
        group.rect(x, top, width, height, tooltip=_tooltip(buffer), class_=kind, fill=fill, **style)
        words = "" if buffer.is_scratch else f"{buffer.bytes:,} B"
        if buffer.ring_rows:
            rows = "{} of {} rows".format(*buffer.ring_rows)
            words = rows if width >= text_width_px(rows, _SMALL_PX) else "{}/{}".format(*buffer.ring_rows)
        if words and height >= FONT_PX + 3 and width >= text_width_px(words, _SMALL_PX):
            centred = {"text_anchor": "middle", "stroke": "none", "fill": PAPER if buffer in at_peak else INK}
            group.text(x + width / 2, top + height / 2 + 3, words, _SMALL_PX, **centred)


def _kind(buffer: PlacedBuffer) -> str:
    if buffer.is_scratch:
        return "scratch"
    return "ring" if buffer.ring_rows else "tensor"


def _tooltip(buffer: PlacedBuffer) -> str:
    first, last = buffer.first_step - 1, buffer.last_step - 1
    when = f"from op {first} to op {last}" if first >= 0 else f"from the start to op {last}"
    return f"{buffer.what}: {buffer.bytes:,} B at offset {buffer.offset_bytes:,}, {when}"


def _tail(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    """Bands from the top of the arena downward, as they are allocated."""
    if not shown.persistent:
        return
    group = picture.group(class_="tail")
    end = scale.arena_bytes
    for i, (name, size) in enumerate((name, size) for name, size in shown.persistent if size):
        top, height = scale.y(end), scale.y(end - size) - scale.y(end)
        width, tooltip = scale.right_px - _LEFT_PX, f"tail, {name}: {size:,} B"
        group.rect(_LEFT_PX, top, width, height, tooltip=tooltip, fill=_TAIL_FILLS[i % 2])
        if height >= FONT_PX + 1:
            group.text(_LEFT_PX + 6, top + height / 2 + 3, f"{name} {size:,} B", _SMALL_PX)
        end -= size
    y = scale.y(end)
    picture.line(_LEFT_PX, y, scale.right_px, y, stroke=INK)


def _right_labels(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    """Names of the heights, pushed apart where they would overlap."""
    text_y = 0.0
    for offset, words, colour in _heights(shown, scale):
        y = scale.y(offset)
        text_y = max(y, text_y + FONT_PX + 3)
        picture.line(scale.right_px, y, scale.right_px + 14, text_y, stroke=colour)
        picture.text(scale.right_px + 18, text_y + 4, words, fill=colour)
    for offset, colour in {shown.lower_bound_bytes: _WARNING, shown.head_bytes: INK}.items():
        y = scale.y(offset)
        picture.line(_LEFT_PX, y, scale.right_px, y, stroke=colour, stroke_dasharray="4 3")


def _heights(shown: Timeline, scale: _Scale) -> list[tuple[float, str, str]]:
    """(Offset, words, colour) from the top downward."""
    head, bound, tail = shown.head_bytes, shown.lower_bound_bytes, shown.tail_bytes
    tail_start = scale.arena_bytes - tail
    labels: list[tuple[float, str, str]] = []
    if tail:
        labels.append((tail_start + tail / 2, f"tail {tail:,} B", INK))
    if tail_start - head >= 16:
        labels.append(((tail_start + head) / 2, f"only at start-up {tail_start - head:,} B", QUIET))
    labels.append((head, f"head {head:,} B", INK))
    if bound < head:
        labels.append((bound, f"lower bound {bound:,} B", _WARNING))
    return labels


def _legend_entries(shown: Timeline) -> list[tuple[str, str]]:
    """(Words, fill); without a fill it is that of scratch."""
    entries = [("tensor live at the peak", _AT_PEAK), ("other tensors", _TENSOR)]
    if any(buffer.ring_rows for buffer in shown.buffers):
        entries += [("some rows of a tensor, at the peak", _RING_AT_PEAK), ("elsewhere", _RING)]
    if any(buffer.is_scratch for buffer in shown.buffers):
        entries.append(("scratch" if shown.spans else "scratch of one op", ""))
    if shown.persistent:
        entries.append(("tail: persistent", _TAIL_FILLS[0]))
    return entries


def _legend_width_px(entries: Sequence[tuple[str, str]]) -> float:
    return _LEFT_PX + sum(34 + text_width_px(words) for words, _ in entries)


def _legend(picture: Picture, entries: Sequence[tuple[str, str]], y: float, scratch_fill: str) -> None:
    for number, (words, fill) in enumerate(entries):
        x = _legend_width_px(entries[:number])
        picture.rect(x, y - 9, 12, 10, fill=fill or scratch_fill, stroke=QUIET, stroke_width=0.5)
        picture.text(x + 18, y, words)

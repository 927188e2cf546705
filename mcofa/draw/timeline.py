"""The memory of an inference as a picture.

x: the ops in order; y: the offset in the arena, upward. Every planned buffer is one rectangle with a
tooltip (class ``tensor`` or ``scratch``), the op at the peak is marked, and what is persistent lies
on top, in the order in which it lies in memory.
"""

from __future__ import annotations

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
_HATCH_INK, _HATCH_PAPER = "#c05621", "#fbd9b5"
_TAIL_FILLS = ("#d5dae0", GRID)


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
    width = max(scale.right_px + 196, 760)
    height = _BASE_PX + _KIND_LABEL_PX + 44
    title = f"Tensor arena on {shown.place}: {shown.arena_bytes:,} B"
    picture = Picture(width, height, title)
    scratch_fill = picture.hatching(_HATCH_INK, _HATCH_PAPER)
    picture.text(16, 24, title, 15, font_weight="bold")
    subtitle = f"peak: {shown.lower_bound_bytes:,} B live {shown.peak_words}; {_cause(shown)}"
    picture.text(16, 42, subtitle, fill=QUIET)
    _y_axis(picture, scale)
    _x_axis(picture, shown, scale)
    _peak(picture, shown, scale)
    _buffers(picture, shown, scale, scratch_fill)
    _tail(picture, shown, scale)
    _right_labels(picture, shown, scale)
    _legend(picture, shown, height - 16, scratch_fill)
    return str(picture)


def _scale(shown: Timeline) -> _Scale:
    first = min((buffer.first_step for buffer in shown.buffers), default=0)
    columns = len(shown.rows) + 1 - min(first, 0)
    step_px = min(40.0, max(12.0, 900 / columns))
    return _Scale(min(first, 0), step_px, columns, max(1, shown.arena_bytes))


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
        weight = "bold" if step == shown.peak.step else "normal"
        picture.turned_text(x, _BASE_PX + 6, names[step], _SMALL_PX, text_anchor="end", font_weight=weight)
    picture.line(_LEFT_PX, _BASE_PX, scale.right_px, _BASE_PX, stroke=INK)
    picture.line(_LEFT_PX, _TOP_PX, _LEFT_PX, _BASE_PX, stroke=INK)


def _peak(picture: Picture, shown: Timeline, scale: _Scale) -> None:
    """A band behind the buffers of the step at the peak, and a bar on the axis below it."""
    x, top = scale.x(shown.peak.step), scale.y(shown.head_bytes)
    picture.rect(x, top, scale.step_px, _BASE_PX - top, class_="peak", fill="#fbd5d5")
    picture.rect(x, _BASE_PX, scale.step_px, 4, fill=_WARNING)


def _buffers(picture: Picture, shown: Timeline, scale: _Scale, scratch_fill: str) -> None:
    group = picture.group(stroke="#1a4971", stroke_width=0.5)
    at_peak = set(shown.live_at_peak)
    for buffer in shown.buffers:
        colour = _AT_PEAK if buffer in at_peak else _TENSOR
        kind, fill = ("scratch", scratch_fill) if buffer.is_scratch else ("tensor", colour)
        x, top = scale.x(buffer.first_step), scale.y(buffer.offset_bytes + buffer.bytes)
        width, height = scale.x(buffer.last_step + 1) - x, scale.y(buffer.offset_bytes) - top
        group.rect(x, top, width, height, tooltip=_tooltip(buffer), class_=kind, fill=fill)
        words = "" if buffer.is_scratch else f"{buffer.bytes:,} B"
        if words and height >= FONT_PX + 3 and width >= text_width_px(words, _SMALL_PX):
            centred = {"text_anchor": "middle", "stroke": "none", "fill": PAPER if buffer in at_peak else INK}
            group.text(x + width / 2, top + height / 2 + 3, words, _SMALL_PX, **centred)


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


def _legend(picture: Picture, shown: Timeline, y: float, scratch_fill: str) -> None:
    entries = [("tensor live at the peak", _AT_PEAK), ("other tensors", _TENSOR)]
    if any(buffer.is_scratch for buffer in shown.buffers):
        entries.append(("scratch of one op", scratch_fill))
    if shown.persistent:
        entries.append(("tail: persistent", _TAIL_FILLS[0]))
    x = float(_LEFT_PX)
    for words, fill in entries:
        picture.rect(x, y - 9, 12, 10, fill=fill, stroke=QUIET, stroke_width=0.5)
        picture.text(x + 18, y, words)
        x += 34 + text_width_px(words)

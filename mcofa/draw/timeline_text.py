"""The memory of an inference as text, one line per op."""

from __future__ import annotations

from collections.abc import Iterable

from mcofa.memory.timeline import Timeline


def timeline_text(shown: Timeline, width: int = 100) -> str:
    """Return the timeline as lines of at most ``width`` characters where that is possible.

    Each bar is scaled so that a full one is the head: █ tensors, ▒ scratch. The peak is marked, and
    what is live there, head, tail and minimum follow.
    """
    return "\n".join([*_bar_lines(shown, width), *_footer_lines(shown, width)]) + "\n"


def _bar_lines(shown: Timeline, width: int) -> Iterable[str]:
    kind_width = max((len(row.kind) for row in shown.rows), default=0)
    index_width = len(str(len(shown.rows)))
    bytes_width = len(f"{shown.head_bytes:,}")
    mark = " ◄ peak"
    taken = index_width + kind_width + bytes_width + len("   " + " B  " + mark)
    bar_width = max(10, width - taken)
    scale = bar_width / max(1, shown.head_bytes)
    for row in shown.rows:
        full = round(row.live_bytes * scale)
        scratch = min(full, round(row.scratch_bytes * scale))
        bar = "█" * (full - scratch) + "▒" * scratch
        name = f"{row.op_index:>{index_width}} {row.kind:<{kind_width}}"
        line = f"{name}  {row.live_bytes:>{bytes_width},} B  {bar}"
        yield line.rstrip() + (mark if row.op_index == shown.peak_op else "")


def _footer_lines(shown: Timeline, width: int) -> Iterable[str]:
    yield ""
    yield f"peak     {shown.lower_bound_bytes:,} B live {shown.peak_words}:"
    for buffer in sorted(shown.live_at_peak, key=lambda b: b.offset_bytes):
        yield f"           {buffer.bytes:,} B at {buffer.offset_bytes:,}: {buffer.what}"
    yield f"head     {shown.head_bytes:,} B planned, {_planner_words(shown)}"
    if shown.persistent:
        yield f"tail     {shown.tail_bytes:,} B of {shown.persistent_of}:"
        yield from _wrapped([f"{name} {size:,}" for name, size in shown.persistent], width, " " * 11)
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


def _planner_words(shown: Timeline) -> str:
    head, bound = shown.head_bytes, shown.lower_bound_bytes
    if head == bound:
        return "which no plan can beat"
    return f"{head - bound:,} B ({(head - bound) / head * 100:.1f} %) above the lower bound of {bound:,} B"


def _minimum_words(shown: Timeline) -> str:
    if not shown.decided_by:
        return f"not known on {shown.place.split(',')[0]}; head and tail are {shown.arena_bytes:,} B"
    return f"{shown.arena_bytes:,} B, decided by: {shown.decided_by}"

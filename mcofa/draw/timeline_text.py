"""The memory of an inference as text, one line per op."""

from __future__ import annotations

from collections.abc import Iterable

from mcofa.memory.timeline import Timeline, TimelineRow

_PEAK = " ◄ peak"


def timeline_text(shown: Timeline, width: int = 100) -> str:
    """Return the timeline as lines of at most ``width`` characters where that is possible.

    Each bar is scaled so that a full one is the head: █ tensors, ▓ rows of tensors, ▒ scratch. Ops that run
    together share one bar, and what each of them makes follows. The peak is marked, and what is live there,
    head, tail and minimum follow.
    """
    return "\n".join([*_bar_lines(shown, width), *_footer_lines(shown, width)]) + "\n"


def _bar_lines(shown: Timeline, width: int) -> Iterable[str]:
    index_width = len(str(len(shown.rows)))
    names = {row.op_index: f"{row.op_index:>{index_width}} {row.kind}" for row in shown.rows}
    for span in shown.spans:
        names |= {op: f"  {names[op]}" for op in span}
    titles = {
        span[0]: f"{span[0]:>{index_width}}{f'–{span[-1]}' if len(span) > 1 else ''} row by row"
        for span in shown.spans
    }
    name_width = max((len(name) for name in (*names.values(), *titles.values())), default=0)
    bytes_width = len(f"{shown.head_bytes:,}")
    taken = name_width + bytes_width + len("   " + "B  " + _PEAK)
    scale = max(10, width - taken) / max(1, shown.head_bytes)

    def line(name: str, size_bytes: int | None, words: str) -> str:
        size = " " * (bytes_width + 2) if size_bytes is None else f"{size_bytes:>{bytes_width},} B"
        return f"{name:<{name_width}}  {size}  {words}".rstrip()

    for row in shown.rows:
        span = shown.span_of(row.op_index)
        at_peak = _PEAK if shown.peak_op in span else ""
        if row.op_index in titles:
            yield line(titles[row.op_index], row.live_bytes, _bar(row, scale)) + at_peak
            made = {index for op in span for index in shown.rows[op].outputs}
            for given in row.buffers:
                if given.ring_rows and not made & set(given.tensors):
                    yield line(f"  {'':{index_width}} image", given.bytes, given.what)
        if span not in shown.spans:
            yield line(names[row.op_index], row.live_bytes, _bar(row, scale)) + at_peak
        else:
            buffer = next(one for one in row.buffers if set(row.outputs) & set(one.tensors))
            if buffer.tensors[0] in row.outputs:
                yield line(names[row.op_index], buffer.bytes, buffer.what)
            else:
                words = f"tensor {row.outputs[0]}, in the place of tensor {buffer.tensors[0]}"
                yield line(names[row.op_index], None, words)


def _bar(row: TimelineRow, scale: float) -> str:
    full = round(row.live_bytes * scale)
    scratch = min(full, round(row.scratch_bytes * scale))
    rings = min(full - scratch, round(row.ring_bytes * scale))
    return "█" * (full - scratch - rings) + "▓" * rings + "▒" * scratch


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
    for title, note in shown.notes:
        yield f"{title:8} {note}"


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

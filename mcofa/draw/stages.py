"""How much memory each stage of a space takes: the paper's picture, as text and as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.cost.stages import MemoryProfile, StageMemory
from mcofa.draw.svg import INK, QUIET, Picture

_BAR_EIGHTHS = " ▏▎▍▌▋▊▉"
_PANEL_PX, _GAP_PX, _MARGIN_PX = 268, 28, 20
_PLOT_PX, _TITLE_PX, _ROW_TITLE_PX, _LABELS_PX = 150, 44, 30, 26
_LEGEND_PX = 30
_STAGE, _STAGE_TAIL, _END, _END_TAIL = "#2b6cb0", "#90bfe8", "#7b8794", "#cbd2d9"


def text_bars(profile: MemoryProfile, columns: int = 40) -> tuple[str, ...]:
    """Return one bar a row, drawn with block characters; the fullest row takes ``columns``."""
    fullest = max(row.total for row in profile.rows)
    bars = []
    for row in profile.rows:
        whole, eighths = divmod(round(8 * columns * row.total / fullest), 8)
        bars.append(("█" * whole + _BAR_EIGHTHS[eighths]).rstrip())
    return tuple(bars)


def stages_svg(profiles: Sequence[MemoryProfile]) -> str:
    """Return one SVG document that compares spaces.

    Spaces of one measure share a row and a scale. Elastic stages are blue, stem and head grey; the
    tail's share is the light part.
    """
    rows: dict[str, list[MemoryProfile]] = {}
    for profile in profiles:
        rows.setdefault(profile.measure, []).append(profile)
    columns = max(len(row) for row in rows.values())
    row_px = _ROW_TITLE_PX + _TITLE_PX + _PLOT_PX + _LABELS_PX
    width = 2 * _MARGIN_PX + columns * _PANEL_PX + (columns - 1) * _GAP_PX
    height = 2 * _MARGIN_PX + len(rows) * (row_px + _GAP_PX) + _LEGEND_PX - _GAP_PX
    picture = Picture(width, height, "Memory of each stage of the largest subnet")
    y = float(_MARGIN_PX)
    for measure, row in rows.items():
        picture.text(_MARGIN_PX, y + 16, measure, 14, font_weight="bold")
        most = max(bar.total for profile in row for bar in profile.rows)
        for number, profile in enumerate(row):
            x = _MARGIN_PX + number * (_PANEL_PX + _GAP_PX)
            _panel(picture, profile, x, y + _ROW_TITLE_PX, most)
        y += row_px + _GAP_PX
    _legend(
        picture,
        y - _GAP_PX + _LEGEND_PX - 6,
        any(row.persistent for profile in profiles for row in profile.rows),
    )
    return str(picture)


def _panel(picture: Picture, profile: MemoryProfile, x: float, y: float, most: int) -> None:
    base = y + _TITLE_PX + _PLOT_PX
    picture.text(x, y + 14, profile.space, 13, font_weight="bold")
    picture.text(x, y + 30, f"fullest stage {profile.levelness:.2f} times the emptiest", fill=QUIET)
    step = _PANEL_PX / len(profile.rows)
    for number, row in enumerate(profile.rows):
        left, bar_px = x + number * step + step * 0.12, step * 0.76
        peak_px, tail_px = (_PLOT_PX - 14) * row.peak / most, (_PLOT_PX - 14) * row.persistent / most
        dark, light = (_STAGE, _STAGE_TAIL) if row.is_stage else (_END, _END_TAIL)
        picture.rect(left, base - peak_px, bar_px, peak_px, tooltip=_tooltip(profile, row), fill=dark)
        if row.persistent:
            picture.rect(left, base - peak_px - tail_px, bar_px, tail_px, fill=light)
        middle, top = left + bar_px / 2, base - peak_px - tail_px
        picture.text(middle, top - 4, _short(row.total), 10, text_anchor="middle")
        picture.text(middle, base + 15, row.name.removeprefix("stage "), text_anchor="middle", fill=QUIET)
    picture.line(x, base, x + _PANEL_PX, base, stroke=INK)


def _tooltip(profile: MemoryProfile, row: StageMemory) -> str:
    words = f"{profile.space}, {row.name}: {row.total:,} {profile.unit}"
    return f"{words} (head {row.peak:,}, tail {row.persistent:,})" if row.persistent else words


def _legend(picture: Picture, y: float, with_tail: bool) -> None:
    entries = [(_STAGE, "elastic stage"), (_END, "stem and first block; layers after the stages")]
    if with_tail:
        entries.append((_STAGE_TAIL, "light: tail, kept all the time"))
    x = float(_MARGIN_PX)
    for colour, words in entries:
        picture.rect(x, y - 9, 11, 11, fill=colour)
        picture.text(x + 17, y, words)
        x += 17 + 6.2 * len(words) + 22


def _short(amount: int) -> str:
    """An amount in thousands, with two or three digits that count."""
    thousands = amount / 1000
    return f"{thousands:.0f}k" if thousands >= 100 else f"{thousands:.1f}k"

"""What is said where a board holds no space at all: what it lacks, and the options that help."""

from __future__ import annotations

from dataclasses import replace

from mcofa.design.candidates import Candidates, network_bytes
from mcofa.design.conditions import Allowance, allowances
from mcofa.design.skeleton import WIDTH_STEP
from mcofa.engines.engine import ENGINES, load_engine
from mcofa.errors import BudgetError
from mcofa.space.resolution import resolution_text, size_of


def not_enough(candidates: Candidates) -> BudgetError:
    """Return the error of a board that is too small, or too slow, for the narrowest space."""
    last = allowances(candidates.conditions.engine)[-1]
    in_memory = candidates.memory_permitted(candidates.narrowest, last) and candidates.flash_permitted(
        candidates.narrowest, last
    )
    shortage = _time_that_lacks(candidates, last) if in_memory else _memory_that_lacks(candidates, last)
    ways = [*_other_engines(candidates), "a smaller --resolution"]
    if not candidates.latency_permitted(candidates.narrowest, last):
        ways.append("a larger --max-latency-ms")
    board = f"a {'faster' if in_memory else 'larger'} board (`mcofa boards`)"
    return BudgetError(shortage, f"give {', '.join(ways)} or {board}")


def _memory_that_lacks(candidates: Candidates, last: Allowance) -> str:
    board = candidates.conditions.board
    smallest, largest = candidates.smallest(candidates.narrowest), candidates.largest(candidates.narrowest)
    return (
        f"{board.name} is too small for {_images_and_classes(candidates)}: at width {WIDTH_STEP} the "
        f"smallest subnet needs an arena of {smallest.arena_bytes:,} B{_of_it_the_image(candidates)} and a "
        f"{candidates.conditions.network} of {network_bytes(smallest):,} B, the largest "
        f"{largest.arena_bytes:,} B and {network_bytes(largest):,} B; the board has "
        f"{board.arena_budget_bytes:,} B and {candidates.network_budget_bytes:,} B, of which the smallest "
        f"may take {last.smallest:.0%}, the largest {last.largest_arena:.0%} and {last.largest_flash:.0%}"
    )


def _time_that_lacks(candidates: Candidates, last: Allowance) -> str:
    smallest, largest = candidates.smallest(candidates.narrowest), candidates.largest(candidates.narrowest)
    return (
        f"{candidates.conditions.board.name} is too slow for {_images_and_classes(candidates)} in "
        f"{candidates.conditions.max_latency_ms:,g} ms: at width {WIDTH_STEP} the smallest subnet takes "
        f"{smallest.latency_ms:,.1f} ms, the largest {largest.latency_ms:,.1f} ms (estimates); of the limit "
        f"the smallest may take {last.smallest:.0%}, the largest {last.largest_arena:.0%}"
    )


def _images_and_classes(candidates: Candidates) -> str:
    skeleton = candidates.skeleton
    return f"{resolution_text(skeleton.resolutions[-1])} pixels and {skeleton.classes} classes"


def _of_it_the_image(candidates: Candidates) -> str:
    """Names the image where it is too large by itself, as no smaller network would help then."""
    conditions, skeleton = candidates.conditions, candidates.skeleton
    rows, columns = size_of(skeleton.resolutions[0])
    image_bytes = rows * columns * skeleton.input_channels
    allowed_bytes = allowances(conditions.engine)[-1].smallest * conditions.board.arena_budget_bytes
    if conditions.streams_input or image_bytes <= allowed_bytes:
        return ""
    return f" ({image_bytes:,} B of it the image)"


def _other_engines(candidates: Candidates) -> list[str]:
    """The first options with which the narrowest space would do, if there are any."""
    for engine in ENGINES:
        for by_rows in (False, True) if load_engine(engine).can_stream_input else (False,):
            other = replace(candidates.conditions, engine=engine, streams_input=by_rows)
            if _is_possible(Candidates(other, candidates.skeleton)):
                return [f"--engine {engine}" + " --stream-input" * by_rows]
    return []


def _is_possible(candidates: Candidates) -> bool:
    last = allowances(candidates.conditions.engine)[-1]
    narrowest = candidates.narrowest
    return candidates.permitted(narrowest, last) and candidates.flash_permitted(narrowest, last)

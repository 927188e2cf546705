"""The arena of one network with every engine, and with the image in every way in which it may arrive."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcofa.boards import Board
from mcofa.engines.engine import ENGINES, load_engine
from mcofa.errors import UnstreamableInputError, UnsupportedOpError
from mcofa.graph import Graph


@dataclass(frozen=True, slots=True)
class EngineArena:
    """An arena to reserve in bytes; None, with the reason, where the engine cannot run the network so."""

    engine: str
    streams_input: bool
    arena_bytes: int | None
    why_not: str = ""

    @property
    def title(self) -> str:
        """The engine, and how the image arrives if it is not in the arena."""
        return f"engine {self.engine}{', image row by row' if self.streams_input else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return every field by name."""
        return dataclasses.asdict(self)


def engine_arenas(
    graph: Graph, board: Board, engines: Iterable[str] = tuple(ENGINES)
) -> tuple[EngineArena, ...]:
    """Return the arena of ``graph`` on ``board``, engine by engine."""
    return tuple(
        _arena(graph, board, name, streams_input)
        for name in engines
        for streams_input in ((False, True) if load_engine(name).can_stream_input else (False,))
    )


def _arena(graph: Graph, board: Board, engine: str, streams_input: bool) -> EngineArena:
    try:
        # The size of the file does not change the arena.
        needs = load_engine(engine).needs(graph, board, 0, streams_input=streams_input)
    except (UnsupportedOpError, UnstreamableInputError) as error:
        return EngineArena(engine, streams_input, None, error.problem)
    return EngineArena(engine, streams_input, needs.arena_bytes)

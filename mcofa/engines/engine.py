"""What the search asks of an engine, and the engines by name.

An engine is a folder beside this module whose ``engine.py`` holds an object ``ENGINE`` that is an
``Engine``, and one line of ``ENGINES``. What it adds to firmware is in ``export/engines``.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mcofa.errors import UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mcofa.boards import Board
    from mcofa.engines.latency import LatencyEstimate
    from mcofa.graph import Graph
    from mcofa.memory.timeline import Timeline
    from mcofa.ops.target import Target

    Integers = npt.NDArray[np.int64]

ENGINES: Mapping[str, str] = {
    "tflm": "TensorFlow Lite Micro",
    "aot": "generated C",
}
"""The engines by name, each with a title."""

DEFAULT_ENGINE = "tflm"


@dataclass(frozen=True, slots=True)
class Flash:
    """The flash of a whole program without test images, by parts, in bytes.

    ``data_bytes`` is what the network itself takes (a model file, or constants and calls),
    ``code_bytes`` the code that runs its ops, ``firmware_bytes`` everything around them. ``uncounted`` are
    the ops whose code is not in it, as it was not measured.
    """

    data_bytes: int
    code_bytes: int
    firmware_bytes: int
    uncounted: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return self.data_bytes + self.code_bytes + self.firmware_bytes


@dataclass(frozen=True, slots=True)
class Needs:
    """What one network needs with an engine on a board; ``arena_bytes`` is what the firmware must reserve."""

    arena_bytes: int
    flash: Flash


@dataclass(frozen=True, slots=True)
class JointArena:
    """One arena in which several models run in turn, in bytes.

    ``shared_bytes`` is overwritten by each run, inputs and outputs too; ``own_bytes`` is what each model
    keeps for itself.
    """

    arena_bytes: int
    shared_bytes: int
    own_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockMemory:
    """What one block, or a group of blocks, takes of the arena and of flash.

    ``head_bytes``: activations and scratch at its fullest; ``tail_bytes``: what the engine keeps of it
    all the time; ``flash_bytes``: its part of the network's own data, without what blocks share.
    """

    head_bytes: int
    tail_bytes: int
    flash_bytes: int

    @property
    def arena_bytes(self) -> int:
        """Head and tail together."""
        return self.head_bytes + self.tail_bytes


@dataclass(frozen=True, slots=True)
class BlockShare:
    """What one block of consecutive ops contributes to the networks that have it.

    ``amounts`` are the engine's own and add up over the blocks of a network; ``code`` holds parts of
    code with their bytes, which ops share; ``instructions`` are estimated. A plan of any network with the
    block takes ``least_bytes`` or more; ``planned`` is what the engine's ``HeadPlanner`` must know of it.
    """

    amounts: Sequence[int]
    code: Mapping[Hashable, int]
    instructions: float
    least_bytes: int
    planned: Any


class HeadPlanner(Protocol):
    """Plans activations and scratch of many networks at once."""

    def head_bytes(self, blocks: npt.NDArray[np.intp]) -> Integers:
        """Return the bytes that each network's plan takes, (archs,).

        ``blocks`` are (archs, blocks of an arch) in network order; block 0 is none.
        """


class PopulationRules(Protocol):
    """An engine's accounting for many networks of a space at once, each a sequence of blocks.

    The networks of a space have the same first op, input and output.
    """

    def shares(self, graph: Graph, blocks: Sequence[range]) -> Sequence[BlockShare]:
        """Return what the blocks of ``graph``, each a range of its ops, contribute."""

    def planner(self, planned: Sequence[Any]) -> HeadPlanner:
        """Return the planner of networks of the blocks 1, 2, …, of which this is ``planned``."""

    def arena_bytes(self, head_bytes: Integers, amounts: Integers, sums: Integers) -> Integers:
        """Return the arenas around planned heads, (archs,).

        ``amounts`` are (archs, blocks, amounts), ``sums`` their sums over the blocks.
        """

    def flash_bytes(self, sums: Integers, model_bytes: Integers, code_bytes: Integers) -> Integers:
        """Return the flash of whole programs, (archs,), whose ops link ``code_bytes``."""


class Engine(Protocol):
    """What runs a network on the device."""

    @property
    def name(self) -> str:
        """The name in ``ENGINES``."""

    @property
    def keeps_model_file(self) -> bool:
        """Whether the .tflite file is on the device, so that a limit on its size means something."""

    @property
    def counted(self) -> str:
        """What its arena and its flash are, in two sentences for people."""

    @property
    def has_kernel_sets(self) -> bool:
        """Whether there is a choice of kernels, so that a board's matters."""

    @property
    def has_versions(self) -> bool:
        """Whether what runs the network is TensorFlow Lite Micro, so that its version matters."""

    @property
    def can_stream_input(self) -> bool:
        """Whether the image may arrive row by row, so that it is never in the arena as a whole."""

    def needs(self, graph: Graph, board: Board, model_bytes: int, *, streams_input: bool = False) -> Needs:
        """Return what ``graph``, whose .tflite file has ``model_bytes``, needs on ``board``.

        Raises:
            UnsupportedOpError: names the ops of the graph that the engine cannot run.
            UnstreamableInputError: the engine cannot take the input row by row.
        """

    def latency(self, graph: Graph, board: Board) -> LatencyEstimate:
        """Return an estimate of how long one inference takes on ``board``."""

    def arena_figures(self, graph: Graph, on: Target, *, streams_input: bool = False) -> dict[str, Any]:
        """Return what the arena of ``graph`` on ``on`` is made of, for JSON.

        Raises:
            UnsupportedOpError: names the ops of the graph that the engine cannot run.
            UnstreamableInputError: the engine cannot take the input row by row.
        """

    def joint_arena(self, graphs: Sequence[Graph], on: Target, *, streams_input: bool = False) -> JointArena:
        """Return the arena on ``on`` in which all ``graphs`` run in turn.

        Raises:
            UnsupportedOpError: names the ops of a graph that the engine cannot run.
            UnstreamableInputError: the engine cannot take the inputs row by row.
        """

    def timeline(self, graph: Graph, on: Target, *, streams_input: bool = False) -> Timeline:
        """Return where each tensor of ``graph`` lies in the arena on ``on``, op by op.

        Raises:
            UnsupportedOpError: names the ops of the graph that the engine cannot run.
            UnstreamableInputError: the engine cannot take the input row by row.
        """

    def block_memories(
        self, graph: Graph, blocks: Sequence[range], on: Target, *, streams_input: bool = False
    ) -> list[BlockMemory]:
        """Return what each block of ``graph``, a range of its ops, takes on ``on``.

        Raises:
            UnstreamableInputError: the engine cannot take the input row by row.
        """

    def population(self, graph: Graph, board: Board, *, streams_input: bool = False) -> PopulationRules:
        """Return the accounting on ``board`` for a space that ``graph`` is a network of.

        Raises:
            UnstreamableInputError: the engine cannot take the input row by row.
        """


def load_engine(name: str) -> Engine:
    """Return the engine ``name``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, tuple(ENGINES), "mcofa search --help")
    found: Engine = importlib.import_module(f"mcofa.engines.{name}.engine").ENGINE
    return found

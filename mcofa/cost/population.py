"""Costs of whole populations: numpy look-ups instead of one graph an arch.

In a search space every block contributes to the arena and the model file on its
own, whatever its neighbours are, so tables with one row per (resolution, stage,
block, kernel size, expand ratio), filled from a few graphs, hold everything. The
results equal ``mcofa.cost.arch_cost.cost``. There are two arenas: a lower bound, which is a
maximum of one number a block, and the exact one, which makes the engine's plan and takes ten
times as long.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.cost.arch_cost import op_macs
from mcofa.engines.engine import DEFAULT_ENGINE, BlockShare, load_engine
from mcofa.engines.tflm.model_file import file_bytes, op_bytes
from mcofa.graph import Graph
from mcofa.lowering import lower_with_blocks
from mcofa.space.search_space import Genomes, SearchSpace
from mcofa.space.topology import HEAD, STEM, Part

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

_CHUNK_ARCHS = 1_024
"""Archs evaluated at once: their arrays stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class PopulationCost:
    """Costs of many archs, each field an array (archs,).

    ``arena_bytes`` is a lower bound, ``latency_ms`` an estimate.
    """

    arena_bytes: Integers
    model_bytes: Integers
    flash_bytes: Integers
    macs: Integers
    latency_ms: npt.NDArray[np.float64]


class _Block(NamedTuple):
    """What blocks contribute with any engine: numbers for one block, arrays for many.

    ``least_bytes``: what a plan of any network with the block takes at least.
    """

    least_bytes: Any
    file_operator_bytes: Any
    file_tensor_bytes: Any
    file_buffer_bytes: Any
    macs: Any
    instructions: Any


_OWN = len(_Block._fields)
"""Where in a row of the table the engine's own amounts start."""


class _SharedBytes:
    """Sizes of things that blocks share and that count once an arch, however many blocks use them."""

    def __init__(self, uses: Sequence[Mapping[Hashable, int]]) -> None:
        """Take what each row uses: things and their bytes."""
        everything = {key: size for used in uses for key, size in used.items()}
        self._bytes = np.array(list(everything.values()), np.float64)
        table = np.array([[key in used for key in everything] for used in uses], np.bool_)
        self._uses = np.packbits(table, axis=1)

    def add_common(self, rows: Rows, axis: int) -> None:
        """Append rows that use what all of ``rows`` along ``axis`` use."""
        common = np.bitwise_and.reduce(self._uses[rows], axis)
        added = common.reshape(math.prod(common.shape[:-1]), common.shape[-1])
        self._uses = np.concatenate([self._uses, added])

    def sums(self, rows: Rows) -> Integers:
        """Return the bytes of everything that each arch of ``rows``, (archs, blocks), uses."""
        used = np.bitwise_or.reduce(self._uses[rows], 1)
        sums = np.unpackbits(used, axis=1, count=len(self._bytes)) @ self._bytes
        return sums.astype(np.int64)


class PopulationCosts:
    """Evaluates populations of one search space on one board (a 32-bit Arm target) with one engine."""

    def __init__(
        self, space: SearchSpace, board: Board, engine: str = DEFAULT_ENGINE, streams_input: bool = False
    ) -> None:
        self._space = space
        self._board = board
        self._elastic_rows = np.zeros(
            (
                *(len(space.resolutions), len(space.stages), space.max_depth),
                *(len(space.kernel_sizes), len(space.expand_ratios)),
            ),
            np.intp,
        )
        self._fixed_rows = {key: np.zeros(len(space.resolutions), np.intp) for key in (STEM, HEAD)}
        any_graph, _ = lower_with_blocks(space.uncoupled(), space.smallest())
        self._rules = load_engine(engine).population(any_graph, board, streams_input=streams_input)
        # Row 0 stands for the blocks that an arch does not have.
        contributions: list[Sequence[float]] = [()]
        planned = []
        in_file: list[Mapping[Hashable, int]] = [{}]
        in_code: list[Mapping[Hashable, int]] = [{}]
        for (r, resolution), (k, kernel), (e, expand) in itertools.product(
            enumerate(space.resolutions), enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
        ):
            arch = space.uniform(resolution, space.max_depth, kernel, expand)
            graph, blocks = lower_with_blocks(space.uncoupled(), arch)
            own = self._rules.shares(graph, list(blocks.values()))
            for key, contribution, shared, block in zip(
                blocks, *_contributions(graph, blocks, own), own, strict=True
            ):
                if key in self._fixed_rows:
                    self._fixed_rows[key][r] = len(contributions)
                else:
                    self._elastic_rows[r, *key, k, e] = len(contributions)
                contributions.append((*contribution, *block.amounts))
                planned.append(block.planned)
                in_file.append(shared)
                in_code.append(block.code)
        contributions[0] = [0] * len(contributions[1])
        self._contributions = np.array(contributions, np.int64)
        self._planner = self._rules.planner(planned)
        self._shared_in_file, self._shared_in_code = _SharedBytes(in_file), _SharedBytes(in_code)
        self._add_floors()

    def evaluate(self, genomes: Genomes) -> PopulationCost:
        """Return the costs of ``genomes``, (archs, genes), with a lower bound of the arena.

        A kernel or expand gene of −1 stands for any option: no arch that the genome stands for costs less.
        """
        chunks = [self._evaluate(self._rows(chunk)) for chunk in _chunks(genomes)]
        fields = (field.name for field in dataclasses.fields(PopulationCost))
        return PopulationCost(**{name: np.concatenate([getattr(c, name) for c in chunks]) for name in fields})

    def exact_arena_bytes(self, genomes: Genomes) -> Integers:
        """Return the minimum arena of ``genomes``, (archs, genes), in bytes, (archs,)."""
        head_bytes = self._planner.head_bytes(np.concatenate([self._rows(some) for some in _chunks(genomes)]))
        return np.concatenate(
            [
                self._exact_arena_bytes(self._rows(some), heads)
                for some, heads in zip(_chunks(genomes), _chunks(head_bytes), strict=True)
            ]
        )

    def _add_floors(self) -> None:
        """Add blocks of gene −1: of every number the least that the options contribute."""
        for axis in (3, 4):
            options = self._elastic_rows
            least = self._contributions[options].min(axis)
            self._shared_in_file.add_common(options, axis)
            self._shared_in_code.add_common(options, axis)
            rows = len(self._contributions) + np.arange(options.size // options.shape[axis])
            self._elastic_rows = np.concatenate(
                [options, np.expand_dims(rows.reshape(least.shape[:-1]), axis)], axis
            )
            self._contributions = np.concatenate([self._contributions, least.reshape(len(rows), -1)])

    def _rows(self, genomes: Genomes) -> Rows:
        """Return the rows of the tables, (archs, blocks): stem, stage blocks (0 where inactive), head."""
        space = self._space
        stage, block = np.indices((len(space.stages), space.max_depth))
        resolution, kernels, expands = genomes[:, 0], space.kernel_genes(genomes), space.expand_genes(genomes)
        elastic = self._elastic_rows[resolution[:, None, None], stage, block, kernels, expands]
        return np.concatenate(
            [
                self._fixed_rows[STEM][resolution, None],
                (elastic * space.active(genomes)).reshape(len(genomes), space.blocks),
                self._fixed_rows[HEAD][resolution, None],
            ],
            axis=1,
        )

    def _evaluate(self, rows: Rows) -> PopulationCost:
        amounts = self._contributions[rows]
        total = amounts.sum(1)
        blocks, sums = _Block(*np.moveaxis(amounts[..., :_OWN], -1, 0)), _Block(*total[:, :_OWN].T)
        model_bytes = file_bytes(
            sums.file_operator_bytes + self._shared_in_file.sums(rows),
            sums.file_tensor_bytes,
            sums.file_buffer_bytes,
        )
        return PopulationCost(
            arena_bytes=self._arena_bytes(blocks.least_bytes.max(1), amounts, total),
            model_bytes=model_bytes,
            flash_bytes=self._rules.flash_bytes(
                total[:, _OWN:], model_bytes, self._shared_in_code.sums(rows)
            ),
            macs=sums.macs,
            latency_ms=sums.instructions / self._board.clock_hz * 1000,
        )

    def _exact_arena_bytes(self, rows: Rows, head_bytes: Integers) -> Integers:
        amounts = self._contributions[rows]
        return self._arena_bytes(head_bytes, amounts, amounts.sum(1))

    def _arena_bytes(self, head_bytes: Integers, amounts: Integers, total: Integers) -> Integers:
        return self._rules.arena_bytes(head_bytes, amounts[..., _OWN:], total[:, _OWN:])


def _chunks(archs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Split what is known of ``archs``; of none, one empty chunk."""
    return [archs[i : i + _CHUNK_ARCHS] for i in range(0, max(len(archs), 1), _CHUNK_ARCHS)]


def _contributions(
    graph: Graph, blocks: dict[Part, range], own: Sequence[BlockShare]
) -> tuple[list[_Block], list[dict[Hashable, int]]]:
    """What each block contributes, and what its ops share with others in the model file."""
    file_ops = op_bytes(graph)
    contributed = [
        _Block(
            least_bytes=block.least_bytes,
            file_operator_bytes=sum(file_ops[i].operator_bytes for i in span),
            file_tensor_bytes=sum(file_ops[i].tensor_bytes for i in span),
            file_buffer_bytes=sum(file_ops[i].buffer_bytes for i in span),
            macs=sum(op_macs(graph, graph.ops[i]) for i in span),
            instructions=block.instructions,
        )
        for span, block in zip(blocks.values(), own, strict=True)
    ]
    shared = [
        {key: size for i in span for key, size in file_ops[i].shared.items()} for span in blocks.values()
    ]
    return contributed, shared

"""Costs of whole populations: numpy look-ups instead of one graph an arch.

In a search space every block contributes to the arena and the model file on its
own, whatever its neighbours are, so tables with one row per (resolution, stage,
block, kernel size, expand ratio), filled from a few graphs, hold everything. The
results equal ``mcofa.cost.arch_cost.cost``. There are two arenas: a lower bound, which takes
for the head the most bytes that are live at one step and is met whenever TFLM's plan
is optimal, and the exact one, which makes TFLM's plan and takes ten times as long.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.cost.arch_cost import EngineName, board_target, op_macs
from mcofa.engines.aot.arena import storages
from mcofa.engines.aot.flash import firmware_bytes, kernel_parts, op_flash_bytes
from mcofa.engines.tflm import (
    OpMemory,
    Target,
    account,
    op_memory,
    planned_buffers,
    planned_tensors,
    requests_per_op,
    structs,
)
from mcofa.engines.tflm.latency import op_instructions
from mcofa.engines.tflm.model_file import OpBytes, file_bytes, op_bytes
from mcofa.engines.tflm.runtime_code import always_linked_bytes, code_parts
from mcofa.graph import Graph
from mcofa.lowering import lower_with_blocks
from mcofa.memory.plan import Buffer, aligned
from mcofa.memory.population import BlockBuffers, PopulationPlanner, block_buffers
from mcofa.space.search_space import Genomes, SearchSpace
from mcofa.space.topology import HEAD, STEM, Part

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

_ONE_SCALE_BYTES = 8
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
    """What blocks contribute: numbers for one block, arrays for many.

    ``live_bytes``: planned bytes live at the fullest step; ``allocated_bytes``: eval
    tensors, nodes and builtin data; ``preparing_bytes``: the most that the block's own
    kernel arrays, scratch requests and temporary tensors take while one of its ops is
    prepared; ``prepared_bytes``: the kernel arrays and scratch requests that it leaves.
    """

    live_bytes: Any
    preparing_bytes: Any
    prepared_bytes: Any
    allocated_bytes: Any
    op_data_bytes: Any
    kernel_array_bytes: Any
    scratch_buffers: Any
    tensors: Any
    planned_buffers: Any
    file_operator_bytes: Any
    file_tensor_bytes: Any
    file_buffer_bytes: Any
    aot_flash_bytes: Any
    macs: Any
    instructions: Any


class _SharedBytes:
    """Sizes of things that blocks share and that count once an arch, however many blocks use them."""

    def __init__(self, uses: Sequence[dict[Hashable, int]]) -> None:
        """Take what each row uses: things and their bytes."""
        everything = {key: size for used in uses for key, size in used.items()}
        self._bytes = np.array(list(everything.values()), np.float64)
        self._uses = np.packbits([[key in used for key in everything] for used in uses], axis=1)

    def add_common(self, rows: Rows, axis: int) -> None:
        """Append rows that use what all of ``rows`` along ``axis`` use."""
        common = np.bitwise_and.reduce(self._uses[rows], axis)
        self._uses = np.concatenate([self._uses, common.reshape(-1, self._uses.shape[1])])

    def sums(self, rows: Rows) -> Integers:
        """Return the bytes of everything that each arch of ``rows``, (archs, blocks), uses."""
        used = np.bitwise_or.reduce(self._uses[rows], 1)
        sums = np.unpackbits(used, axis=1, count=len(self._bytes)) @ self._bytes
        return sums.astype(np.int64)


class PopulationCosts:
    """Evaluates populations of one search space on one board (a 32-bit Arm target)."""

    def __init__(self, space: SearchSpace, board: Board, engine: EngineName = "tflm") -> None:
        self._space = space
        self._board = board
        self._engine = engine
        self._target = board_target(board)
        self._elastic_rows = np.zeros(
            (
                *(len(space.resolutions), len(space.stages), space.max_depth),
                *(len(space.kernel_sizes), len(space.expand_ratios)),
            ),
            np.intp,
        )
        self._fixed_rows = {key: np.zeros(len(space.resolutions), np.intp) for key in (STEM, HEAD)}
        # Row 0 stands for the blocks that an arch does not have.
        contributions = [_Block(*[0] * len(_Block._fields))]
        buffers = [block_buffers([], [], None)]
        in_file: list[dict[Hashable, int]] = [{}]
        in_code: list[dict[Hashable, int]] = [{}]
        for (r, resolution), (k, kernel), (e, expand) in itertools.product(
            enumerate(space.resolutions), enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
        ):
            arch = space.uniform(resolution, space.max_depth, kernel, expand)
            graph, blocks = lower_with_blocks(space.uncoupled(), arch)
            ops = [op_memory(graph, op, self._target) for op in graph.ops]
            tensors, scratch = self._planned(graph, ops)
            buffers += _block_buffers(tensors, scratch, blocks)
            contributed = _contributions(graph, blocks, ops, [*tensors, *scratch], self._target)
            for key, (contribution, shared) in contributed.items():
                if key in self._fixed_rows:
                    self._fixed_rows[key][r] = len(contributions)
                else:
                    self._elastic_rows[r, *key, k, e] = len(contributions)
                contributions.append(contribution)
                in_file.append(shared)
                in_code.append(self._code_parts(graph, blocks[key]))
        self._contributions = np.array(contributions, np.int64)
        self._planner = PopulationPlanner(buffers)
        self._shared_in_file, self._shared_in_code = _SharedBytes(in_file), _SharedBytes(in_code)
        self._always_bytes = (
            firmware_bytes(graph, self._target)
            if engine == "aot"
            else always_linked_bytes(board.core, board.kernels) + board.reserved.firmware_flash_bytes
        )
        self._add_floors()
        # Where the additive parts start: an allocation's end is rounded up to its alignment, and only
        # the first op's OpData can start at an end that is not a multiple of 16.
        self._first_op_data_bytes = ops[0].op_data_bytes
        self._fixed_bytes = account(graph, self._target).breakdown["fixed"]

    def evaluate(self, genomes: Genomes) -> PopulationCost:
        """Return the costs of ``genomes``, (archs, genes), with a lower bound of the arena.

        A kernel or expand gene of −1 stands for any option: no arch that the genome stands for costs less.
        """
        chunks = [self._evaluate(self._rows(chunk)) for chunk in _chunks(genomes)]
        fields = (field.name for field in dataclasses.fields(PopulationCost))
        return PopulationCost(**{name: np.concatenate([getattr(c, name) for c in chunks]) for name in fields})

    def exact_arena_bytes(self, genomes: Genomes) -> Integers:
        """Return the minimum arena of ``genomes``, (archs, genes), in bytes, (archs,)."""
        return np.concatenate([self._exact_arena_bytes(self._rows(chunk)) for chunk in _chunks(genomes)])

    def _planned(self, graph: Graph, ops: list[OpMemory]) -> tuple[list[Buffer], list[Buffer]]:
        """The engine's planned buffers: those of tensors, then scratch."""
        if self._engine == "aot":
            planned = storages(graph, self._target)
            return [s.buffer for s in planned if s.tensors], [s.buffer for s in planned if not s.tensors]
        buffers = planned_buffers(graph, ops)
        count = len(planned_tensors(graph))
        return list(buffers[:count]), list(buffers[count:])

    def _code_parts(self, graph: Graph, span: range) -> dict[Hashable, int]:
        """What the ops in ``span`` link."""
        board = self._board
        return {
            part: size
            for i in span
            for part, size in (
                kernel_parts(graph, graph.ops[i], self._target)
                if self._engine == "aot"
                else code_parts(graph.ops[i].kind, board.core, board.kernels)
            ).items()
        }

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
        blocks = self._contributions[rows]
        sums = _Block(*blocks.sum(1).T)
        model_bytes = file_bytes(
            sums.file_operator_bytes + self._shared_in_file.sums(rows),
            sums.file_tensor_bytes,
            sums.file_buffer_bytes,
        )
        return PopulationCost(
            arena_bytes=self._arena_bytes(
                blocks, sums, _Block(*np.moveaxis(blocks, -1, 0)).live_bytes.max(1)
            ),
            model_bytes=model_bytes,
            flash_bytes=(sums.aot_flash_bytes if self._engine == "aot" else model_bytes)
            + self._shared_in_code.sums(rows)
            + self._always_bytes,
            macs=sums.macs,
            latency_ms=sums.instructions / self._board.clock_hz * 1000,
        )

    def _exact_arena_bytes(self, rows: Rows) -> Integers:
        blocks = self._contributions[rows]
        return self._arena_bytes(blocks, _Block(*blocks.sum(1).T), self._planner.head_bytes(rows))

    def _arena_bytes(self, blocks: Integers, sums: _Block, head_bytes: Integers) -> Integers:
        """The minimum arena around a head: the largest of what its three causes need; aot has only a head."""
        if self._engine == "aot":
            return head_bytes
        sizes = structs(self._target.abi)
        scratch = sums.scratch_buffers
        prepared_from = (
            _round_up(self._fixed_bytes + sums.allocated_bytes + self._first_op_data_bytes, 16)
            + sums.op_data_bytes
            - aligned(self._first_op_data_bytes)
        )
        planned_from = prepared_from + sums.kernel_array_bytes + sizes.scratch_handle * scratch
        resident = head_bytes + self._with_ends(planned_from)
        planning = (
            _round_up(planned_from, 16)
            + _round_up(
                sizes.scratch_request * (scratch + requests_per_op())
                + sizes.subgraph_offset
                + sizes.allocation_info * (sums.tensors + scratch),
                16,
            )
            + sizes.planner_buffer * sums.planned_buffers
        )
        by_block = _Block(*np.moveaxis(blocks, -1, 0))
        before = np.cumsum(by_block.prepared_bytes, axis=1) - by_block.prepared_bytes
        preparing = (
            prepared_from
            + sizes.scratch_request * requests_per_op()
            + (before + by_block.preparing_bytes).max(1)
        )
        return _round_up(np.maximum(np.maximum(resident, planning), preparing), 16)

    def _with_ends(self, tail_bytes: Integers) -> Integers:
        """Add the input and the output tensor, each behind a pointer, as TFLM allocates them."""
        sizes = structs(self._target.abi)
        quantization = sizes.affine_quantization + _ONE_SCALE_BYTES
        for _ in ("input", "output"):
            tail_bytes = _round_up(tail_bytes + sizes.pointer, 16) + sizes.tensor + quantization
        return tail_bytes


def _chunks(genomes: Genomes) -> list[Genomes]:
    """Split ``genomes``; of none, one empty chunk."""
    return [genomes[i : i + _CHUNK_ARCHS] for i in range(0, max(len(genomes), 1), _CHUNK_ARCHS)]


def _block_buffers(
    tensors: Sequence[Buffer], scratch: Sequence[Buffer], blocks: dict[Part, range]
) -> list[BlockBuffers]:
    """The planned buffers of each block, in the order of ``blocks``, which is that of the network."""
    found = []
    block_input = None
    for span in blocks.values():
        # Op i is step i + 1, and the graph's input, there from step 0, belongs to the stem.
        steps = range(span.start + (span.start > 0), span.stop + 1)
        own_tensors = [tensor for tensor in tensors if tensor.first_step in steps]
        own_scratch = [buffer for buffer in scratch if buffer.first_step in steps]
        found.append(block_buffers(own_tensors, own_scratch, block_input))
        block_input = own_tensors[-1]
    return found


def _contributions(
    graph: Graph,
    blocks: dict[Part, range],
    ops: list[OpMemory],
    planned: Sequence[Buffer],
    on: Target,
) -> dict[Part, tuple[_Block, dict[Hashable, int]]]:
    """For each block, what it contributes, and what its ops share with others in the model file."""
    file_ops = op_bytes(graph)
    live = np.zeros(len(ops) + 2, np.int64)
    for buffer in planned:
        live[buffer.first_step : buffer.last_step + 1] += aligned(buffer.bytes)
    found = {}
    for key, span in blocks.items():
        shared: dict[Hashable, int] = {}
        for i in span:
            shared |= file_ops[i].shared
        found[key] = _contribution(graph, ops, file_ops, live, span, on), shared
    return found


def _contribution(
    graph: Graph, ops: list[OpMemory], file_ops: list[OpBytes], live: Integers, span: range, on: Target
) -> _Block:
    """Sum over the ops in ``span``; op *i* is step *i* + 1, and the graph's input belongs to the stem."""
    sizes = structs(on.abi)
    brings_input = span.start == 0
    scratch = arrays = preparing = 0
    for i in span:
        arrays += sum(aligned(size) for size in ops[i].kernel_arrays_bytes)
        requests = sizes.scratch_request * scratch
        preparing = max(preparing, arrays + requests + ops[i].temporaries_bytes)
        scratch += len(ops[i].scratch_bytes)
    tensors = brings_input + sum(
        len(graph.ops[i].outputs) + sum(graph.tensors[t].constant for t in graph.ops[i].inputs) for i in span
    )
    return _Block(
        live_bytes=live[span.start + 1 : span.stop + 1].max(),
        preparing_bytes=preparing,
        prepared_bytes=arrays + sizes.scratch_request * scratch,
        allocated_bytes=tensors * sizes.eval_tensor
        + len(span) * sizes.node_and_registration
        + sum(aligned(ops[i].builtin_data_bytes, sizes.pointer) for i in span),
        op_data_bytes=sum(aligned(ops[i].op_data_bytes) for i in span),
        kernel_array_bytes=arrays,
        scratch_buffers=scratch,
        tensors=tensors,
        planned_buffers=brings_input + len(span) + scratch,
        file_operator_bytes=sum(file_ops[i].operator_bytes for i in span),
        file_tensor_bytes=sum(file_ops[i].tensor_bytes for i in span),
        file_buffer_bytes=sum(file_ops[i].buffer_bytes for i in span),
        aot_flash_bytes=sum(op_flash_bytes(graph, graph.ops[i]) for i in span),
        macs=sum(op_macs(graph, graph.ops[i]) for i in span),
        instructions=sum(op_instructions(graph, graph.ops[i], on.name, on.kernels) for i in span),
    )


def _round_up(values: Integers, alignment: int) -> Integers:
    return -(-values // alignment) * alignment

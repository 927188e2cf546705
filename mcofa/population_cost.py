"""Costs of whole populations: numpy look-ups instead of one graph an arch.

In a search space every block contributes to the arena and the model file on its
own, whatever its neighbours are, so tables with one row per (resolution, stage,
block, kernel size, expand ratio), filled from a few graphs, hold everything. The
result equals ``mcofa.cost.cost`` but for one thing: instead of TFLM's plan of the
head it takes the most bytes that are live at one step, which no plan can go below.
``arena_bytes`` is therefore a lower bound, met whenever the planner is optimal.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.cost import board_target, op_macs, reserved_flash_bytes
from mcofa.graph import HEAD, STEM, BlockKey, Graph, lower_with_blocks
from mcofa.latency import op_instructions
from mcofa.memory import aligned
from mcofa.model_file import OpBytes, file_bytes, op_bytes
from mcofa.space import Genomes, SearchSpace
from mcofa.tflm import OpMemory, Target, account, op_memory, planned_buffers, requests_per_op, structs

Integers = npt.NDArray[np.int64]

_ONE_SCALE_BYTES = 8


@dataclass(frozen=True, slots=True)
class PopulationCost:
    """Costs of many archs, each field an array (archs,).

    ``arena_bytes`` is a lower bound, ``latency_ms`` an estimate.
    """

    arena_bytes: Integers
    flash_bytes: Integers
    macs: Integers
    latency_ms: npt.NDArray[np.float64]


class _Block(NamedTuple):
    """What blocks contribute: numbers for one block, arrays for many.

    ``live_bytes``: planned bytes live at the fullest step; ``allocated_bytes``: eval
    tensors, nodes and builtin data; ``preparing_bytes``: the most that the block's own
    kernel arrays, scratch requests and temporary tensors take while one of its ops is
    prepared.
    """

    live_bytes: Any
    allocated_bytes: Any
    op_data_bytes: Any
    kernel_array_bytes: Any
    preparing_bytes: Any
    scratch_buffers: Any
    tensors: Any
    planned_buffers: Any
    file_operator_bytes: Any
    file_tensor_bytes: Any
    file_buffer_bytes: Any
    macs: Any
    instructions: Any


class PopulationCosts:
    """Evaluates populations of one search space on one board (a 32-bit Arm target)."""

    def __init__(self, space: SearchSpace, board: Board) -> None:
        self._space = space
        self._board = board
        self._target = board_target(board)
        resolutions = len(space.resolutions)
        options = (
            *(resolutions, len(space.stages), space.max_depth),
            *(len(space.kernel_sizes), len(space.expand_ratios)),
        )
        self._elastic = np.zeros((*options, len(_Block._fields)), np.int64)
        self._fixed = {key: np.zeros((resolutions, len(_Block._fields)), np.int64) for key in (STEM, HEAD)}
        shared: dict[Hashable, int] = {}
        elastic_uses: dict[tuple[int, ...], set[Hashable]] = {}
        fixed_uses: dict[int, set[Hashable]] = defaultdict(set)
        for (r, resolution), (k, kernel), (e, expand) in itertools.product(
            enumerate(space.resolutions), enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
        ):
            arch = space.uniform(resolution, space.max_depth, kernel, expand)
            graph, blocks = lower_with_blocks(space.uncoupled(), arch)
            for key, (contribution, uses) in _contributions(graph, blocks, self._target).items():
                shared |= uses
                if key in self._fixed:
                    self._fixed[key][r] = contribution
                    fixed_uses[r] |= uses.keys()
                else:
                    self._elastic[r, *key, k, e] = contribution
                    elastic_uses[r, *key, k, e] = set(uses)
        # Which shared things a block uses, one bit each.
        column = {key: number for number, key in enumerate(shared)}
        self._shared_bytes = np.array(list(shared.values()), np.float64)
        elastic = np.zeros((*options, len(shared)), np.bool_)
        for index, used in elastic_uses.items():
            elastic[index][[column[key] for key in used]] = True
        fixed = np.zeros((resolutions, len(shared)), np.bool_)
        for r, used in fixed_uses.items():
            fixed[r, [column[key] for key in used]] = True
        self._elastic_uses, self._fixed_uses = np.packbits(elastic, -1), np.packbits(fixed, -1)
        # Where the additive parts start: an allocation's end is rounded up to its alignment, and only
        # the first op's OpData can start at an end that is not a multiple of 16.
        self._first_op_data_bytes = op_memory(graph, graph.ops[0], self._target).op_data_bytes
        self._fixed_bytes = account(graph, self._target).breakdown["fixed"]

    def evaluate(self, genomes: Genomes) -> PopulationCost:
        """Return the costs of ``genomes``, (archs, genes)."""
        blocks = self._look_up(genomes)
        sizes = structs(self._target.abi)
        scratch = blocks.scratch_buffers.sum(1)
        prepared_from = (
            _round_up(self._fixed_bytes + blocks.allocated_bytes.sum(1) + self._first_op_data_bytes, 16)
            + blocks.op_data_bytes.sum(1)
            - aligned(self._first_op_data_bytes)
        )
        planned_from = prepared_from + blocks.kernel_array_bytes.sum(1) + sizes.scratch_handle * scratch
        resident = blocks.live_bytes.max(1) + self._with_ends(planned_from)
        planning = (
            _round_up(planned_from, 16)
            + _round_up(
                sizes.scratch_request * (scratch + requests_per_op())
                + sizes.subgraph_offset
                + sizes.allocation_info * (blocks.tensors.sum(1) + scratch),
                16,
            )
            + sizes.planner_buffer * blocks.planned_buffers.sum(1)
        )
        before = _before(blocks.kernel_array_bytes) + sizes.scratch_request * _before(blocks.scratch_buffers)
        preparing = (
            prepared_from
            + sizes.scratch_request * requests_per_op()
            + (before + blocks.preparing_bytes).max(1)
        )
        return PopulationCost(
            arena_bytes=_round_up(np.maximum(np.maximum(resident, planning), preparing), 16),
            flash_bytes=file_bytes(
                blocks.file_operator_bytes.sum(1) + self._shared_file_bytes(genomes),
                blocks.file_tensor_bytes.sum(1),
                blocks.file_buffer_bytes.sum(1),
            )
            + reserved_flash_bytes(self._board),
            macs=blocks.macs.sum(1),
            latency_ms=blocks.instructions.sum(1) / self._board.clock_hz * 1000,
        )

    def _chosen(self, genomes: Genomes) -> tuple[npt.NDArray[Any], ...]:
        """Return the index into the elastic tables for every block, active or not."""
        space = self._space
        stage, block = np.indices((len(space.stages), space.max_depth))
        kernels, expands = space.kernel_genes(genomes), space.expand_genes(genomes)
        return genomes[:, 0, None, None], stage, block, kernels, expands

    def _look_up(self, genomes: Genomes) -> _Block:
        """Return arrays (archs, blocks): stem, stage blocks (0 where inactive), head."""
        rows = self._elastic[self._chosen(genomes)] * self._space.active(genomes)[..., None]
        sequence = np.concatenate(
            [
                self._fixed[STEM][genomes[:, 0], None],
                rows.reshape(len(genomes), self._space.blocks, len(_Block._fields)),
                self._fixed[HEAD][genomes[:, 0], None],
            ],
            axis=1,
        )
        return _Block(*np.moveaxis(sequence, -1, 0))

    def _shared_file_bytes(self, genomes: Genomes) -> Integers:
        """Sum, for each arch, what the ops of its file share."""
        uses = self._elastic_uses[self._chosen(genomes)] * self._space.active(genomes)[..., None]
        used = np.bitwise_or.reduce(uses, (1, 2)) | self._fixed_uses[genomes[:, 0]]
        sums = np.unpackbits(used, axis=1, count=len(self._shared_bytes)) @ self._shared_bytes
        return sums.astype(np.int64)

    def _with_ends(self, tail_bytes: Integers) -> Integers:
        """Add the input and the output tensor, each behind a pointer, as TFLM allocates them."""
        sizes = structs(self._target.abi)
        quantization = sizes.affine_quantization + _ONE_SCALE_BYTES
        for _ in ("input", "output"):
            tail_bytes = _round_up(tail_bytes + sizes.pointer, 16) + sizes.tensor + quantization
        return tail_bytes


def _contributions(
    graph: Graph, blocks: dict[BlockKey, range], on: Target
) -> dict[BlockKey, tuple[_Block, dict[Hashable, int]]]:
    """For each block, what it contributes, and what its ops share with others in the model file."""
    ops = [op_memory(graph, op, on) for op in graph.ops]
    file_ops = op_bytes(graph)
    live = np.zeros(len(ops) + 1, np.int64)
    for buffer in planned_buffers(graph, ops):
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
        allocated_bytes=tensors * sizes.eval_tensor
        + len(span) * sizes.node_and_registration
        + sum(aligned(ops[i].builtin_data_bytes, sizes.pointer) for i in span),
        op_data_bytes=sum(aligned(ops[i].op_data_bytes) for i in span),
        kernel_array_bytes=arrays,
        preparing_bytes=preparing,
        scratch_buffers=scratch,
        tensors=tensors,
        planned_buffers=brings_input + len(span) + scratch,
        file_operator_bytes=sum(file_ops[i].operator_bytes for i in span),
        file_tensor_bytes=sum(file_ops[i].tensor_bytes for i in span),
        file_buffer_bytes=sum(file_ops[i].buffer_bytes for i in span),
        macs=sum(op_macs(graph, graph.ops[i]) for i in span),
        instructions=sum(op_instructions(graph, graph.ops[i], on.name, on.kernels) for i in span),
    )


def _before(values: Integers) -> Integers:
    """Sums over the blocks before each block, (archs, blocks)."""
    return np.cumsum(values, axis=1) - values


def _round_up(values: Integers, alignment: int) -> Integers:
    return -(-values // alignment) * alignment

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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.boards import Board
from mcofa.cost import board_target, op_macs, reserved_flash_bytes
from mcofa.graph import HEAD, STEM, BlockKey, Graph, lower_with_blocks
from mcofa.memory import aligned
from mcofa.model_file import fixed_file_bytes, op_file_bytes
from mcofa.space import Genomes, SearchSpace
from mcofa.tflm import OpMemory, Target, account, op_memory, planned_buffers, requests_per_op, structs

Integers = npt.NDArray[np.int64]

_ONE_SCALE_BYTES = 8


@dataclass(frozen=True, slots=True)
class PopulationCost:
    """Costs of many archs, each field an array (archs,); ``arena_bytes`` is a lower bound."""

    arena_bytes: Integers
    flash_bytes: Integers
    macs: Integers


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
    model_bytes: Any
    macs: Any


class PopulationCosts:
    """Evaluates populations of one search space on one board (a 32-bit Arm target)."""

    def __init__(self, space: SearchSpace, board: Board) -> None:
        self._space = space
        self._target = board_target(board)
        self._reserved_flash_bytes = reserved_flash_bytes(board)
        options = (len(space.kernel_sizes), len(space.expand_ratios))
        fields = len(_Block._fields)
        self._elastic = np.zeros(
            (len(space.resolutions), len(space.stages), space.max_depth, *options, fields), np.int64
        )
        self._fixed = {key: np.zeros((len(space.resolutions), fields), np.int64) for key in (STEM, HEAD)}
        for (r, resolution), (k, kernel), (e, expand) in itertools.product(
            enumerate(space.resolutions), enumerate(space.kernel_sizes), enumerate(space.expand_ratios)
        ):
            arch = space.uniform(resolution, space.max_depth, kernel, expand)
            graph, blocks = lower_with_blocks(space, arch)
            for key, contribution in _contributions(graph, blocks, self._target).items():
                if key in self._fixed:
                    self._fixed[key][r] = contribution
                else:
                    self._elastic[r, *key, k, e] = contribution
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
            flash_bytes=fixed_file_bytes() + blocks.model_bytes.sum(1) + self._reserved_flash_bytes,
            macs=blocks.macs.sum(1),
        )

    def _look_up(self, genomes: Genomes) -> _Block:
        """Return arrays (archs, blocks): stem, stage blocks (0 where inactive), head."""
        space, resolution = self._space, genomes[:, 0]
        stage, block = np.indices((len(space.stages), space.max_depth))
        rows = self._elastic[
            resolution[:, None, None], stage, block, space.kernel_genes(genomes), space.expand_genes(genomes)
        ]
        rows *= space.active(genomes)[..., None]
        sequence = np.concatenate(
            [
                self._fixed[STEM][resolution][:, None],
                rows.reshape(len(genomes), space.blocks, -1),
                self._fixed[HEAD][resolution][:, None],
            ],
            axis=1,
        )
        return _Block(*np.moveaxis(sequence, -1, 0))

    def _with_ends(self, tail_bytes: Integers) -> Integers:
        """Add the input and the output tensor, each behind a pointer, as TFLM allocates them."""
        sizes = structs(self._target.abi)
        quantization = sizes.affine_quantization + _ONE_SCALE_BYTES
        for _ in ("input", "output"):
            tail_bytes = _round_up(tail_bytes + sizes.pointer, 16) + sizes.tensor + quantization
        return tail_bytes


def _contributions(graph: Graph, blocks: dict[BlockKey, range], on: Target) -> dict[BlockKey, _Block]:
    ops = [op_memory(graph, op, on) for op in graph.ops]
    live = np.zeros(len(ops) + 1, np.int64)
    for buffer in planned_buffers(graph, ops):
        live[buffer.first_step : buffer.last_step + 1] += aligned(buffer.bytes)
    return {key: _contribution(graph, ops, live, span, on) for key, span in blocks.items()}


def _contribution(graph: Graph, ops: list[OpMemory], live: Integers, span: range, on: Target) -> _Block:
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
        model_bytes=sum(op_file_bytes(graph, graph.ops[i]) for i in span),
        macs=sum(op_macs(graph, graph.ops[i]) for i in span),
    )


def _before(values: Integers) -> Integers:
    """Sums over the blocks before each block, (archs, blocks)."""
    return np.cumsum(values, axis=1) - values


def _round_up(values: Integers, alignment: int) -> Integers:
    return -(-values // alignment) * alignment

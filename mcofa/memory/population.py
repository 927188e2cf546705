"""TFLM's plans of the head for whole populations, in numpy.

Networks are chains of blocks, and only a block's last tensor, its output, is still live
after the block. So every buffer gets a *position*: by block, by op, and of one op its
scratch before its output. A buffer starts at its position and is live up to a later one;
all that lies between overlaps with it in time. Positions within a block, and who overlaps
there, come from tables with one row a block.

All archs of a population place their largest buffer at once, then their second largest,
and so on. A buffer goes to the lowest offset where it fits: whenever a placed buffer that
is live at the same time is in the way, no offset before that one's end can do, so the
candidate moves there, until nothing is in the way. That is the offset which TFLM's walk
through the sorted buffers finds (``memory.plan_in_order``).

Sizes and offsets in this module count units of 16 bytes, the alignment of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mcofa.memory.plan import HEAD_ALIGNMENT_BYTES, Buffer, aligned

Integers = npt.NDArray[np.int64]

_CHUNK_ARCHS = 1_024
"""Archs planned at once: their arrays stay in the processor's cache."""

_UNPLACED = np.iinfo(np.int32).max


class BlockBuffers(NamedTuple):
    """The buffers of one block by position, one entry a buffer.

    ``following`` counts the next positions in the block that overlap with a buffer,
    ``preceding`` holds how many positions before it those lie that do (the block's input is
    at −1). The block's input overlaps with the first ``input_following`` buffers.
    """

    units: tuple[int, ...]
    is_scratch: tuple[bool, ...]
    following: tuple[int, ...]
    preceding: tuple[tuple[int, ...], ...]
    input_following: int


def block_buffers(
    tensors: Sequence[Buffer], scratch: Sequence[Buffer], block_input: Buffer | None
) -> BlockBuffers:
    """Return the buffers that one block brings, by position; ``block_input`` is not one of them.

    ``tensors`` and ``scratch`` are those that start in the block, in the order in which TFLM
    plans them.
    """
    listed = sorted(
        [(b.first_step, False, b) for b in tensors] + [(b.first_step, True, b) for b in scratch],
        key=lambda entry: (entry[0], not entry[1]),
    )
    buffers = [buffer for _, _, buffer in listed]

    def following(buffer: Buffer, later: Sequence[Buffer]) -> int:
        return sum(other.first_step <= buffer.last_step for other in later)

    before = [
        buffers[:i] if block_input is None else [block_input, *buffers[:i]] for i in range(len(buffers))
    ]
    return BlockBuffers(
        units=tuple(aligned(buffer.bytes) // HEAD_ALIGNMENT_BYTES for buffer in buffers),
        is_scratch=tuple(is_scratch for _, is_scratch, _ in listed),
        following=tuple(following(buffer, buffers[i + 1 :]) for i, buffer in enumerate(buffers)),
        preceding=tuple(
            tuple(len(earlier) - j for j, other in enumerate(earlier) if other.last_step >= buffer.first_step)
            for buffer, earlier in zip(buffers, before, strict=True)
        ),
        input_following=0 if block_input is None else following(block_input, buffers),
    )


def greedy_blocks(
    tensors: Sequence[Buffer], scratch: Sequence[Buffer], blocks: Sequence[range]
) -> list[tuple[int, BlockBuffers]]:
    """Return for each block, a range of ops in network order, the most bytes live in it, and its buffers.

    ``tensors`` and ``scratch`` are those of the whole network.
    """
    live = np.zeros(blocks[-1].stop + 2, np.int64)
    for buffer in (*tensors, *scratch):
        live[buffer.first_step : buffer.last_step + 1] += aligned(buffer.bytes)
    found = []
    block_input = None
    for span in blocks:
        # Op i is step i + 1, and the graph's input, there from step 0, belongs to the first block.
        steps = range(span.start + (span.start > 0), span.stop + 1)
        own_tensors = [tensor for tensor in tensors if tensor.first_step in steps]
        own_scratch = [buffer for buffer in scratch if buffer.first_step in steps]
        most = int(live[span.start + 1 : span.stop + 1].max())
        found.append((most, block_buffers(own_tensors, own_scratch, block_input)))
        block_input = own_tensors[-1]
    return found


NO_BLOCK = block_buffers([], [], None)


class PopulationPlanner:
    """Plans the heads of archs, each given as a sequence of blocks."""

    def __init__(self, blocks: Sequence[BlockBuffers]) -> None:
        self._counts = np.array([len(block.units) for block in blocks], np.int32)
        self._starts = np.cumsum(self._counts, dtype=np.int32) - self._counts
        # One more buffer without size or neighbours fills up archs that have fewer than others.
        self._units = _flat([block.units for block in blocks])
        self._is_scratch = _flat([block.is_scratch for block in blocks])
        self._following = _flat([block.following for block in blocks])
        self._input_following = np.zeros(len(self._units), np.int32)
        filled = self._counts > 0
        self._input_following[self._starts[filled]] = np.array(
            [block.input_following for block in blocks], np.int32
        )[filled]
        most = max(len(row) for block in blocks for row in block.preceding)
        self._preceding = np.zeros((most, len(self._units)), np.int32)
        for column, row in enumerate(row for block in blocks for row in block.preceding):
            self._preceding[: len(row), column] = row

    def head_bytes(self, blocks: npt.NDArray[np.intp]) -> Integers:
        """Return the bytes that TFLM's greedy planner needs for each arch, (archs,).

        ``blocks`` are indices of blocks in network order, (archs, blocks of an arch).
        """
        chunks = range(0, len(blocks), _CHUNK_ARCHS)
        return np.concatenate(
            [np.zeros(0, np.int64), *(self._head_bytes(blocks[i : i + _CHUNK_ARCHS]) for i in chunks)]
        )

    def _head_bytes(self, blocks: npt.NDArray[np.intp]) -> Integers:
        buffers = self._by_position(blocks)
        positions, archs = buffers.shape
        following = self._following[buffers]
        following[:-1] += self._input_following[buffers[1:]]
        order = self._in_order(buffers) * archs + np.arange(archs)
        buffer, following = buffers.ravel()[order], following.ravel()[order]
        # A missing neighbour stands for the buffer itself, which is not placed yet.
        ahead = np.arange(1, following.max() + 1, dtype=np.int32)[:, None]
        steps = [-self._preceding[:, buffer].swapaxes(0, 1), np.minimum(ahead, following[:, None])]
        to_neighbours = np.concatenate(steps, axis=1) * np.int32(archs)
        start = np.full(positions * archs, _UNPLACED, np.int32)
        end = np.zeros(positions * archs, np.int32)
        for at, to_neighbour, units in zip(order, to_neighbours, self._units[buffer], strict=True):
            neighbours = at + to_neighbour
            start[at] = lowest = _lowest_fit(units, start.take(neighbours), end.take(neighbours))
            end[at] = lowest + units
        heads: Integers = end.reshape(positions, archs).max(0).astype(np.int64)
        return heads * HEAD_ALIGNMENT_BYTES

    def _by_position(self, blocks: npt.NDArray[np.intp]) -> npt.NDArray[np.int32]:
        """The buffers of each arch, (positions, archs), filled up with the one without size."""
        counts = self._counts[blocks]
        per_arch = counts.sum(1)
        lengths = counts.ravel()
        ends = np.cumsum(lengths)
        listed = np.repeat(self._starts[blocks].ravel() - (ends - lengths), lengths) + np.arange(
            lengths.sum()
        )
        positions = per_arch.max(initial=0)
        buffers = np.full((len(blocks), positions), len(self._units) - 1, np.int32)
        buffers[np.arange(positions) < per_arch[:, None]] = listed
        return np.ascontiguousarray(buffers.T)

    def _in_order(self, buffers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The positions in TFLM's order, (ranks, archs): larger first, of equal ones the later planned.

        Scratch is planned after all tensors.
        """
        positions = len(buffers)
        size = (2 * self._units + self._is_scratch).astype(np.int64) * positions
        keys = size[buffers.T] + np.arange(positions)
        keys.sort(axis=1)
        return np.ascontiguousarray((keys[:, ::-1] % positions).T.astype(np.int32))


def _lowest_fit(
    units: npt.NDArray[np.int32], start: npt.NDArray[np.int32], end: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """The lowest offset, (archs,), where ``units`` fit between neighbours, (neighbours, archs)."""
    candidate: npt.NDArray[np.int32] = np.zeros(units.shape, np.int32)
    while True:
        in_the_way = (start < candidate + units) & (end > candidate)
        if not np.count_nonzero(in_the_way):
            return candidate
        candidate = np.maximum(candidate, np.maximum.reduce(end * in_the_way))


def _flat(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int32]:
    return np.array([value for row in rows for value in row] + [0], np.int32)

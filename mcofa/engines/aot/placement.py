"""Offsets for what changes its size while it stays where it is: storages of several buffers.

The buffers of a storage follow one another in time and begin at the same offset. The search goes through
the steps and puts what starts there as low or as high as it fits under the bound that no placement can
go below; it goes back where something does not fit. It nearly always meets that bound; where it gives up,
storages are placed one by one, in the best of a few orders.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from mcofa.memory.plan import Buffer, Plan, aligned, lower_bound

Stack = Sequence[Buffer]
_MOST_TRIES = 20_000


def place_stacks(stacks: Sequence[Stack]) -> Plan:
    """Return one offset for each stack of buffers, all multiples of 16, and the bytes that they span."""
    bound = lower_bound([buffer for stack in stacks for buffer in stack])
    found = _UnderBound(stacks, bound).search()
    if found is not None:
        return Plan(tuple(found), bound)
    return min((_one_by_one(stacks, order) for order in _orders(stacks)), key=lambda plan: plan.total_bytes)


class _Occupied:
    """What lies where in each step."""

    def __init__(self) -> None:
        self._taken: dict[int, list[tuple[int, int]]] = {}

    def add(self, stack: Stack, offset: int) -> None:
        for step, size in _sizes(stack):
            bisect.insort(self._taken.setdefault(step, []), (offset, offset + size))

    def remove(self, stack: Stack, offset: int) -> None:
        for step, size in _sizes(stack):
            self._taken[step].remove((offset, offset + size))

    def lowest(self, stack: Stack) -> int:
        """The lowest offset at which ``stack`` fits in all its steps."""
        offset, moved = 0, True
        while moved:
            moved = False
            for step, size in _sizes(stack):
                for first, end in self._taken.get(step, ()):
                    if first < offset + size and end > offset:
                        offset, moved = end, True
        return offset

    def highest(self, stack: Stack, bound: int) -> int:
        """The highest offset at which ``stack`` fits below ``bound``, negative if there is none."""
        offset, moved = bound - max(size for _, size in _sizes(stack)), True
        while moved and offset >= 0:
            moved = False
            for step, size in _sizes(stack):
                for first, end in reversed(self._taken.get(step, ())):
                    if first < offset + size and end > offset:
                        offset, moved = first - size, True
        return offset


class _UnderBound:
    def __init__(self, stacks: Sequence[Stack], bound: int) -> None:
        self._stacks = stacks
        self._bound = bound
        self._order = sorted(range(len(stacks)), key=lambda i: _by_start(stacks[i]))
        self._occupied = _Occupied()
        self._offsets = [0] * len(stacks)
        self._tries = 0

    def search(self) -> list[int] | None:
        """Return offsets under the bound, or None if none were found."""
        choices: list[Iterator[int]] = [self._choices(0)]
        while choices:
            at = len(choices) - 1
            offset = next(choices[-1], None)
            if offset is None:
                choices.pop()
                if choices:
                    index = self._order[at - 1]
                    self._occupied.remove(self._stacks[index], self._offsets[index])
                continue
            if self._tries > _MOST_TRIES:
                return None
            self._tries += 1
            index = self._order[at]
            self._offsets[index] = offset
            if at + 1 == len(self._order):
                return self._offsets
            self._occupied.add(self._stacks[index], offset)
            choices.append(self._choices(at + 1))
        return None

    def _choices(self, at: int) -> Iterator[int]:
        stack = self._stacks[self._order[at]]
        lowest = self._occupied.lowest(stack)
        if lowest + max(size for _, size in _sizes(stack)) > self._bound:
            return
        yield lowest
        if len(_steps(stack)) > 1 and (highest := self._occupied.highest(stack, self._bound)) != lowest:
            yield highest


def _one_by_one(stacks: Sequence[Stack], order: Sequence[int]) -> Plan:
    occupied = _Occupied()
    offsets = [0] * len(stacks)
    total = 0
    for index in order:
        offsets[index] = occupied.lowest(stacks[index])
        occupied.add(stacks[index], offsets[index])
        total = max(total, offsets[index] + max(aligned(buffer.bytes) for buffer in stacks[index]))
    return Plan(tuple(offsets), total)


def _orders(stacks: Sequence[Stack]) -> Iterator[list[int]]:
    """Orders in which to place stacks: by start, by bytes, and by bytes × steps."""
    indices = range(len(stacks))
    yield sorted(indices, key=lambda i: _by_start(stacks[i]))
    yield sorted(indices, key=lambda i: -max(buffer.bytes for buffer in stacks[i]))
    yield sorted(indices, key=lambda i: -sum(size for _, size in _sizes(stacks[i])))


def _by_start(stack: Stack) -> tuple[int, int, int]:
    """First what starts first; of that, first what stays longest, then what is largest."""
    return stack[0].first_step, -len(_steps(stack)), -max(buffer.bytes for buffer in stack)


def _steps(stack: Stack) -> range:
    return range(stack[0].first_step, stack[-1].last_step + 1)


def _sizes(stack: Stack) -> Iterator[tuple[int, int]]:
    for buffer in stack:
        for step in range(buffer.first_step, buffer.last_step + 1):
            yield step, aligned(buffer.bytes)

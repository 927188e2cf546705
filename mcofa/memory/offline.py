"""Better memory plans than TFLM's greedy one, made ahead of time and carried by the model file.

Finding the smallest head is NP-hard, yet networks are small: most greedy plans meet the
lower bound, and CP-SAT settles the others in milliseconds. TFLM takes offsets for tensors
only. Scratch is planned here together with the tensors, so that room is left for it, but
TFLM places it itself, so what counts is the head that the accounting then gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcofa.files.missing_package import MissingPackageError
from mcofa.memory.plan import (
    HEAD_ALIGNMENT_BYTES,
    Buffer,
    Plan,
    aligned,
    lower_bound,
    plan_greedy,
    plan_in_order,
)

_SEED = 0
_DETERMINISTIC_PER_SECOND = 0.2
"""One of CP-SAT's deterministic seconds took 4.6 to 9.8 s of an x86-64 core on large random plans."""


@dataclass(frozen=True, slots=True)
class OfflinePlan:
    """The best plan found, and how good it can be.

    No plan has fewer than ``lower_bound_bytes``; ``proven_optimal`` says that ``plan`` has
    exactly as many.
    """

    plan: Plan
    lower_bound_bytes: int

    @property
    def proven_optimal(self) -> bool:
        """Whether no smaller plan exists."""
        return self.plan.total_bytes == self.lower_bound_bytes


def plan_offline(buffers: Sequence[Buffer], time_limit_seconds: float) -> OfflinePlan:
    """Return the smallest plan found within the limit.

    The greedy plan is taken if it meets the lower bound; else a few other orders are tried,
    then CP-SAT. The limit is counted in CP-SAT's deterministic time, so that the result
    depends neither on the machine nor on its load; by the clock it is approximate.

    Raises:
        MissingPackageError: CP-SAT is needed and ortools is not installed.
    """
    bound = lower_bound(buffers)
    best = plan_greedy(buffers)
    for order in _orders(buffers):
        if best.total_bytes == bound:
            break
        best = min(best, plan_in_order(buffers, order), key=lambda plan: plan.total_bytes)
    if best.total_bytes == bound:
        return OfflinePlan(best, bound)
    return _solve(buffers, bound, best, time_limit_seconds)


def _orders(buffers: Sequence[Buffer]) -> Iterator[list[int]]:
    """Orders in which to place buffers: by bytes × steps, and by first step."""
    sizes = [aligned(buffer.bytes) for buffer in buffers]
    steps = [buffer.last_step - buffer.first_step + 1 for buffer in buffers]
    yield sorted(range(len(buffers)), key=lambda i: -sizes[i] * steps[i])
    yield sorted(range(len(buffers)), key=lambda i: (buffers[i].first_step, -sizes[i]))


def _solve(buffers: Sequence[Buffer], bound: int, known: Plan, time_limit_seconds: float) -> OfflinePlan:
    """Look for a plan below ``known`` with CP-SAT, in units of 16 bytes.

    Buffers that are live at one step must not overlap: one NoOverlap for each step at which
    a buffer starts, which covers every pair.
    """
    try:
        from ortools.sat.python import cp_model
    except ModuleNotFoundError:
        raise MissingPackageError("ortools") from None

    unit = HEAD_ALIGNMENT_BYTES
    sizes = [aligned(buffer.bytes) // unit for buffer in buffers]
    below = known.total_bytes // unit - 1
    model = cp_model.CpModel()
    total = model.new_int_var(bound // unit, below, "total")
    offsets = [model.new_int_var(0, below - size, "") for size in sizes]
    spans = [model.new_fixed_size_interval_var(*span, "") for span in zip(offsets, sizes, strict=True)]
    for offset, size in zip(offsets, sizes, strict=True):
        model.add(offset + size <= total)
    for live in _live_sets(buffers):
        model.add_no_overlap([spans[i] for i in live])
    model.minimize(total)

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = _SEED
    solver.parameters.max_deterministic_time = time_limit_seconds * _DETERMINISTIC_PER_SECOND
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return OfflinePlan(known, known.total_bytes)
    proven = aligned(round(solver.best_objective_bound * unit), unit)
    if status == cp_model.UNKNOWN:
        return OfflinePlan(known, max(bound, min(proven, known.total_bytes)))
    plan = Plan(tuple(solver.value(offset) * unit for offset in offsets), solver.value(total) * unit)
    return OfflinePlan(plan, max(bound, min(proven, plan.total_bytes)))


def _live_sets(buffers: Sequence[Buffer]) -> Iterator[list[int]]:
    """The non-empty buffers live at each step at which one starts."""
    for step in sorted({buffer.first_step for buffer in buffers}):
        yield [i for i, b in enumerate(buffers) if b.bytes and b.first_step <= step <= b.last_step]

"""Where the generated C keeps every tensor of a graph while each op runs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from mcofa.engines.aot.flow import flow_of
from mcofa.engines.aot.plan import AotPlan, Storage, plan_aot
from mcofa.errors import UnstreamableInputError
from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, aligned, peak
from mcofa.memory.timeline import PlacedBuffer, Timeline, timeline_rows
from mcofa.ops.rows import height
from mcofa.ops.target import Target

_planned = functools.lru_cache(maxsize=4)(plan_aot)


def aot_timeline(graph: Graph, on: Target, streams_input: bool = False) -> Timeline:
    """Return the memory of ``graph`` on the target ``on``, op by op.

    What a span keeps is there during all its ops; nothing is shown of what is after the last one.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
        UnstreamableInputError: the input has no rows to be given one by one.
    """
    plan = _planned(graph, on, streams_input)
    placed = tuple(
        PlacedBuffer(
            tensors=storage.tensors,
            what=_words(graph, plan, storage, buffer),
            bytes=aligned(buffer.bytes),
            offset_bytes=offset,
            first_step=_ops(plan, buffer).start,
            last_step=_ops(plan, buffer).stop - 1,
            ring_rows=_ring_rows(graph, plan, storage.tensors[0]) if storage.tensors else None,
        )
        for storage, offset in zip(plan.storages, plan.offsets, strict=True)
        for buffer in storage.buffers
        if buffer.first_step <= len(plan.spans)
    )
    return Timeline(
        place=f"{on.name}, generated C{', the image row by row' if streams_input else ''}",
        rows=timeline_rows(graph, placed),
        buffers=placed,
        head_bytes=plan.arena_bytes,
        peak=peak([Buffer(b.bytes, b.first_step, b.last_step) for b in placed]),
        arena_bytes=plan.arena_bytes,
        spans=tuple(ops for number, ops in enumerate(plan.spans, 1) if _is_row_by_row(plan, number)),
        notes=tuple(_notes(graph, on)),
    )


def span_figures(graph: Graph, on: Target, streams_input: bool) -> dict[str, Any]:
    """Return the arena with the image in it and row by row, and the spans of the one asked for, for JSON.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
        UnstreamableInputError: the input has no rows to be given one by one.
    """
    plan = _planned(graph, on, streams_input)
    by_rows_bytes, not_by_rows = _by_rows(graph, on)
    return {
        "arena_bytes": plan.arena_bytes,
        "streams_input": streams_input,
        "arena_bytes_resident": _planned(graph, on, False).arena_bytes,
        "arena_bytes_by_rows": by_rows_bytes,
        "not_by_rows": not_by_rows,
        "ops_at_once": _ops_at_once(graph),
        "spans": [_span(graph, plan, number) for number in range(1, len(plan.spans) + 1)],
    }


def _span(graph: Graph, plan: AotPlan, number: int) -> dict[str, Any]:
    ops = plan.spans[number - 1]
    made = [graph.ops[op].outputs[0] for op in ops]
    given = graph.inputs if number == 1 and plan.streams_input else ()
    live = [b for s in plan.storages for b in s.buffers if b.first_step <= number <= b.last_step]
    return {
        "first_op": ops.start,
        "last_op": ops.stop - 1,
        "kinds": [str(graph.ops[op].kind) for op in ops],
        "row_by_row": _is_row_by_row(plan, number),
        "bytes": sum(aligned(buffer.bytes) for buffer in live),
        "rings": [
            {"tensor": index, "kept_rows": ring[0], "rows": ring[1]}
            for index in (*given, *made)
            if (ring := _ring_rows(graph, plan, index))
        ],
    }


def _by_rows(graph: Graph, on: Target) -> tuple[int | None, str]:
    """The arena where the image arrives row by row, or why it cannot."""
    try:
        return _planned(graph, on, True).arena_bytes, ""
    except UnstreamableInputError as error:
        return None, error.problem


def _notes(graph: Graph, on: Target) -> Iterator[tuple[str, str]]:
    by_rows_bytes, not_by_rows = _by_rows(graph, on)
    resident = f"{_planned(graph, on, False).arena_bytes:,} B with the image in the arena"
    if by_rows_bytes is None:
        yield "arena", f"{resident}; it cannot arrive row by row: {not_by_rows}"
    else:
        yield "arena", f"{resident}, {by_rows_bytes:,} B where it arrives row by row (--stream-input)"
    if at_once := _ops_at_once(graph):
        named = ", ".join(f"op {op} {graph.ops[op].kind}" for op in at_once)
        yield "at once", f"cannot run row by row: {named}"


def _ops_at_once(graph: Graph) -> list[int]:
    """The ops that cannot run row by row, of those that read or make more than one row."""
    return [
        step.op
        for step in flow_of(graph).steps
        if step.at_once
        and all(read.sums_bytes is None for read in step.reads)
        and any(_rows(graph, index) > 1 for index in _ends(graph, step.op))
    ]


def _ends(graph: Graph, op: int) -> list[int]:
    ends = (*graph.ops[op].inputs, *graph.ops[op].outputs)
    return [index for index in ends if index >= 0 and not graph.tensors[index].constant]


def _rows(graph: Graph, index: int) -> int:
    """The rows of all images of a batch, of which engine aot takes one at a time only if it is alone."""
    shape = graph.tensors[index].shape
    return shape[0] * shape[1] if len(shape) == 4 else 1


def _is_row_by_row(plan: AotPlan, number: int) -> bool:
    return len(plan.spans[number - 1]) > 1 or (number == 1 and plan.streams_input)


def _ring_rows(graph: Graph, plan: AotPlan, index: int) -> tuple[int, int] | None:
    """How many rows of a tensor are kept, and of how many; None where all are."""
    kept, rows = plan.rows[index], height(graph.tensors[index])
    return (kept, rows) if kept < rows else None


def _ops(plan: AotPlan, buffer: Buffer) -> range:
    """The steps of ops, which count from 1, during which a buffer of steps of spans is live.

    What outlives the last span ends with it here.
    """
    starts = [0, *(ops.start + 1 for ops in plan.spans)]
    ends = [0, *(ops.stop for ops in plan.spans)]
    return range(starts[buffer.first_step], ends[min(buffer.last_step, len(plan.spans))] + 1)


def _words(graph: Graph, plan: AotPlan, storage: Storage, buffer: Buffer) -> str:
    if storage.sums_of is not None:
        return f"sums of op {storage.sums_of} {graph.ops[storage.sums_of].kind}"
    if not storage.tensors:
        ops = plan.spans[buffer.first_step - 1]
        kinds = f"op {ops.start} {graph.ops[ops.start].kind}"
        return f"scratch of {kinds if len(ops) == 1 else f'ops {ops.start} to {ops.stop - 1}'}"
    first, *others = storage.tensors
    return f"{_tensor(graph, plan, first)}{_others(others)}"


def _tensor(graph: Graph, plan: AotPlan, index: int) -> str:
    tensor = graph.tensors[index]
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    ring = _ring_rows(graph, plan, index)
    return f"tensor {index}, {shape} {tensor.dtype}{f', {ring[0]} of {ring[1]} rows' if ring else ''}"


def _others(others: Sequence[int]) -> str:
    return f", then {', '.join(map(str, others))} in its place" if others else ""

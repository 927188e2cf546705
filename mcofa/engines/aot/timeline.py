"""Where the generated C keeps every tensor of a graph while each op runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcofa.engines.aot.plan import AotPlan, Storage, plan_aot
from mcofa.graph import Graph
from mcofa.memory.plan import Buffer, aligned, peak
from mcofa.memory.timeline import PlacedBuffer, Timeline, timeline_rows
from mcofa.ops.rows import height
from mcofa.ops.target import Target


def aot_timeline(graph: Graph, on: Target, streams_input: bool = False) -> Timeline:
    """Return the memory of ``graph`` on the target ``on``, op by op.

    What a span keeps is there during all its ops.

    Raises:
        UnsupportedOpError: names all the ops without a kernel.
        UnstreamableInputError: the input has no rows to be given one by one.
    """
    plan = plan_aot(graph, on, streams_input)
    placed = tuple(
        PlacedBuffer(
            tensors=storage.tensors,
            what=_words(graph, plan, storage, buffer),
            bytes=aligned(buffer.bytes),
            offset_bytes=offset,
            first_step=_ops(plan, buffer).start,
            last_step=_ops(plan, buffer).stop - 1,
        )
        for storage, offset in zip(plan.storages, plan.offsets, strict=True)
        for buffer in storage.buffers
    )
    return Timeline(
        place=f"{on.name}, generated C{', the image row by row' if streams_input else ''}",
        rows=timeline_rows(graph, placed),
        buffers=placed,
        head_bytes=plan.arena_bytes,
        peak=peak([Buffer(b.bytes, b.first_step, b.last_step) for b in placed]),
        arena_bytes=plan.arena_bytes,
    )


def span_figures(graph: Graph, plan: AotPlan) -> list[dict[str, Any]]:
    """Return for each span of ``plan`` its ops, what it keeps, and of which tensors only some rows."""
    return [
        {
            "first_op": ops.start,
            "last_op": ops.stop - 1,
            "bytes": sum(
                aligned(buffer.bytes)
                for storage in plan.storages
                for buffer in storage.buffers
                if buffer.first_step <= number <= buffer.last_step
            ),
            "kept_rows": {str(index): plan.rows[index] for index in _rings(graph, plan, number)},
        }
        for number, ops in enumerate(plan.spans, start=1)
    ]


def _rings(graph: Graph, plan: AotPlan, number: int) -> list[int]:
    """The tensors of which span ``number`` keeps some rows only."""
    ops = plan.spans[number - 1]
    made = [graph.ops[op].outputs[0] for op in ops]
    inputs = graph.inputs if number == 1 else ()
    return [index for index in (*inputs, *made) if plan.rows[index] < height(graph.tensors[index])]


def _ops(plan: AotPlan, buffer: Buffer) -> range:
    """The steps of ops, which count from 1, during which a buffer of steps of spans is live."""
    starts = [0, *(ops.start + 1 for ops in plan.spans)]
    ends = [0, *(ops.stop for ops in plan.spans), plan.spans[-1].stop + 1 if plan.spans else 1]
    starts.append(ends[-1])
    return range(starts[buffer.first_step], ends[buffer.last_step] + 1)


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
    rows, kept = height(tensor), plan.rows[index]
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    return f"tensor {index}, {shape} {tensor.dtype}{f', {kept} of {rows} rows' if kept < rows else ''}"


def _others(others: Sequence[int]) -> str:
    return f", then {', '.join(map(str, others))} in its place" if others else ""

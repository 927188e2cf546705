"""The subgraphs of a .tflite file as one graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from mcofa.graph import Graph, Op


def joined(parts: Sequence[Graph]) -> Graph:
    """Return the graph of all subgraphs: the ops of a called one follow the op that calls it.

    Tensors are those of all subgraphs, one after the other; inputs and outputs those of the first.

    Raises:
        ValueError: a subgraph is not called exactly once, or takes or returns tensors; says which.
    """
    firsts = [0, *accumulate(len(part.tensors) for part in parts)]
    ops: list[Op] = []
    waiting = set(range(1, len(parts)))

    def run(subgraph: int) -> None:
        for op in parts[subgraph].ops:
            ops.append(_moved(op, firsts[subgraph], subgraph))
            if op.calls is None:
                continue
            if op.calls not in waiting:
                raise ValueError(f"{op.kind} calls subgraph {op.calls} of {len(parts)}, or calls it again")
            if parts[op.calls].inputs or parts[op.calls].outputs:
                raise ValueError(f"subgraph {op.calls}, which {op.kind} calls, has inputs or outputs")
            waiting.remove(op.calls)
            run(op.calls)

    run(0)
    if waiting:
        raise ValueError(f"subgraph {min(waiting)} of {len(parts)} is never called: is it another signature?")
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    return Graph(tensors, tuple(ops), parts[0].inputs, parts[0].outputs, subgraphs=len(parts))


def _moved(op: Op, first: int, subgraph: int) -> Op:
    """The op with its tensors counted from ``first``."""
    inputs = tuple(index if index < 0 else first + index for index in op.inputs)
    outputs = tuple(first + index for index in op.outputs)
    return replace(op, inputs=inputs, outputs=outputs, subgraph=subgraph)

"""The graph that engine ``aot`` executes: shapes are known when C is generated, so no op computes them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from mcofa.graph import DType, Graph, Op, OpKind

_OF_SHAPES = (DType.INT32, DType.INT64)
_TAKE_SHAPES = (OpKind.RESHAPE, OpKind.EXPAND_DIMS)


@dataclass(frozen=True, slots=True)
class Executed:
    """A graph, and for each of its ops the position in the graph that it was made of.

    Tensors are those of that graph; computed shapes are constants.
    """

    graph: Graph
    positions: tuple[int, ...]


@functools.lru_cache(maxsize=8)
def executed(graph: Graph) -> Executed:
    """Return what is executed of ``graph``.

    Left away are SHAPE, and ops of integers that are constants or come from such ops, where nothing but the
    shapes of RESHAPE and EXPAND_DIMS is made of them.
    """
    left_away = _computing_shapes(graph.ops, graph)
    positions = tuple(i for i in range(len(graph.ops)) if i not in left_away)
    if not left_away:
        return Executed(graph, positions)
    known = {index for position in left_away for index in graph.ops[position].outputs}
    tensors = tuple(
        replace(tensor, constant=True) if index in known else tensor
        for index, tensor in enumerate(graph.tensors)
    )
    ops = tuple(graph.ops[i] for i in positions)
    return Executed(replace(graph, tensors=tensors, ops=ops), positions)


def _computing_shapes(ops: tuple[Op, ...], graph: Graph) -> set[int]:
    """Return the positions of ops that compute shapes and nothing else."""
    known: set[int] = set()
    found: set[int] = set()
    for position, op in enumerate(ops):
        is_known = all(i < 0 or i in known or graph.tensors[i].constant for i in op.inputs)
        if (op.kind is OpKind.SHAPE or is_known) and all(
            graph.tensors[i].dtype in _OF_SHAPES for i in op.outputs
        ):
            known.update(op.outputs)
            found.add(position)
    for position in sorted(found, reverse=True):
        if any(not _is_shape(graph, ops, found, index) for index in ops[position].outputs):
            found.discard(position)
    return found


def _is_shape(graph: Graph, ops: tuple[Op, ...], left_away: set[int], index: int) -> bool:
    """Whether only ops that are left away read the tensor, or others take it for a shape."""
    return index not in graph.outputs and all(
        position in left_away or (op.kind in _TAKE_SHAPES and op.inputs.index(index) == 1)
        for position, op in enumerate(ops)
        if index in op.inputs
    )

"""Which rows of its inputs an op needs for one row of its output.

The rows of a tensor are those of its one image, (1, height, width, channels); every other tensor is
one row.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.graph import Graph, Op, Tensor
from mcofa.ops.windows import window_padding

_IMAGE_RANK = 4


@dataclass(frozen=True, slots=True)
class RowWindow:
    """Row y of the output needs ``rows`` rows of the input from ``stride`` · y − ``above`` on.

    Those outside the input are padding, which is nowhere stored.
    """

    rows: int = 1
    stride: int = 1
    above: int = 0

    def first(self, row: int) -> int:
        """Return the first row of the input that ``row`` of the output needs."""
        return max(row * self.stride - self.above, 0)

    def end(self, row: int, height: int) -> int:
        """Return how many of the input's ``height`` rows there must be to make ``row`` of the output."""
        return max(min(row * self.stride - self.above + self.rows, height), 0)


SAME_ROW = RowWindow()
ONLY_ROW = RowWindow(stride=0)
"""For an input of one row that every row of the output needs."""


def height(tensor: Tensor) -> int:
    """Return how many rows ``tensor`` has."""
    return tensor.shape[1] if len(tensor.shape) == _IMAGE_RANK and tensor.shape[0] == 1 else 1


def row_bytes(tensor: Tensor) -> int:
    """Return the size of one row of ``tensor``."""
    return tensor.bytes // height(tensor)


def at_once(_graph: Graph, _op: Op) -> RowWindow | None:
    """Return None: the op makes its whole output at once, from the whole of its inputs."""
    return None


def same_row(graph: Graph, op: Op) -> RowWindow | None:
    """Return the window of an op whose output depends on the same row of its inputs only."""
    rows = height(graph.tensors[op.outputs[0]])
    inputs = [graph.tensors[index] for index in op.inputs]
    if any(height(source) not in (1, rows) for source in inputs):
        return None
    # An input of fewer dimensions that has values for every row is one row here.
    within = [source.shape[-_IMAGE_RANK + 1] for source in inputs if len(source.shape) == _IMAGE_RANK - 1]
    return None if rows > 1 and any(size > 1 for size in within) else SAME_ROW


def needed_rows(graph: Graph, op: Op, index: int, window: RowWindow) -> RowWindow:
    """Return the window of input ``index`` where that of an op is ``window``."""
    repeated = height(graph.tensors[index]) == 1 < height(graph.tensors[op.outputs[0]])
    return ONLY_ROW if repeated and window == SAME_ROW else window


def filter_window(graph: Graph, op: Op) -> RowWindow | None:
    """Return the window of a convolution."""
    source, weights = (graph.tensors[index] for index in op.inputs[:2])
    return _window(source, weights.shape, op)


def pool_window(graph: Graph, op: Op) -> RowWindow | None:
    """Return the window of a pool."""
    return _window(graph.tensors[op.inputs[0]], (1, *op.window, 1), op)


def _window(source: Tensor, window: tuple[int, ...], op: Op) -> RowWindow | None:
    if source.shape[0] != 1:
        return None
    above, _ = window_padding(source.shape, window, op)
    return RowWindow((window[1] - 1) * op.dilation[0] + 1, op.stride[0], above)

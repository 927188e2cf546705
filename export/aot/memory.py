"""Where every row of every tensor lies in the arena, as C expressions."""

from __future__ import annotations

from collections.abc import Sequence

from mcofa.engines.aot.plan import AotPlan
from mcofa.graph import DType, Graph
from mcofa.ops.rows import height, row_bytes

C_TYPES = {DType.INT8: "int8_t", DType.FLOAT32: "float"}


class Memory:
    """The places of a plan."""

    def __init__(self, graph: Graph, plan: AotPlan) -> None:
        self._graph = graph
        self._rows = plan.rows
        self.offsets: dict[int, int] = {}
        self.sums: dict[int, tuple[int, int]] = {}
        self._scratch: dict[int, int] = {}
        self._dead: dict[int, list[tuple[int, int]]] = {}
        for storage, offset in zip(plan.storages, plan.offsets, strict=True):
            self.offsets.update(dict.fromkeys(storage.tensors, offset))
            if storage.sums_of is not None:
                self.sums[storage.sums_of] = offset, storage.buffers[0].bytes
            elif not storage.tensors:
                self._scratch[storage.buffers[0].first_step] = offset
            for buffer, later in zip(storage.buffers, (*storage.buffers[1:], None), strict=True):
                kept = later.bytes if later else 0
                if kept < buffer.bytes:
                    dead = offset + kept, buffer.bytes - kept
                    self._dead.setdefault(buffer.last_step, []).append(dead)

    def place(self, index: int) -> dict[str, object]:
        """Return offset and size of a whole tensor, for the template."""
        tensor = self._graph.tensors[index]
        return {"offset": self.offsets[index], "bytes": tensor.bytes}

    def kept_rows(self, index: int) -> int:
        """Return how many rows of tensor ``index`` are kept."""
        return self._rows[index]

    def pointer(self, index: int, row: str = "0") -> str:
        """Return the C expression of the address of ``row``, an expression, of tensor ``index``."""
        tensor = self._graph.tensors[index]
        kept = self._rows[index]
        place = f"memory + {self.offsets[index]}"
        if row != "0" and kept > 1:
            ring = row if kept == height(tensor) else f"{_factor(row)} % {kept}"
            place = f"{place} + {_factor(ring) if kept == height(tensor) else ring} * {row_bytes(tensor)}"
        if tensor.dtype in (DType.INT8, DType.UINT8):  # of uint8 kernels see the bits only
            return place
        return f"({C_TYPES.get(tensor.dtype, 'void')}*)(void*)({place})"

    def scratch(self, span: int) -> str:
        """Return the C expression of the scratch of span ``span``, counted from 1."""
        return f"memory + {self._scratch[span]}" if span in self._scratch else "NULL"

    def dead_after(self, span: int) -> Sequence[tuple[int, int]]:
        """Return (offset, bytes) of what is not read again after span ``span``, counted from 1."""
        return self._dead.get(span, ())


def _factor(expression: str) -> str:
    return f"({expression})" if " " in expression else expression

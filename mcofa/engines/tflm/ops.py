"""What each op of a graph adds to the arena: its persistent data, arrays and scratch buffers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass

from mcofa.engines.tflm.targets import int_array_bytes, structs
from mcofa.errors import UnsupportedOpError
from mcofa.graph import Graph, Op
from mcofa.ops import OPERATORS, Target, Tflm
from mcofa.ops.record import OUTPUT
from mcofa.tflm_versions import KernelData

_WITHOUT_RULE = frozenset(
    {
        *("IF", "WHILE", "L2_POOL_2D", "REDUCE_MIN", "REDUCE_ALL"),
        *("DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP", "CUSTOM TFLite_Detection_PostProcess"),
        *("CUSTOM CIRCULAR_BUFFER", "CUSTOM TFLM_DECODE", "CUSTOM ethos-u", "CUSTOM SignalDelay"),
        *("CUSTOM SignalEnergy", "CUSTOM SignalFftAutoScale", "CUSTOM SignalFilterBank"),
        *("CUSTOM SignalFilterBankLog", "CUSTOM SignalFilterBankSquareRoot", "CUSTOM SignalPCAN"),
        *("CUSTOM SignalFilterBankSpectralSubtraction", "CUSTOM SignalFramer", "CUSTOM SignalIrfft"),
        *("CUSTOM SignalOverlapAdd", "CUSTOM SignalRfft", "CUSTOM SignalStacker", "CUSTOM SignalWindow"),
    }
)
"""Ops that TFLM has and that there is no record of, as ``export.tflite.parse`` names them.

Source: tensorflow/lite/micro/micro_mutable_op_resolver.h, TFLM 90b983c2b3f1.
"""


@dataclass(frozen=True, slots=True)
class OpMemory:
    """What one op of a graph adds to the arena of a target (bytes).

    ``kernel_arrays_bytes`` and ``op_data_bytes`` are persistent and aligned to 16 each;
    ``scratch_bytes`` are planned in the head; ``temporaries_bytes`` live while the op
    is prepared.
    """

    builtin_data_bytes: int
    builtin_data_align: int
    op_data_bytes: int
    kernel_arrays_bytes: tuple[int, ...]
    scratch_bytes: tuple[int, ...]
    temporaries_bytes: int


def check_supported(graph: Graph, on: Target) -> None:
    """Check that every op of ``graph`` keeps to the constraints of its operator.

    Raises:
        UnsupportedOpError: names all the ops that do not, and what they must keep to.
    """
    raise_unsupported(
        f"{op.kind} (its sizes are not in {on.tflm.name}, a version of TFLM)"
        for op in graph.ops
        if op.kind in on.tflm.not_read
    )
    broken: dict[str, str] = {}
    for op in graph.ops:
        operator = OPERATORS[op.kind]
        for constraint in operator.constraints:
            if found := constraint(graph, op):
                broken[f"{op.kind} ({found})"] = f"{op.kind}: {inspect.getdoc(constraint)}"
        if found := operator.tflm.refused(graph, op, on):
            broken[f"{op.kind} ({found})"] = f"{op.kind}: another shape, or reference kernels"
    if broken:
        raise UnsupportedOpError(
            f"TFLM does not run {', '.join(sorted(broken))} on {on.name} with {on.kernels} kernels",
            f"convert the model to what it runs ({'; '.join(sorted(set(broken.values())))})",
        )


def raise_unsupported(names: Iterable[str]) -> None:
    """Raise one error that names every distinct op in ``names``; do nothing if there is none.

    Raises:
        UnsupportedOpError: ``names`` is not empty.
    """
    distinct = sorted(set(names))
    if distinct:
        raise UnsupportedOpError(
            f"no memory rule for: {', '.join(map(_with_runtime, distinct))}",
            "convert the model with other ops; docs/operators.md lists those that there are rules for",
        )


def _with_runtime(name: str) -> str:
    """The name of an op without a rule, and whether TFLM runs it."""
    return name if name in _WITHOUT_RULE else f"{name} (TFLM does not have it either)"


def op_memory(graph: Graph, op: Op, on: Target) -> OpMemory:
    """Return what ``op`` adds to the arena of ``on``; the op must be supported."""
    rules = OPERATORS[op.kind].tflm
    builtin_bytes, builtin_align = _options(op, on, rules)
    return OpMemory(
        builtin_data_bytes=builtin_bytes,
        builtin_data_align=builtin_align,
        op_data_bytes=_kernel_data_bytes(op, on, rules),
        kernel_arrays_bytes=rules.arrays(graph, op, on),
        scratch_bytes=rules.scratch(graph, op, on),
        temporaries_bytes=_temporaries_bytes(graph, op, on, rules),
    )


def _options(op: Op, on: Target, rules: Tflm) -> tuple[int, int]:
    """Size and alignment of an op's options: the version's own, or those of the record."""
    own = on.tflm.options.get(op.kind, {}).get(on.abi)
    return rules.builtin_data.on(on.abi) if own is None else own


def _kernel_data_bytes(op: Op, on: Target, rules: Tflm) -> int:
    """Bytes that an op's kernel keeps: the version's own, or those of the record."""
    own = on.tflm.kernel_data.get(op.kind, KernelData())
    size = own.cmsis_nn if on.has_cmsis_nn else own.reference
    return rules.op_data.on(on) if size is None else size


def _temporaries_bytes(graph: Graph, op: Op, on: Target, rules: Tflm) -> int:
    """Bytes of the temporary tensors that Prepare borrows; absent optional inputs cost nothing."""
    sizes = structs(on.abi, on.tflm)
    total = 0
    for index in _temporaries(graph, op, on, rules):
        scales = graph.tensors[index].scales
        total += sizes.tensor + (sizes.affine_quantization + int_array_bytes(scales) if scales else 0)
    return total


def _temporaries(graph: Graph, op: Op, on: Target, rules: Tflm) -> Iterable[int]:
    """The tensors that Prepare borrows, by index in the graph."""
    borrowed = rules.temporaries
    for position in borrowed(graph, op, on) if callable(borrowed) else borrowed:
        if position == OUTPUT:
            yield op.outputs[0]
        elif position < len(op.inputs) and op.inputs[position] >= 0:
            yield op.inputs[position]

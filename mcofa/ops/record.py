"""What is known of an operator: one record each, which engines, files and documents ask.

Rules are functions of the graph and the op, where shapes matter; numbers are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mcofa.files.flatbuffer import Table
from mcofa.graph import DType, Graph, Op, OpKind
from mcofa.ops.constraints import Constraint, int8_to_int8
from mcofa.ops.rows import RowWindow, at_once
from mcofa.ops.target import Target

INT32_BYTES = 4
OUTPUT = -1
"""Stands for the output where inputs are named by position."""

Count = Callable[[Graph, Op], int]
Rows = Callable[[Graph, Op], RowWindow | None]
"""Which rows of its inputs an op needs for one row of its output; None where it needs all for any."""

Work = Callable[[Graph, Op], Mapping[str, int]]
"""How much an op does of what latency is estimated from, by ``mcofa.engines.latency.FEATURES``."""

Buffers = Callable[[Graph, Op, Target], tuple[int, ...]]
"""Sizes of what an op asks for on a target, in the order in which it asks."""

Borrowed = Callable[[Graph, Op, Target], tuple[int, ...]]
"""The tensors that an op's Prepare borrows: positions among the inputs, or ``OUTPUT``."""


class BuiltinData(NamedTuple):
    """Size and alignment of the struct of an op's options; size 0 for ops without."""

    arm32: tuple[int, int] = (0, 1)
    x86_64: tuple[int, int] = (0, 1)
    riscv32: tuple[int, int] = (0, 1)

    @classmethod
    def everywhere(cls, size: int, alignment: int) -> BuiltinData:
        """Return a struct without enums and pointers, which is the same under every ABI."""
        return cls((size, alignment), (size, alignment), (size, alignment))

    @classmethod
    def one_enum(cls) -> BuiltinData:
        """Return a struct of nothing but an enum."""
        return cls((1, 1), (4, 4), (4, 4))

    def on(self, abi: str) -> tuple[int, int]:
        """Return size and alignment under an ABI; enums take a byte on Arm and four elsewhere."""
        sizes: tuple[int, int] = getattr(self, abi.replace("-", "_"))
        return sizes


class OpData(NamedTuple):
    """Size of what an op's kernel keeps, by ABI and kernel set; not yet rounded up to 16.

    No enum is among it: under every ABI of 32 bits it is ``arm32``.
    """

    arm32: int = 0
    arm32_cmsis_nn: int = 0
    x86_64: int = 0

    @classmethod
    def everywhere(cls, size: int) -> OpData:
        """Return a struct that has one size under every ABI and with every kernel set."""
        return cls(size, size, size)

    def on(self, target: Target) -> int:
        """Return the size on a target."""
        if target.abi == "x86-64":
            return self.x86_64
        return self.arm32_cmsis_nn if target.has_cmsis_nn else self.arm32


NO_BUILTIN_DATA = BuiltinData()
NO_OP_DATA = OpData()


class Registration(NamedTuple):
    """How an op is registered with TFLM's ``MicroMutableOpResolver``.

    ``header`` is the TFLM header that declares ``function``, or empty when
    ``micro_mutable_op_resolver.h`` includes it already. ``function`` is empty where the method takes
    none. A function whose name ends with ``_INT8`` may run int8 only; that of the ``any_type`` runs every
    type that TFLM has a kernel for.
    """

    method: str
    function: str
    header: str = ""

    @property
    def call(self) -> str:
        """The call of the resolver's method, in C++."""
        return f"{self.method}({f'tflite::{self.function}()' if self.function else ''})"

    @property
    def any_type(self) -> Registration:
        """The registration for all types."""
        return self._replace(function=self.function.removesuffix("_INT8"))


def no_buffers(_graph: Graph, _op: Op, _on: Target) -> tuple[int, ...]:
    """Return no sizes: the op asks for nothing."""
    return ()


def first_type(graph: Graph, op: Op) -> DType:
    """Return the element type of an op's first input."""
    return graph.tensors[op.inputs[0]].dtype


def requested(*sizes: int) -> tuple[int, ...]:
    """Return the sizes above 0: CMSIS-NN's kernels ask for no empty buffer."""
    return tuple(size for size in sizes if size > 0)


def none(_graph: Graph, _op: Op) -> int:
    """Return 0."""
    return 0


def other_elements(graph: Graph, op: Op) -> Mapping[str, int]:
    """Count an op's output as elements of no particular kind."""
    return {"other_elements": graph.tensors[op.outputs[0]].items}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tflm:
    """What an op takes in TFLM 90b983c2b3f1, and how it is registered.

    ``temporaries`` are the tensors that Prepare borrows: positions among the inputs, or
    ``OUTPUT``; a function where they depend on types or kernels. ``arrays`` are persistent and aligned
    to 16 each; ``scratch`` is planned in the head. With ``keeps_output`` the output lies in the op's data.
    ``refused`` says what TFLM does not run on a target,
    or leaves an op's memory undefined for.
    """

    registration: Registration
    temporaries: tuple[int, ...] | Borrowed
    builtin_data: BuiltinData = NO_BUILTIN_DATA
    op_data: OpData = NO_OP_DATA
    arrays: Buffers = no_buffers
    keeps_output: bool = False
    scratch: Buffers = no_buffers
    refused: Callable[[Graph, Op, Target], str] = lambda graph, op, on: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One C function of engine ``aot``, in ``firmware_templates/aot/nn/NAME.c``.

    ``four_channels`` says that it uses ``nn_four.h``; ``takes_scratch`` that it has a scratch argument.
    With ``by_row`` there is a function ``NAME_row`` that makes one row from a ring of rows; elsewhere a
    row is an image of one row.
    """

    name: str
    four_channels: bool = False
    takes_scratch: bool = False
    by_row: bool = False


LOOKUP = Kernel(name="nn_lookup")
"""Reads what an int8 function makes of its input from a table of 256 bytes."""


class OverInput(NamedTuple):
    """The kernel that writes an op's output over its input of equal shape, and the scratch it needs.

    ``scratch_bytes`` returns None where the op cannot do so.
    """

    kernel: Kernel
    scratch_bytes: Callable[[Graph, Op], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aot:
    """How engine ``aot`` runs an op.

    Parameters lie in a constant ``struct``. ``kernels`` are all that may run the op, and ``choose``
    picks one; without it there is only the first. A ``table`` is what the op needs instead where its
    input is int8: the output depends on one value. ``operands`` inputs are read in the arena or as
    constants; ``stored`` are the positions of other constants that the kernel reads as they are, and
    ``scales_bytes`` what it keeps besides. With ``in_place`` the output may lie where an input does,
    and with ``in_place_is_nothing`` there is nothing left to do then. Where the op runs alone, on whole
    tensors, ``over_input`` is another way to do that. ``rows`` says how it runs row by row;
    where that is not possible, it may still take its input row by row into ``sums`` of so many bytes.
    ``types`` are those that the kernels take.
    """

    kernels: tuple[Kernel, ...] = ()
    choose: Callable[[Graph, Op, Target], Kernel] | None = None
    struct: str = ""
    table: bool = False
    operands: int = 1
    stored: tuple[int, ...] = ()
    scales_bytes: Count = none
    scratch_bytes: Callable[[Graph, Op, Target], int] = lambda graph, op, on: 0
    rows: Rows = at_once
    sums: Callable[[Graph, Op], int | None] = lambda graph, op: None
    in_place: bool = False
    in_place_is_nothing: bool = False
    over_input: OverInput | None = None
    types: Constraint = int8_to_int8
    constraints: tuple[Constraint, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether there is something that runs the op."""
        return bool(self.kernels) or self.table


NO_KERNEL = Aot()
"""Engine ``aot`` does not run the op."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Everything that is known of one kind of op before anything is built.

    ``inputs`` and ``outputs`` are the fewest and the most of them; of the fewest, those at the positions
    ``absent`` may be. ``ranks`` are those of the
    first inputs, then of the output, where TFLM demands them (None: 1 or more). ``options`` is the
    table that a .tflite file holds for the op, with what ``mcofa.ops.options`` reads of it; ``code``
    its number in the TensorFlow Lite schema, and ``version`` the first version of the op that takes int8
    (None: the exporter writes no such op). ``valued`` are the positions of inputs whose values say what
    the op does. ``constraints`` hold for every engine.
    """

    kind: OpKind
    code: int
    tflm: Tflm
    constraints: tuple[Constraint, ...]
    aot: Aot = NO_KERNEL
    version: int | None = None
    inputs: tuple[int, int] = (1, 1)
    outputs: tuple[int, int] = (1, 1)
    absent: tuple[int, ...] = ()
    ranks: tuple[int | None, ...] = ()
    valued: tuple[int, ...] = ()
    options: Table | None = None
    macs: Count = none
    work: Work = other_elements

"""What may differ between versions of TFLM: the schema of a version's data file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from mcofa.files.names import checked_name, checked_text

_STRICT: Mapping[str, Any] = {"extra": "forbid", "strict": True}
_LARGEST_BYTES = 4_096
_ALIGNMENTS = (1, 2, 4, 8, 16)
_LONGEST_TEXT = 400
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Structs:
    """Sizes in bytes of TFLM's structs under one ABI; all are aligned to a word."""

    pointer: int
    single_arena_allocator: int
    recording_single_arena_allocator: int
    planner: int
    micro_allocator: int
    recording_micro_allocator: int
    builtin_data_allocator: int
    subgraph_allocations: int
    eval_tensor: int
    node_and_registration: int
    scratch_handle: int
    tensor: int
    affine_quantization: int
    scratch_request: int
    allocation_info: int
    subgraph_offset: int
    planner_buffer: int


@dataclass(frozen=True)
class Rules:
    """How kernels ask for memory, where versions differ; the defaults are the default version's.

    ``sum_scratch``: what MEAN and SUM ask for: one buffer of sums, or two of indices as well.
    ``fully_connected_by_channel``: multipliers and shifts are kept where the filter has several scales.
    CMSIS-NN alone: ``fully_connected_1x1`` says where the multipliers and shifts lie of a FULLY_CONNECTED
    that is run as a convolution, if it is, ``fully_connected_sums`` that MVE keeps sums of the filter;
    im2col columns are rounded up to ``column_multiple`` values, with MVE to ``mve_column_multiple``;
    ``strided_1x1_columns`` that 1×1 convolutions with a stride have columns, too;
    ``mve_1_x_n`` how 1×N convolutions are run with MVE; ``depthwise_3x3_scratch`` that a 3×3 depthwise
    convolution asks for what larger ones do; ``mve_depthwise_as_convolution`` that one of a single input
    channel is run as a convolution.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    sum_scratch: Literal["sums", "sums and indices"] = "sums and indices"
    fully_connected_by_channel: bool = True
    fully_connected_1x1: Literal["no", "arrays", "scratch"] = "scratch"
    fully_connected_sums: bool = True
    column_multiple: Literal[1, 4] = 4
    mve_column_multiple: Literal[8, 16] = 16
    strided_1x1_columns: bool = False
    mve_1_x_n: Literal["no scratch", "windows"] = "windows"
    depthwise_3x3_scratch: bool = False
    mve_depthwise_as_convolution: bool = True


@dataclass(frozen=True)
class KernelData:
    """Bytes that a kernel keeps, on cores of 32 bits; None where it is the default version's."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    reference: int | None = None
    cmsis_nn: int | None = None


@dataclass(frozen=True)
class TflmVersion:
    """One version of TFLM: what its data file holds, checked.

    ``commit`` is upstream's, as is ``cmsis_nn`` of CMSIS-NN. ``struct_bytes`` is by ABI and name,
    ``options`` (size and alignment) by op and ABI, ``kernel_data`` by op: where they say nothing, the default
    version's hold. ``not_read`` are ops whose sizes are not known. ``fingerprints`` are those of the files
    that matter, by which a copy is recognised; ``verified`` says what was run.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    name: str
    title: str
    commit: str = "unknown"
    cmsis_nn: str = "unknown"
    toolchain: str = ""
    scratch_requests_per_op: int = 12
    struct_bytes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    kernel_data: Mapping[str, KernelData] = field(default_factory=dict)
    rules: Rules = Rules()
    not_read: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    verified: str = ""
    wheel: str = ""

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            ValueError: a size, an alignment, a name or a text that cannot be one.
        """
        checked_name(self.name)
        for name in ("title", "commit", "cmsis_nn", "toolchain", "verified", "wheel"):
            checked_text(name, getattr(self, name), _LONGEST_TEXT)
        _check_bytes("scratch_requests_per_op", self.scratch_requests_per_op)
        known = [one.name for one in dataclasses.fields(Structs)]
        for abi, sizes in self.struct_bytes.items():
            for name, size in sizes.items():
                if name not in known:
                    raise ValueError(f"struct_bytes.{abi} names {name!r}; known: {', '.join(known)}")
                _check_bytes(f"struct_bytes.{abi}.{name}", size)
        for op, by_abi in self.options.items():
            for abi, (size, alignment) in by_abi.items():
                _check_bytes(f"options.{op}.{abi}", size)
                if alignment not in _ALIGNMENTS:
                    raise ValueError(f"options.{op}.{abi} is aligned to {alignment}; one of {_ALIGNMENTS}")
        for op, data in self.kernel_data.items():
            for kernels, size in _sizes(data):
                _check_bytes(f"kernel_data.{op}.{kernels}", size)
        for fingerprint in self.fingerprints:
            if len(fingerprint) != _SHA256_DIGITS or set(fingerprint) - set("0123456789abcdef"):
                raise ValueError(f"fingerprints holds {fingerprint!r}; a SHA-256 has 64 hexadecimal digits")

    def __hash__(self) -> int:
        return hash((self.name, self.commit, self.rules))

    def to_json(self) -> dict[str, Any]:
        """Return the data file as plain keys and values, without those that say nothing."""
        plain = {key: value for key, value in dataclasses.asdict(self).items() if value not in ("", {}, ())}
        plain["rules"] = self.other_rules()
        plain["kernel_data"] = {
            op: {kernels: size for kernels, size in sizes.items() if size is not None}
            for op, sizes in plain.get("kernel_data", {}).items()
        }
        return {key: value for key, value in plain.items() if value != {}}

    def other_rules(self) -> dict[str, Any]:
        """Return the rules that are not the default version's."""
        return {
            rule.name: getattr(self.rules, rule.name)
            for rule in dataclasses.fields(Rules)
            if getattr(self.rules, rule.name) != rule.default
        }

    def differences(self) -> list[str]:
        """Say what is not as in the default version, a line each."""
        own = {} if self.wheel else self.struct_bytes
        found = [f"{abi} {name}: {size} B" for abi, sizes in own.items() for name, size in sizes.items()]
        found += [
            f"{op} options on {abi}: {size} B, aligned to {alignment}"
            for op, by_abi in self.options.items()
            for abi, (size, alignment) in by_abi.items()
        ]
        found += [
            f"{op} keeps "
            + ", ".join(f"{size} B ({kernels.replace('_', '-')})" for kernels, size in _sizes(data))
            for op, data in self.kernel_data.items()
        ]
        rules = self.other_rules().items()
        return found + [f"{name.replace('_', ' ')}: {_word(value)}" for name, value in rules]


def _sizes(data: KernelData) -> list[tuple[str, int]]:
    pairs = (("reference", data.reference), ("cmsis_nn", data.cmsis_nn))
    return [(kernels, size) for kernels, size in pairs if size is not None]


def _word(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _check_bytes(what: str, size: int) -> None:
    if not 0 <= size <= _LARGEST_BYTES:
        raise ValueError(f"{what} is {size}; it must be at least 0 and at most {_LARGEST_BYTES}")

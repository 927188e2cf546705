"""What TFLM puts in its arena for a graph: head, tail and minimum, byte for byte.

The arena holds the *head* (activations and scratch, planned) at its start and the
*tail* (everything persistent) at its end, allocated downward. The rules are those of
TFLM 90b983c2b3f1 and CMSIS-NN 99f736a6 built with GCC, and what other versions do differently is
read from their data files (``mcofa.tflm_versions``); what ops take stands in their records
(``mcofa.ops``).
``check_supported`` says which ops and types are not accounted for.
"""

from __future__ import annotations

from mcofa.engines.tflm.arena import Arena, MinimumCause, account
from mcofa.engines.tflm.head import ONLINE, head_plan, planned_buffers, planned_tensors
from mcofa.engines.tflm.ops import OpMemory, check_supported, op_memory, raise_unsupported
from mcofa.engines.tflm.targets import (
    board_target,
    default_kernels,
    kernel_sets,
    structs,
    target,
    target_names,
)
from mcofa.ops import Target

__all__ = [
    "ONLINE",
    "Arena",
    "MinimumCause",
    "OpMemory",
    "Target",
    "account",
    "board_target",
    "check_supported",
    "default_kernels",
    "head_plan",
    "kernel_sets",
    "op_memory",
    "planned_buffers",
    "planned_tensors",
    "raise_unsupported",
    "structs",
    "target",
    "target_names",
]

"""Models that a compiler for an accelerator has made: one op holds what only that accelerator runs."""

from __future__ import annotations

from collections.abc import Iterable

from mcofa.errors import UnsupportedOpError

_COMPILERS = {
    "CUSTOM ethos-u": "Vela for an Arm Ethos-U",
    "CUSTOM edgetpu-custom-op": "the Edge TPU Compiler",
    "CUSTOM NeutronGraph": "NXP's Neutron converter",
}
"""What writes each op, by the op's name."""


def check_not_compiled(kinds: Iterable[str]) -> None:
    """Check that no op of a model, by their names, is one that a compiler for an accelerator writes.

    Raises:
        UnsupportedOpError: names the compiler whose input is wanted.
    """
    for kind in kinds:
        if compiler := _COMPILERS.get(kind):
            raise UnsupportedOpError(
                f"the model was compiled for an accelerator by {compiler}: its op {kind} runs nowhere else",
                f"give the int8 .tflite file from before {compiler}",
            )

"""The table of supported operators in ``docs/operators.md``, made from the records.

``python -m mcofa.ops.table`` prints it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from mcofa.ops.constraints import Constraint
from mcofa.ops.record import LOOKUP, Operator
from mcofa.ops.registry import OPERATORS

_HEADINGS = ("op", "both engines", "engine `aot` besides", "kernels of engine `aot`", "in place")


def operator_table() -> str:
    """Return the supported operators as a Markdown table, with what each must keep to."""
    rows = [_HEADINGS, ("---",) * len(_HEADINGS), *map(_row, OPERATORS.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(operator: Operator) -> tuple[str, ...]:
    kernels = [*([LOOKUP] if operator.aot.table else []), *operator.aot.kernels]
    return (
        operator.kind,
        _rules(operator.constraints),
        _rules((operator.aot.types, *operator.aot.constraints)) if operator.aot.exists else "does not run it",
        ", ".join(f"`{kernel.name}`" for kernel in kernels),
        "yes" if operator.aot.in_place else "",
    )


def _rules(constraints: Iterable[Constraint]) -> str:
    """The constraints' docstrings, which are the rules; "any type" where there is none."""
    return " ".join(inspect.getdoc(constraint) or "" for constraint in constraints)


if __name__ == "__main__":
    print(operator_table())

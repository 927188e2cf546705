"""The arena of every op in every element type, against TFLM's own."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import pytest
from test_arena import predicted
from tiny_models import ops_side_by_side
from typed_models import retyped

from export.runtimes.tflm import measure_many
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import check_supported, target
from mcofa.errors import UnsupportedOpError
from mcofa.ops import OPERATORS

WHEEL = target("x86-64", "reference")
VARIABLES = ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
"""These know no types; ``test_variables`` has them in several."""

KINDS = [str(kind) for kind in OPERATORS if kind not in VARIABLES]
TYPES = ("int8", "int16", "int32", "int64", "uint8", "bool", "float32")
_RUN = """
import os, sys
import numpy as np
from tflite_micro import runtime
def runs(name):
    try:
        interpreter = runtime.Interpreter.from_bytes(open(name, "rb").read(), arena_size=1 << 20)
        for index in range(int(name.rpartition(".")[2])):
            details = interpreter.get_input_details(index)
            interpreter.set_input(np.ones(details["shape"], details["dtype"]), index)
        interpreter.invoke()
    except Exception:
        os._exit(1)
    os._exit(0)
for name in sys.argv[1:]:
    child = os.fork() or runs(name)
    print("refuses" if os.waitpid(child, 0)[1] else "runs", flush=True)
"""
"""On ones, in processes of their own: some ops refuse to divide by 0, some types make TFLM abort.

Names of files end with how many inputs the model has.
"""


def is_accepted(data: bytes) -> bool:
    try:
        check_supported(parse_tflite(data, "typed"), WHEEL)
    except UnsupportedOpError:
        return False
    return True


def cases() -> dict[tuple[str, str], bytes]:
    """A model of every op in every type; of those that change the type, in every pair of types."""
    pairs = [*itertools.product(KINDS, TYPES)]
    changing = (f"{source} to {output}" for source, output in itertools.permutations(TYPES, 2))
    pairs += itertools.product(("QUANTIZE", "DEQUANTIZE", "SOFTMAX", "RESHAPE"), changing)
    return {(kind, dtype): retyped(ops_side_by_side([kind]), dtype) for kind, dtype in pairs}


def test_every_type_that_is_accepted_runs_in_tflm_and_no_other(tmp_path) -> None:
    models = cases()
    names = [
        str(tmp_path / f"{kind}.{dtype}.{len(parse_tflite(data, kind).inputs)}")
        for (kind, dtype), data in models.items()
    ]
    for name, data in zip(names, models.values(), strict=True):
        with open(name, "wb") as file:
            file.write(data)
    answer = subprocess.run([sys.executable, "-c", _RUN, *names], capture_output=True, text=True, check=True)
    runs = [word == "runs" for word in answer.stdout.split() if word in ("runs", "refuses")]
    accepted = [is_accepted(data) for data in models.values()]
    found = zip(models, accepted, runs, strict=True)
    assert [(case, is_known) for case, is_known, does_run in found if is_known != does_run] == []


def test_every_op_in_every_type_is_measured_as_predicted() -> None:
    models = {case: data for case, data in cases().items() if is_accepted(data)}
    found = zip(models, measure_many([*models.values()]), map(predicted, models.values()), strict=True)
    assert [case for case, measured, expected in found if measured != expected] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_op_keeps_is_aligned_wherever_its_predecessor_ends(kind: str) -> None:
    """The options of a MEAN take one byte: 0 to 15 of them end at every offset modulo 16."""
    models = [
        retyped(ops_side_by_side(["MEAN"] * means + [kind]), *["int8"] * means, dtype)
        for means in range(16)
        for dtype in ("int8", "float32")
        if is_accepted(retyped(ops_side_by_side([kind]), dtype))
    ]
    assert measure_many(models) == [*map(predicted, models)]


def test_mixed_types_are_measured_as_predicted() -> None:
    rng = random.Random(0)
    accepted = [case for case, data in cases().items() if is_accepted(data)]
    rows = [rng.sample(accepted, rng.randint(2, 7)) for _ in range(300)]
    kinds, dtypes = ([[case[i] for case in row] for row in rows] for i in range(2))
    models = [retyped(ops_side_by_side(row), *types) for row, types in zip(kinds, dtypes, strict=True)]
    found = zip(rows, measure_many(models), map(predicted, models), strict=True)
    assert [row for row, measured, expected in found if measured != expected] == []

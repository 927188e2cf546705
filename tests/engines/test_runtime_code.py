from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import ModelBuilder, one_op

from export.tflite.parse import parse_tflite
from mcofa.boards import Kernels, core_names, load_board
from mcofa.cli import main
from mcofa.engines.tflm.runtime_code import (
    TABLE_FILE,
    always_linked_bytes,
    code_parts,
    graph_code_bytes,
    runtime_code_bytes,
    uncounted_ops,
)
from mcofa.graph import OpKind

MEASURED_AT_LEAST = 22
EIGHT_OPS = (
    *(OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D, OpKind.HARD_SWISH, OpKind.MUL),
    *(OpKind.ADD, OpKind.MEAN, OpKind.FULLY_CONNECTED, OpKind.AVERAGE_POOL_2D),
)
# Linked sizes in kB of other firmware with these ops: TFLM 90b983c2b3f1, arm-none-eabi-gcc 12.2.1, -Os,
# newlib-nano, stripped strings, INT8 registrations.
LINKED_KB = {
    ("cortex-m0", "cmsis-nn"): 56.4,
    ("cortex-m0plus", "cmsis-nn"): 56.4,
    ("cortex-m3", "cmsis-nn"): 46.9,
    ("cortex-m4", "cmsis-nn"): 50.7,
    ("cortex-m7", "cmsis-nn"): 47.9,
    ("cortex-m33", "cmsis-nn"): 50.4,
    ("cortex-m55", "cmsis-nn"): 43.9,
    ("cortex-m0plus", "reference"): 53.5,
    ("cortex-m7", "reference"): 40.7,
    ("cortex-m55", "reference"): 41.2,
}
GROUPS = json.loads(TABLE_FILE.read_text())["cores"]["cortex-m7"]["cmsis-nn"]
MEASURED = [kind for kind in OpKind if any(kind in group.split() for group in GROUPS)]
KINDS = st.sets(st.sampled_from(MEASURED))


@pytest.mark.parametrize(("core", "kernels"), LINKED_KB)
def test_close_to_other_linked_firmware(core: str, kernels: Kernels) -> None:
    linked_bytes = 1_000 * LINKED_KB[core, kernels]
    assert linked_bytes <= runtime_code_bytes(EIGHT_OPS, core, kernels) <= 1.01 * linked_bytes


@given(KINDS, KINDS)
def test_a_set_takes_at_most_what_its_parts_take(some: set[OpKind], others: set[OpKind]) -> None:
    both = runtime_code_bytes(some | others, "cortex-m7", "cmsis-nn")
    alone = [runtime_code_bytes(kinds, "cortex-m7", "cmsis-nn") for kinds in (some, others)]
    always = always_linked_bytes("cortex-m7", "cmsis-nn")
    assert max(alone) <= both <= sum(alone) - always


@pytest.mark.parametrize("kernels", ["cmsis-nn", "reference"])
@pytest.mark.parametrize("core", core_names())
def test_every_op_takes_some_code(core: str, kernels: Kernels) -> None:
    assert len(MEASURED) >= MEASURED_AT_LEAST
    for kind in MEASURED:
        assert sum(code_parts(kind, core, kernels).values()) > 500
        once = runtime_code_bytes([kind], core, kernels)
        assert runtime_code_bytes([kind, kind], core, kernels) == once > always_linked_bytes(core, kernels)


def unmeasured_model() -> bytes:
    """A RELU, and an op whose code was not measured."""
    unmeasured = next(kind for kind in ("FLOOR_MOD", "GATHER", "ELU") if kind not in MEASURED)
    m = ModelBuilder()
    x, y, z = (m.tensor((1, 4), "float32", scales=0) for _ in range(3))
    m.op("RELU", [x], [y])
    if unmeasured == "FLOOR_MOD":
        m.op(unmeasured, [y, y], [z], table="FloorModOptions")
    else:
        m.op(unmeasured, [y], [z])
    return m.build([x], [z])


def test_code_that_was_not_measured_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board, path = load_board("mps2-an500"), tmp_path / "model.tflite"
    path.write_bytes(unmeasured_model())
    graph = parse_tflite(path.read_bytes(), "model")
    (named,) = uncounted_ops(graph, board)
    assert graph_code_bytes(graph, board) == runtime_code_bytes([OpKind.RELU], board.core, board.kernels)
    assert main(["arena-check", str(path), "--board", board.name]) == 0
    assert f"without the code of {named}, not measured" in " ".join(capsys.readouterr().out.split())
    assert main(["arena-check", str(path), "--board", board.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flash_uncounted"] == [named]
    words = ["firmware", str(path), "--board", board.name, "--out", str(tmp_path / "project")]
    assert main(words) == 0, capsys.readouterr().err


def test_optimized_kernels_are_measured_for_int8_only() -> None:
    conv = ModelBuilder()
    x, y = (conv.tensor((1, 4, 4, 2), "float32", scales=0) for _ in range(2))
    w = conv.weights((2, 1, 1, 2), 0, dtype="float32")
    conv.conv(x, w, -1, y)
    graph, board = parse_tflite(conv.build([x], [y]), "float"), load_board("mps2-an500")
    assert uncounted_ops(graph, board) == ("CONV_2D of float32",)
    assert uncounted_ops(graph, dataclasses.replace(board, kernels="reference")) == ()
    assert uncounted_ops(parse_tflite(one_op("CONV_2D"), "int8"), board) == ()

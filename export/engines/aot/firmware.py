"""Engine ``aot`` as a firmware project takes it."""

from __future__ import annotations

import dataclasses

from export.aot.render import generate
from export.convert.to_c import DeployedModel
from export.firmware.engine_part import EnginePart
from export.runtimes.answers import LITERT, TFLM
from export.templates.render import render_template
from mcofa.boards import Board
from mcofa.engines.aot.executed import executed
from mcofa.engines.aot.flash import aot_flash
from mcofa.engines.tflm.targets import board_target
from mcofa.graph import OpKind

OPTIMIZATION = "-O2"
"""What kernels are compiled with: a tenth fewer instructions than -Os for some hundred bytes of code."""


def aot_part(board: Board, model: DeployedModel) -> EnginePart:
    """Return generated C for ``model`` on ``board``.

    Raises:
        UnsupportedOpError: an op of the model has no kernel.
        FileFormatError: ``model.data`` is not a .tflite file.
    """
    on = board_target(board)
    generated = generate(model.data, model.name, on, model.streams_input)
    flash = aot_flash(executed(model.file.graph).graph, on, generated.plan)
    model = dataclasses.replace(model, arena_bytes=generated.plan.arena_bytes)
    values: dict[str, object] = {"model": model, "optimization": OPTIMIZATION}
    return EnginePart(
        name="aot",
        model=model,
        arena_used_bytes=generated.plan.arena_bytes,
        # Buffers are aligned, and what lies between two of them stays untouched.
        fills_arena=False,
        flash_bytes=flash.total_bytes - generated.shared_bytes,
        flash_basis="constants of every op, code as measured with arm-none-eabi-gcc 12.2.1",
        files={
            "engine.mk": render_template("aot/engine.mk.jinja", **values),
            "src/engine_aot.c": render_template("aot/engine_aot.c.jinja", **values),
            **{f"aot/{name}": data for name, data in generated.files.items()},
        },
        # LiteRT's reference kernel of an int8 SUM is wrong; aot computes it as TFLM does.
        reference=TFLM if any(op.kind is OpKind.SUM for op in model.file.graph.ops) else LITERT,
    )

"""Engine ``tflm``: TensorFlow Lite Micro's interpreter, from a library that the user built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from export.convert.to_c import DeployedModel, to_c
from export.engines.tflm.arguments import library_arguments, target_arch
from export.firmware.engine_part import EnginePart, LinkedLibrary
from export.runtimes.answers import TFLM
from export.templates.render import render_template
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.engines.tflm import account
from mcofa.engines.tflm.runtime_code import needs_any_type
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import UnsupportedOpError
from mcofa.graph import Graph, OpKind
from mcofa.ops import OPERATORS, Registration
from mcofa.tflm_versions import DEFAULT_VERSION


def tflm_part(board: Board, model: DeployedModel) -> EnginePart:
    """Return TensorFlow Lite Micro's interpreter for ``model``, in the smallest arena that it can run in.

    Raises:
        UnsupportedOpError: the model uses an op that no registration or no accounting rule is known for.
        FileFormatError: ``model.data`` is not a .tflite file.
    """
    graph = model.file.graph
    registrations = op_registrations(model.op_kinds, graph)
    arena_used_bytes = account(graph, board_target(board)).arena_used_bytes
    assert arena_used_bytes is not None
    needs = load_engine("tflm").needs(graph, board, len(model.data))
    uncounted = ", ".join(needs.flash.uncounted)
    left_out = f"; without the code of {uncounted}: not measured" if uncounted else ""
    values: dict[str, object] = {
        "board": board,
        "model": model,
        "registrations": registrations,
        "registration_headers": sorted({item.header for item in registrations if item.header}),
        "tflm_commit": board.tflm_version.commit,
        "library_arguments": library_arguments(board),
        "target_arch": target_arch(board),
    }
    files = {
        path: render_template(f"tflm/{path.removeprefix('src/')}.jinja", **values)
        for path in ("engine.mk", "src/engine_tflm.cc", "src/op_resolver.h", "src/syscalls.c")
    }
    sources = {f"src/{name}": data for name, data in to_c(model).items() if name.endswith(".cc")}
    return EnginePart(
        name="tflm",
        model=dataclasses.replace(model, arena_bytes=needs.arena_bytes),
        arena_used_bytes=arena_used_bytes,
        fills_arena=True,
        flash_bytes=needs.flash.total_bytes,
        flash_basis=f"model file, TFLM {DEFAULT_VERSION} built with {board.kernels} and -Os, board's reserve"
        + left_out,
        files=files | sources,
        reference=TFLM,
        readme=render_template("tflm/readme.md.jinja", **values).decode(),
        code_bytes=needs.flash.code_bytes,
        measure_library=_measured_library,
    )


def op_registrations(op_kinds: tuple[str, ...], graph: Graph) -> list[Registration]:
    """Return the registration of every kind of op, in the order given, for the types of ``graph``.

    Raises:
        UnsupportedOpError: a kind that there is no operator for.
    """
    unknown = [kind for kind in op_kinds if kind not in OPERATORS]
    if unknown:
        raise UnsupportedOpError(
            f"no TFLM registration is known for {', '.join(unknown)}; known: {', '.join(OPERATORS)}",
            "export a network of the known ops, for instance with `mcofa export`",
        )
    any_type = {op.kind for op in graph.ops if needs_any_type(graph, op)}
    registrations = ((kind, OPERATORS[OpKind(kind)].tflm.registration) for kind in op_kinds)
    return [found.any_type if kind in any_type else found for kind, found in registrations]


def _measured_library(project: Path, board: Board) -> LinkedLibrary:
    # Rendering alone needs no reader of ELF files, which is in the extra "firmware".
    from export.engines.tflm.library import measured_library

    return measured_library(project, board)

"""Engine ``tflm``: TensorFlow Lite Micro's interpreter, from a library that the user built."""

from __future__ import annotations

import dataclasses

from export.convert.to_c import DeployedModel, to_c
from export.firmware.engine_part import EnginePart
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

TFLM_COMMIT = "90b983c2b3f1"
"""The tflite-micro commit whose arena the accounting was verified against."""


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
    values: dict[str, object] = {
        "board": board,
        "model": model,
        "registrations": registrations,
        "registration_headers": sorted({item.header for item in registrations if item.header}),
        "tflm_commit": TFLM_COMMIT,
        "library_arguments": _library_arguments(board),
        "target_arch": _target_arch(board),
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
        flash_basis=f"model file, TFLM {TFLM_COMMIT} built with {board.kernels} and -Os, board's reserve",
        files=files | sources,
        reference=TFLM,
        readme=render_template("tflm/readme.md.jinja", **values).decode(),
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


def _target_arch(board: Board) -> str:
    arch = board.core_facts.tflm_arch
    return arch.without_fpu if board.fpu == "none" else arch.with_fpu


def _library_arguments(board: Board) -> str:
    """What TFLM's library must be built for, in the words of its document.

    FPU must be named: TFLM's default for a Cortex-M7 has double-precision instructions,
    which a part with a single-precision unit cannot execute.
    """
    arguments = [f"TARGET={board.core_facts.family.tflm_target}", f"TARGET_ARCH={_target_arch(board)}"]
    if board.fpu != "none":
        arguments.append(f"FPU={board.fpu}")
    if board.kernels == "cmsis-nn":
        arguments += ["OPTIMIZED_KERNEL_DIR=cmsis_nn", "OPTIMIZE_KERNELS_FOR=KERNELS_OPTIMIZED_FOR_SIZE"]
    return " ".join([*arguments, "BUILD_TYPE=release"])

"""A firmware project for one board and one model, rendered from ``firmware_templates/``."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.to_c import DeployedModel, render_template, to_c
from mcofa.boards import Board, MemoryRegion
from mcofa.errors import DiskWriteError, McofaError, UnsupportedOpError

TFLM_COMMIT = "90b983c2b3f1"
"""The tflite-micro commit whose arena the accounting was verified against."""

MARKER = ".mcofa-firmware"
"""The file by which a rendered project is recognised, so that it may be replaced."""

_PROJECT_FILES = (
    "Makefile",
    "README.md",
    "linker.ld",
    "src/board.c",
    "src/board.h",
    "src/main.cc",
    "src/op_resolver.h",
    "src/startup.c",
)


@dataclass(frozen=True, slots=True)
class OpRegistration:
    """How one kind of op is registered with TFLM's ``MicroMutableOpResolver``.

    ``header`` is the TFLM header that declares ``function``, or empty when
    ``micro_mutable_op_resolver.h`` includes it already.
    """

    method: str
    function: str
    header: str = ""


OP_REGISTRATIONS = {
    "ADD": OpRegistration("AddAdd", "Register_ADD_INT8"),
    "AVERAGE_POOL_2D": OpRegistration("AddAveragePool2D", "Register_AVERAGE_POOL_2D_INT8"),
    "CONV_2D": OpRegistration("AddConv2D", "Register_CONV_2D_INT8"),
    "DEPTHWISE_CONV_2D": OpRegistration("AddDepthwiseConv2D", "Register_DEPTHWISE_CONV_2D_INT8"),
    "DEQUANTIZE": OpRegistration("AddDequantize", "Register_DEQUANTIZE"),
    "FULLY_CONNECTED": OpRegistration("AddFullyConnected", "Register_FULLY_CONNECTED_INT8"),
    "HARD_SWISH": OpRegistration("AddHardSwish", "Register_HARD_SWISH"),
    "LOGISTIC": OpRegistration("AddLogistic", "Register_LOGISTIC"),
    "MAX_POOL_2D": OpRegistration("AddMaxPool2D", "Register_MAX_POOL_2D_INT8"),
    "MEAN": OpRegistration("AddMean", "Register_MEAN"),
    "MUL": OpRegistration("AddMul", "Register_MUL_INT8"),
    "PAD": OpRegistration("AddPad", "Register_PAD_INT8", "tensorflow/lite/micro/kernels/pad.h"),
    "QUANTIZE": OpRegistration("AddQuantize", "Register_QUANTIZE"),
    "RELU": OpRegistration("AddRelu", "Register_RELU"),
    "RELU6": OpRegistration("AddRelu6", "Register_RELU6"),
    "RESHAPE": OpRegistration("AddReshape", "Register_RESHAPE"),
    "SOFTMAX": OpRegistration("AddSoftmax", "Register_SOFTMAX_INT8"),
    "SUB": OpRegistration("AddSub", "Register_SUB"),
    "SUM": OpRegistration("AddSum", "Register_SUM"),
    "TRANSPOSE": OpRegistration(
        "AddTranspose", "Register_TRANSPOSE_INT8", "tensorflow/lite/micro/kernels/transpose.h"
    ),
}
"""Source: tensorflow/lite/micro/micro_mutable_op_resolver.h and kernels/*.h at ``TFLM_COMMIT``."""


def render_firmware(board: Board, model: DeployedModel, destination: Path) -> list[Path]:
    """Write a complete firmware project for ``model`` on ``board`` into ``destination``.

    The project is written beside ``destination`` and renamed, so it is there whole or
    not at all; an earlier project of ours is replaced. Nothing is built or downloaded.

    Returns:
        The files written, sorted.

    Raises:
        UnsupportedOpError: the model uses an op that no registration is known for.
        McofaError: ``destination`` holds something that is not a rendered project.
        DiskWriteError: the operating system refused to write.
    """
    contents = _project_contents(board, model)
    destination = destination.absolute()
    _refuse_foreign_folder(destination)
    with _replacing_folder(destination) as temporary:
        for name, data in contents.items():
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    return sorted(destination / name for name in contents)


def op_registrations(op_kinds: tuple[str, ...]) -> list[OpRegistration]:
    """Return the registration of every kind of op, in the order given.

    Raises:
        UnsupportedOpError: a kind without a known registration.
    """
    unknown = [kind for kind in op_kinds if kind not in OP_REGISTRATIONS]
    if unknown:
        raise UnsupportedOpError(
            f"no TFLM registration is known for {', '.join(unknown)}; known: {', '.join(OP_REGISTRATIONS)}",
            "export a network of the known ops, for instance with `mcofa export`",
        )
    return [OP_REGISTRATIONS[kind] for kind in op_kinds]


def _project_contents(board: Board, model: DeployedModel) -> dict[str, bytes]:
    registrations = op_registrations(model.op_kinds)
    elf = Path("build/firmware.elf")
    values: dict[str, object] = {
        "board": board,
        "model": model,
        "regions": [
            {
                "name": _linker_name(region),
                "attributes": "rx" if region.kind == "flash" else "rw",
                "address": region.address,
                "bytes": region.bytes,
            }
            for region in board.memories
        ],
        "code": _linker_name(board.code_region),
        "model_memory": _linker_name(board.flash_region),
        "stack": _linker_name(board.stack_region),
        "data": _linker_name(board.data_region),
        "arena": _linker_name(board.arena_region),
        "flash_command": _make_recipe(board.flash.command_for(elf)) if board.flash else "",
        "emulate_command": _make_recipe(board.emulate.command_for(elf)) if board.emulate else "",
        "registrations": registrations,
        "registration_headers": sorted({item.header for item in registrations if item.header}),
        "tflm_commit": TFLM_COMMIT,
        "tflm_arguments": _tflm_arguments(board),
        "tflm_library_folder": _tflm_library_folder(board),
    }
    contents = {name: render_template(f"project/{name}.jinja", **values) for name in _PROJECT_FILES}
    contents |= {f"src/{name}": data for name, data in to_c(model).items()}
    contents[MARKER] = f"rendered by mcofa firmware: {model.name} on {board.name}\n".encode()
    return contents


def _tflm_target_arch(board: Board) -> str:
    """TFLM's name of the core; of these two it has parts with and without an FPU.

    Source: tensorflow/lite/micro/tools/make/targets/cortex_m_generic_makefile.inc at TFLM_COMMIT.
    """
    has_variants = board.core in ("cortex-m4", "cortex-m7")
    return f"{board.core}+fp" if has_variants and board.fpu != "none" else board.core


def _tflm_arguments(board: Board) -> str:
    """What TFLM's own Makefile is told.

    FPU must be named: TFLM's default for a Cortex-M7 has double-precision instructions,
    which a part with a single-precision unit cannot execute.
    """
    arguments = ["TARGET=cortex_m_generic", f"TARGET_ARCH={_tflm_target_arch(board)}"]
    if board.fpu != "none":
        arguments.append(f"FPU={board.fpu}")
    if board.kernels == "cmsis-nn":
        arguments += ["OPTIMIZED_KERNEL_DIR=cmsis_nn", "OPTIMIZE_KERNELS_FOR=KERNELS_OPTIMIZED_FOR_SIZE"]
    return " ".join([*arguments, "BUILD_TYPE=release", "microlite"])


def _tflm_library_folder(board: Board) -> str:
    """Where TFLM's Makefile leaves its library (its variable GENDIR), for these arguments."""
    kernels = "cmsis_nn_" if board.kernels == "cmsis-nn" else ""
    return f"gen/cortex_m_generic_{_tflm_target_arch(board)}_release_{kernels}gcc/lib"


def _make_recipe(command: list[str]) -> str:
    """The argument list as one line of a Makefile recipe."""
    return shlex.join(command).replace("$", "$$")


def _linker_name(region: MemoryRegion) -> str:
    """The region's name as a symbol of the linker script."""
    return "".join(character if character.isalnum() else "_" for character in region.name.upper())


def _refuse_foreign_folder(destination: Path) -> None:
    empty = destination.is_dir() and not any(destination.iterdir())
    if destination.exists() and not empty and not (destination / MARKER).is_file():
        raise McofaError(
            f"{destination} exists and is not a rendered firmware project (it has no {MARKER})",
            "choose another folder, or move this one away",
        )


@contextlib.contextmanager
def _replacing_folder(destination: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``destination`` that takes its place when the block succeeds."""
    staging: Path | None = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
        fresh, earlier = staging / "new", staging / "old"
        fresh.mkdir()
        yield fresh
        try:
            if destination.exists():
                destination.replace(earlier)
            fresh.replace(destination)
        except BaseException:
            if earlier.exists() and not destination.exists():
                earlier.replace(destination)
            raise
    except OSError as error:
        raise DiskWriteError(destination, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)

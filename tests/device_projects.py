"""What the tests of firmware projects share: a small model, an engine that copies bytes, and make."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import small_network

from export.convert.to_c import DeployedModel, DeployedTensor, to_c
from export.firmware.device_images import DeviceImages, image_count, random_images
from export.firmware.engine_part import EnginePart
from export.runtimes.answers import Items, Reference
from export.tflite.model_file import ModelFile
from mcofa.boards import Board

ARENA_BYTES = 1_024

MODEL = DeployedModel(
    name="tiny",
    file=ModelFile(small_network()),
    inputs=(DeployedTensor((1, 8, 8, 1), 0.0078431377, -1),),
    outputs=(DeployedTensor((1, 5), 0.125, -128),),
    labels=("cat", "dog", "é", 'a "b"', "back\\slash"),
    mean=0.5,
    std=0.25,
    rotate_180=False,
    op_kinds=("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "HARD_SWISH", "MEAN"),
    arena_bytes=ARENA_BYTES,
    target="some board",
)

COPY_ENGINE = """
#include "engine.h"
#include "%(name)s_model.h"
const char engine_name[] = "copy";
static volatile int initialised = 42;
static volatile int zeroed;
bool engine_setup(void) {
  const unsigned char *const model = g_%(name)s_model_data;
  return initialised == 42 && zeroed == 0 && model[4] == 'T' && model[5] == 'F';
}
static const int8_t *answered;
void *engine_input(size_t index) { return arena + index; }
// Answers with the image's first bytes, from the far end of the arena.
bool engine_run(void) {
  int8_t *const answer = (int8_t *)arena + kArenaBytes - kOutputBytes;
  const float half = (float)kOutputBytes * 0.5f;
  for (int i = 0; i < kOutputBytes; ++i) answer[i] = (int8_t)((float)((int8_t *)arena)[i] + half * 0.0f);
  answered = %(answer)s;
  return answered != NULL;
}
const void *engine_output(size_t index) { return answered + index; }
size_t engine_arena_used_bytes(void) { return kArenaBytes; }
"""


def copy_engine(answer: str = "answer", model: DeployedModel = MODEL) -> EnginePart:
    """An engine that needs no library; ``answer`` is the C expression of where its output is."""
    files = {
        "engine.mk": b"ENGINE_OBJECTS :=\nENGINE_LIBRARIES :=\nLINK := $(CROSS)gcc\n",
        "src/engine_copy.c": (COPY_ENGINE % {"answer": answer, "name": model.name}).encode(),
        f"src/{model.name}_model.cc": to_c(model)[f"{model.name}_model.cc"],
    }
    return EnginePart(
        name="copy",
        model=model,
        arena_used_bytes=model.arena_bytes,
        fills_arena=True,
        flash_bytes=8_192,
        flash_basis="a copy loop and the model",
        files=files,
        reference=Reference("its first bytes", lambda data, inputs, name: list(copied(model, inputs))),
    )


def copied(model: DeployedModel, inputs: Sequence[Items]) -> tuple[Items, ...]:
    """The first bytes of the only input, as the only output."""
    (images,), (output,) = inputs, model.outputs
    return (images.reshape(len(images), -1)[:, : output.items].reshape(-1, *output.shape),)


def copied_images(board: Board, model: DeployedModel = MODEL) -> DeviceImages:
    """Random images with the answers of ``copy_engine``."""
    inputs = random_images(model, image_count(copy_engine(model=model), board))
    return DeviceImages(inputs, copied(model, inputs))


def cross_tool(name: str) -> str:
    """Return the path of an Arm cross tool, or skip the test."""
    path = shutil.which(f"arm-none-eabi-{name}")
    if path is None:
        pytest.skip(
            f"arm-none-eabi-{name} is not installed (Debian packages gcc-arm-none-eabi, "
            "libnewlib-arm-none-eabi, libstdc++-arm-none-eabi-newlib)"
        )
    return path


def need_qemu() -> None:
    """Skip the test where there is no QEMU."""
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed (Debian package qemu-system-arm)")


def tflm_folder() -> Path:
    """Return the TFLM checkout that TFLM_DIR names, or skip the test."""
    named = os.environ.get("TFLM_DIR")
    if not named:
        pytest.skip("TFLM_DIR does not name a checkout of tflite-micro with its library built")
    return Path(named)


def make(
    project: Path, *arguments: str, programs: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run make in a rendered project, without the outer make's variables."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    if programs is not None:
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "LC_ALL": "C", **variables},
    )

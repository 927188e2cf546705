"""The C arrays: compiled by real compilers, and read back."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from export.convert.to_c import DeployedModel, DeployedTensor, read_c_array, to_c
from export.templates.c_numbers import c_float
from export.templates.escape import c_string
from export.tflite.model_file import ModelFile
from mcofa.errors import FileFormatError, McofaError

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")

MODEL = DeployedModel(
    name="tiny",
    file=ModelFile(bytes(range(256))),
    inputs=(DeployedTensor((1, 28, 28, 1), 0.0078431377, -1),),
    outputs=(DeployedTensor((1, 1, 1, 3), 0.125, -128),),
    labels=("T-shirt/top", 'say "no"??/', "é\n"),
    mean=0.2860,
    std=0.3530,
    rotate_180=True,
    op_kinds=("CONV_2D", "MUL"),
    arena_bytes=48_064,
    target="stm32f746, cortex-m7, cmsis-nn",
)

PROBE = """
#include <stdio.h>
#include "tiny_model.h"
int main(void) {
  printf("%d %d %d %d %d\\n", kModelBytes, kArenaBytes, kOpKinds, kRotateInput180, kOutputZeroPoint);
  printf("%d %d %d %d\\n", kInputShape[0], kInputShape[1], kInputShape[2], kInputShape[3]);
  printf("%.9g %.9g %.9g %.9g\\n", (double)kInputScale, (double)kOutputScale,
         (double)kInputMean[0], (double)kInputStd[0]);
  printf("%s|%s|%s|", kLabels[0], kLabels[1], kLabels[2]);
  unsigned sum = 0;
  for (int i = 0; i < kModelBytes; ++i) sum = sum * 31u + g_tiny_model_data[i];
  printf("%u %u %zu\\n", sum, (unsigned)((unsigned long)g_tiny_model_data % 16u), sizeof g_tiny_model_data);
  return 0;
}
"""


def host_compiler(name: str) -> str:
    """Return the compiler's path, or skip the test."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package build-essential)")
    return path


@pytest.mark.parametrize(
    ("compiler", "language", "standard"),
    [("g++", "c++", "-std=c++17"), ("gcc", "c", "-std=c11")],
)
def test_pair_compiles_and_means_the_same_in_c_and_cpp(
    tmp_path: Path, compiler: str, language: str, standard: str
) -> None:
    for name, contents in to_c(MODEL).items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "probe.c").write_text(PROBE)
    subprocess.run(
        [
            host_compiler(compiler),
            standard,
            *WARNINGS,
            "-x",
            language,
            "tiny_model.cc",
            "probe.c",
            "-o",
            "probe",
        ],
        cwd=tmp_path,
        check=True,
    )
    printed = subprocess.run([tmp_path / "probe"], capture_output=True, check=True).stdout.decode()
    checksum = 0
    for byte in MODEL.data:
        checksum = (checksum * 31 + byte) % 2**32
    assert printed.splitlines()[0] == "256 48064 2 1 -128"
    assert printed.splitlines()[1] == "1 28 28 1"
    floats = np.array(printed.splitlines()[2].split(), dtype=np.float32)
    assert floats.tolist() == np.array([0.0078431377, 0.125, 0.2860, 0.3530], dtype=np.float32).tolist()
    assert printed.endswith(f'T-shirt/top|say "no"??/|é\n|{checksum} 0 256\n')


LABELS = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=20, max_size=40)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=LABELS)
@example(labels=['"quoted"', "back\\slash", "??=??/??'", "\\0", "1\x012", "ä€𝄞", "%s", "/* */ // \r\n\t", ""])
@pytest.mark.parametrize(("compiler", "standard"), [("g++", "c++17"), ("gcc", "c11")])
def test_every_label_survives(tmp_path: Path, compiler: str, standard: str, labels: list[str]) -> None:
    """With -std=c11 and -std=c++17 the compilers replace trigraphs; bytes are printed as they are."""
    output = DeployedTensor((1, 1, 1, len(labels)), 0.125, -128)
    model = dataclasses.replace(MODEL, labels=tuple(labels), outputs=(output,))
    (tmp_path / "tiny_model.h").write_bytes(to_c(model)["tiny_model.h"])
    (tmp_path / "probe.c").write_text(
        '#include <stdio.h>\n#include "tiny_model.h"\n'
        "int main(void) { for (int i = 0; i < kOutputBytes; ++i) fwrite(kLabels[i], 1, "
        "__builtin_strlen(kLabels[i]) + 1, stdout); return 0; }\n"
    )
    language = "c++" if compiler == "g++" else "c"
    command = [
        host_compiler(compiler),
        f"-std={standard}",
        *WARNINGS,
        "-x",
        language,
        "probe.c",
        "-o",
        "probe",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "probe"], capture_output=True, check=True).stdout
    assert printed.decode().split("\0")[:-1] == labels


def test_two_models_fit_in_one_program(tmp_path: Path) -> None:
    names = ("first", "second")
    for name in names:
        for file, contents in to_c(
            dataclasses.replace(MODEL, name=name, file=ModelFile(name.encode()))
        ).items():
            (tmp_path / file).write_bytes(contents)
        (tmp_path / f"{name}.c").write_text(
            f'#include "{name}_model.h"\nint {name}(void);\n'
            f"int {name}(void) {{ return g_{name}_model_data[0] + kModelBytes; }}\n"
        )
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\nint first(void);\nint second(void);\n"
        'int main(void) { printf("%d %d", first(), second()); return 0; }\n'
    )
    sources = ["main.c", *(f"{name}{suffix}" for name in names for suffix in (".c", "_model.cc"))]
    command = [host_compiler("gcc"), "-std=c11", *WARNINGS, "-x", "c", *sources, "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert printed.decode() == f"{ord('f') + 5} {ord('s') + 6}"


def test_header_says_what_the_firmware_needs() -> None:
    header = to_c(MODEL)["tiny_model.h"].decode()
    for line in (
        "// Target: stm32f746, cortex-m7, cmsis-nn",
        "// Ops (2): CONV_2D, MUL",
        "  kArenaBytes = 48064,",
        "  kInputBytes = 784,",
        "static const int kInputShape[kInputRank] = {1, 28, 28, 1};",
        "static const float kInputScale = 0.0078431377f;",
        "static const int kOutputShape[kOutputRank] = {1, 1, 1, 3};",
        "static const float kInputMean[kInputChannels] = {0.286f};",
    ):
        assert line in header.splitlines()
    source = to_c(MODEL)["tiny_model.cc"].decode()
    assert "alignas(16) const unsigned char g_tiny_model_data[256] = {" in source.splitlines()


def test_one_mean_and_deviation_for_every_channel() -> None:
    image = DeployedTensor((1, 4, 4, 3), 0.0078431377, -1)
    model = dataclasses.replace(MODEL, inputs=(image,), mean=(0.5, 0.25, 0.125), std=1.0)
    header = to_c(model)["tiny_model.h"].decode()
    assert "kInputMean[kInputChannels] = {0.5f, 0.25f, 0.125f};" in header
    assert "kInputStd[kInputChannels] = {1.0f, 1.0f, 1.0f};" in header


@given(data=st.binary(min_size=1, max_size=2000))
def test_array_reads_back(data: bytes) -> None:
    source = to_c(dataclasses.replace(MODEL, file=ModelFile(data)))["tiny_model.cc"]
    assert read_c_array(source.decode()) == data


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda source: source.replace("0x05, ", "", 1), "declares 256 bytes and lists 255"),
        (lambda source: source.replace("0x05", "0x5z5"), "not a byte"),
        (lambda source: source.replace("0x05", "0x105"), "not a byte"),
        (lambda source: source[: len(source) // 2], "no array"),
        (lambda _: "", "no array"),
    ],
)
def test_damaged_array_is_refused(damage: Callable[[str], str], complaint: str) -> None:
    with pytest.raises(FileFormatError, match=complaint):
        read_c_array(damage(to_c(MODEL)["tiny_model.cc"].decode()))


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_literals_identify_every_float32(value: float) -> None:
    literal = c_float(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", literal)
    assert re.search(r"[.e]", literal)
    assert np.float32(literal[:-1]) == np.float32(value)


@given(text=st.text())
def test_string_literals_are_plain_ascii_without_trigraphs(text: str) -> None:
    literal = c_string(text)
    assert re.fullmatch(r"[ -~]*", literal)
    assert "??" not in literal


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "my-net"}, "'my-net' is not a C identifier"),
        ({"file": ModelFile(b"")}, "0 bytes"),
        ({"target": "a\nb"}, "cannot stand in a C comment"),
        ({"labels": ("a",)}, "1 labels for 3 outputs"),
        ({"labels": ("a", "b\0c", "d")}, "label 'b\\x00c' of model tiny holds a NUL"),
        ({"labels": ("a", "b", "\udcff")}, "label '\\udcff' of model tiny"),
        ({"arena_bytes": 40}, "40 bytes is not a positive multiple of 16"),
        ({"op_kinds": ("MUL", "ADD")}, "not sorted and unique: MUL, ADD"),
        ({"mean": (0.5, 0.5)}, "2 values of mean for 1 input channels"),
    ],
)
def test_what_cannot_become_c_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(McofaError, match=re.escape(complaint)):
        dataclasses.replace(MODEL, **change)

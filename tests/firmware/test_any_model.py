"""Firmware for models of every form: positions, batches, several inputs and outputs, element types."""

from __future__ import annotations

import dataclasses
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from device_projects import MODEL, copied_images, copy_engine, cross_tool, need_qemu
from tiny_models import ModelBuilder, one_op

from export.convert.to_c import DeployedTensor
from export.engines.engine import device_engine
from export.engines.project import FirmwareProject, project_of_file
from export.firmware import device_images as images_of_devices
from export.firmware.deployed_file import deployed_file
from export.firmware.device_images import DeviceImages, device_images
from export.firmware.emulate import enforce_report
from export.firmware.project import PROGRAM, render_firmware
from export.runtimes import tflm
from export.tflite.model_file import ModelFile
from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.graph import DType

FORMS = Path(__file__).parents[1] / "data" / "converted"
BOARD = load_board("mps2-an500")
PIXELS = np.arange(1 << 16, dtype=np.int64) * 37 % 256


def renamed(data: bytes, name: str) -> bytes:
    """The same model, all of whose tensors have another name."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = name
    return packed(model)


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def built(data: bytes, folder: Path) -> FirmwareProject:
    need_qemu()
    cross_tool("gcc")
    return project_of_file(ModelFile(data, "model.tflite"), BOARD, "aot", folder / "project")


@pytest.mark.emulator
@pytest.mark.parametrize("path", sorted(FORMS.glob("*.tflite")), ids=lambda path: path.stem)
def test_every_form_of_model_gives_the_hosts_answers(path: Path, tmp_path: Path) -> None:
    project = built(path.read_bytes(), tmp_path)
    project.build()
    report = project.emulate()
    enforce_report(report, project.engine)
    assert report.images == report.images_equal_to_host == 50
    assert 0 <= report.top1 < project.engine.model.outputs[0].shape[-1]


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("name", "streams_input"),
    [("two_inputs_add", False), ("conv_flatten_dense_float", False), ("conv_flatten_dense_float", True)],
)
def test_computed_images_are_those_of_the_host(
    name: str, streams_input: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where flash has no room for an image, the program and the host make the same ones."""
    need_qemu()
    cross_tool("gcc")
    monkeypatch.setattr(images_of_devices, "image_count", lambda *_: 0)
    file = ModelFile((FORMS / f"{name}.tflite").read_bytes(), name)
    project = project_of_file(file, BOARD, "aot", tmp_path / "project", streams_input=streams_input)
    project.build()
    report = project.emulate()
    enforce_report(report, project.engine)
    assert report.images == report.images_equal_to_host == 50
    assert "kTestInputs[" not in (project.folder / "src" / "test_images.c").read_text()


@pytest.mark.emulator
def test_names_in_the_file_are_no_code(tmp_path: Path) -> None:
    """With two inputs, so that the names stand in comments, and each fill function compiles."""
    name = '*/\n#error "name"\\\n// ??/ é {{ 1 }} /*'
    project = built(renamed((FORMS / "two_inputs_add.tflite").read_bytes(), name), tmp_path)
    project.build()
    sources = "".join(path.read_text() for path in project.folder.glob("src/*.h"))
    assert sources.count("#error") == sources.count('#error "name"/ // ? ?/ é {{ 1 }} / *') > 0


@pytest.mark.emulator
@pytest.mark.parametrize("name", ["seg3", "fomo_out", "conv_flatten_dense_float", "batch4", "two_inputs_add"])
def test_the_product_loop_says_what_litert_says(name: str, tmp_path: Path) -> None:
    """A sensor that delivers one known picture: the class, and where, are those of LiteRT."""
    data = (FORMS / f"{name}.tflite").read_bytes()
    project = built(data, tmp_path)
    source = project.folder / "src" / "input.c"
    text = source.read_text()
    for of in ("Input0", "Input1", "Input"):
        sensed = f"for (uint32_t i = 0; i < k{of}Items; ++i) pixels[i] = (uint8_t)(i * 37u % 256u);"
        before = f"k{of}Items pixels"
        start = text.find("(void)pixels;", text.find(before)) if before in text else -1
        if start >= 0:
            end = text.index("return false;", start) + len("return false;")
            text = f"{text[:start]}static int given; {sensed} return given++ == 0;{text[end:]}"
    source.write_text(text)
    project.build()
    command = BOARD.emulator_command(project.folder / PROGRAM.with_suffix(".elf"))
    printed = subprocess.run(command, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL)
    answer = litert_on_pixels(data)
    best, classes = int(answer.argmax()), answer.shape[-1]
    where = f" at {best // classes}" if answer.size > classes else ""
    assert printed.stdout.splitlines()[1:] == [f"{best % classes}{where}"]


def litert_on_pixels(data: bytes) -> Any:
    """LiteRT's first output for pixels 0, 37, 74, …, modulo 256, each divided by 255."""
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        real = PIXELS[: math.prod(detail["shape"])].reshape(detail["shape"]) / 255
        scale, zero_point = detail["quantization"]
        if scale:
            real = np.clip(np.rint(real / scale) + zero_point, -128, 127)
        interpreter.set_tensor(detail["index"], real.astype(detail["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8, DType.INT16, DType.FLOAT32])
def test_numbers_are_converted_at_the_border(dtype: DType, tmp_path: Path) -> None:
    """The C of pixels, of numbers in and of numbers out, natively, against numpy."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    zero_point = {DType.INT8: -3, DType.UINT8: 125}.get(dtype, 0)
    scale = 0.0 if dtype is DType.FLOAT32 else 0.0625
    image = DeployedTensor((1, 8, 8, 2), scale, zero_point, dtype, "image")
    model = dataclasses.replace(MODEL, inputs=(image,), mean=(0.5, 0.25), std=(0.25, 0.125))
    images = copied_images(BOARD, MODEL)
    images = DeviceImages((np.zeros((1, *image.shape), str(dtype)),), (images.outputs[0][:1],))
    render_firmware(BOARD, copy_engine(model=model), images, tmp_path / "p")
    folder = tmp_path / "p" / "src"
    source = folder / "input.c"
    filled = "for (int i = 0; i < kInputItems; ++i) pixels[i] = (uint8_t)(i * 37 % 256);"
    source.write_text(
        source.read_text().replace("(void)pixels;\n  return false;", f"{filled}\n  return true;")
    )
    reals = [0.0, 0.03, 0.032, -0.1, 3.7, 9.0, -9.0, 1e9, -1e9]
    listed = ", ".join(map(str, reals))
    (folder / "probe.c").write_text(f"""
#include <stdio.h>
#include "input.h"
#include "quantize.h"
int main(void) {{
  static {image.c_type} items[kInputItems];
  if (!input_read(items)) return 1;
  for (int i = 0; i < kInputItems; ++i) printf("%.9g ", (double)items[i]);
  printf("%.9g ", (double)output_real(17));
  const float reals[] = {{ {listed} }};
  for (int i = 0; i < {len(reals)}; ++i) printf("%.9g ", (double){"" if scale else "!"}
    {"input_item(reals[i])" if scale else "reals[i]"});
}}""")
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "input.c", "probe.c", "-lm", "-o", "probe"],
        cwd=folder,
        check=True,
    )
    printed = subprocess.run([folder / "probe"], capture_output=True, check=True).stdout
    found = np.array(printed.split(), np.float64)
    real = (PIXELS[:128].reshape(64, 2) / 255 - (0.5, 0.25)) / (0.25, 0.125)
    quantized = np.array(reals)
    if scale:
        lowest, highest = np.iinfo(str(dtype)).min, np.iinfo(str(dtype)).max
        real, quantized = (
            np.clip(np.rint(values / scale) + zero_point, lowest, highest) for values in (real, quantized)
        )
        np.testing.assert_array_equal(found[129:], quantized)
    np.testing.assert_allclose(found[:128], real.ravel(), rtol=1e-6, atol=1e-6)
    assert found[128] == 0.125 * (17 + 128)


def rounding_network() -> bytes:
    """A FULLY_CONNECTED whose factor lets LiteRT, which rounds once, and TFLM, which rounds twice, differ."""
    m = ModelBuilder()
    x, y = m.tensor((1, 64)), m.tensor((1, 256))
    weights = np.random.default_rng(3).integers(-127, 128, (256, 64))
    w = m.tensor((256, 64), data=weights)
    for index, scale in ((x, 0.0217), (w, 0.00613), (y, 0.2)):
        m.tensors[index].quantization.scale = [scale]
    m.op("FULLY_CONNECTED", [x, w, -1], [y], table="FullyConnectedOptions")
    return m.build([x], [y])


def test_each_engine_is_held_to_its_own_runtime() -> None:
    model = ModelFile(rounding_network(), "rounding")
    found = {}
    for name in ("tflm", "aot"):
        part = device_engine(name).firmware(BOARD, deployed_file(model, BOARD, name))
        images = device_images(part, BOARD)
        found[name] = images.outputs[0]
    (inputs,) = images.inputs
    np.testing.assert_array_equal(found["tflm"].reshape(50, -1), tflm.invoke(model.data, inputs[:, 0]))
    differing = (found["tflm"] != found["aot"]).any((1, 2)).sum()
    assert differing > 0


def test_a_sum_is_held_to_tflm() -> None:
    """LiteRT's reference kernel is far off: over three rows of 2, TFLM and arithmetic say 6."""
    m = ModelBuilder()
    x, y = m.tensor((1, 3, 2)), m.tensor((1, 2))
    m.op("SUM", [x, m.tensor((1,), "int32", [1], 0)], [y], table="ReducerOptions", keepDims=False)
    model = ModelFile(m.build([x], [y]), "sum")
    part = device_engine("aot").firmware(BOARD, deployed_file(model, BOARD, "aot"))
    (answer,) = part.reference.run(model.data, [np.full((1, 1, 3, 2), 2, np.int8)], "sum")
    np.testing.assert_array_equal(answer, [[[6, 6]]])


def with_bias_axis(data: bytes, axis: int) -> bytes:
    """The model with its vectors quantized along an axis that they do not have, as old converters wrote."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for tensor in model.subgraphs[0].tensors:
        if len(tensor.shape) == 1:
            tensor.quantization.quantizedDimension = axis
    return packed(model)


@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_a_file_with_an_axis_that_only_tflm_overlooks(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_bias_axis(one_op("CONV_2D"), 3)
    with pytest.raises(ValueError, match="quantized_dimension must be in range"):
        Interpreter(model_content=data)
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    words = ["firmware", str(path), "--board", "mps2-an500", "--engine", engine]
    assert main([*words, "--out", str(tmp_path / "p")]) == 0, capsys.readouterr().err


def test_what_a_runtime_refuses_is_one_short_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteRT's reasons may be endless: the same for every tensor."""
    path = tmp_path / "model.tflite"
    path.write_bytes(one_op("CONV_2D"))

    def refuse(**_: Any) -> None:
        raise ValueError("Tensor has invalid quantization parameters. " * 50)

    monkeypatch.setattr("export.runtimes.litert.Interpreter", refuse)
    words = ["firmware", str(path), "--board", "mps2-an500", "--engine", "aot"]
    assert main([*words, "--out", str(tmp_path / "p")]) == 1
    said = capsys.readouterr().err
    assert "LiteRT refuses it: Tensor has invalid quantization parameters" in said
    assert "--engine tflm" in said
    assert len(said) < 600
    assert not (tmp_path / "p").exists()

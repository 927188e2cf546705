"""The chain of runtimes on the same images: PyTorch, ONNX, LiteRT, TFLM, and every op on the way.

The first two compute in float and agree but for rounding. The step to int8 loses what
quantization costs. LiteRT (reference kernels) and TFLM must give identical outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from export.checks.evaluate import quantize_images
from export.convert.layers import LayerList, read_layers
from export.convert.run_subnet import load_run_subnet
from export.runtimes import float_onnx, litert
from export.runtimes import tflm as arena
from export.runtimes.float_onnx import Probe
from export.tflite.parse import parse_tflite
from export.tflite.quantization import FloatArray
from mcofa.errors import McofaError
from mcofa.graph import Graph
from mcofa.runs.run import Run
from mcofa.runs.sources import find_source
from mcofa.supernet.measure.evaluate import logits

_BATCH_BYTES = 1 << 26
_BYTES_PER_ACTIVATION = 8
"""A float of ONNX, and a byte each of LiteRT and TFLM on either side of the child process."""


class VerificationError(McofaError):
    """LiteRT and TFLM give different outputs for the same file and image."""


@dataclass(frozen=True, slots=True)
class Step:
    """Two neighbours of the chain compared at the output.

    ``max_difference`` is in logits, between LiteRT and TFLM in steps of int8.
    """

    first: str
    second: str
    max_difference: float
    unit: str
    top1_agreement_percent: float
    images_that_differ: int


@dataclass(frozen=True, slots=True)
class OpCheck:
    """One op's output, over all images: LiteRT against the float network, and TFLM against LiteRT.

    The errors against float, in steps of the output's int8 quantization, are those of the whole
    network up to this op, so they add up on the way. ``signal_to_noise_db`` compares the
    float values' power with the errors'.
    """

    op: int
    kind: str
    shape: tuple[int, ...]
    scale: float
    mean_error_steps: float
    max_error_steps: float
    signal_to_noise_db: float
    tflm_max_difference_steps: int


def verify_run(run: Run, images: int, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return (and record) the manifest's verify section; ``report`` is told what runs next.

    That many ``images``, or all if there are fewer, are spread over the validation split; test
    images are met by ``evaluate`` alone. Nothing is judged here.

    Raises:
        RunError: the run was not exported yet.
        MissingFileError: a file of the run, its checkpoint or the data set is missing.
        FileFormatError: a file of the run has changed, or the weights it was exported from.
    """
    exported = run.export
    step = f"export again with `mcofa export {run.folder}`"
    checkpoint = find_source(exported.checkpoint, run.folder, "checkpoint of the export", step)
    source = load_run_subnet(run, checkpoint)
    split = source.data.validation.spread(images)
    normalised = np.ascontiguousarray(source.data.preprocessing.normalise(split.images).numpy())
    quantized = quantize_images(normalised, exported.input.model_dump())
    onnx_model, tflite = run.read(exported.onnx), run.read(exported.tflite)

    report(f"{len(split):,} validation images in PyTorch and ONNX")
    torch_logits = logits(source.subnet, normalised)
    onnx_logits = float_onnx.logits(onnx_model, normalised)
    report("int8 model in LiteRT (reference kernels) and TFLM")
    litert_integers = litert.invoke(tflite, quantized)
    tflm_integers = arena.invoke(tflite, quantized)
    output = exported.output
    litert_logits = (litert_integers.astype(np.float32) - output.zero_point) * output.scale
    report("every op")
    model = onnx.load_model_from_string(onnx_model)
    ops = check_ops(model, tflite, normalised, quantized)

    targets = split.targets.numpy()
    steps = (
        _step("PyTorch", "ONNX", torch_logits, onnx_logits, "logit"),
        _step("ONNX", "LiteRT", onnx_logits, litert_logits, "logit"),
        _step("LiteRT", "TFLM", litert_integers.astype(int), tflm_integers.astype(int), "int8 step"),
    )
    outputs: dict[str, npt.NDArray[Any]] = {
        "PyTorch": torch_logits,
        "ONNX": onnx_logits,
        "LiteRT": litert_integers,
        "TFLM": tflm_integers,
    }
    section = {
        "data": exported.data,
        "split": "validation",
        "images": len(split),
        "top1_percent": {
            name: round(100 * float((found.argmax(1) == targets).mean()), 2)
            for name, found in outputs.items()
        },
        "steps": [asdict(step) for step in steps],
        "ops": [asdict(op) for op in ops],
        "passed": not steps[-1].images_that_differ,
    }
    run.record("verify", section)
    return section


def check_ops(
    model: onnx.ModelProto, tflite: bytes, normalised: FloatArray, quantized: npt.NDArray[np.int8]
) -> list[OpCheck]:
    """Compare every op's output: float (ONNX), int8 on LiteRT, int8 on TFLM.

    ``normalised`` is (n, channels, height, width), ``quantized`` the same images as ``tflite`` reads them.
    """
    graph, network = parse_tflite(tflite, "the model"), read_layers(model)
    probe = Probe(model, [layer.output for layer in network.layers])
    outputs = [op.outputs[0] for op in graph.ops]
    scales = litert.quantizations(tflite, outputs)
    checks = [_OpStatistics(*scales[index]) for index in outputs]
    for batch in _batches(graph, len(quantized)):
        expected = probe.run(normalised[batch])
        found = litert.trace(tflite, quantized[batch], outputs)
        other = arena.trace(tflite, quantized[batch], outputs)
        for check, float_, ours, tflms in zip(checks, expected, found, other, strict=True):
            check.add(_as_nhwc(float_, network), ours, tflms)
    return [
        check.result(number, str(op.kind), graph.tensors[op.outputs[0]].shape)
        for number, (op, check) in enumerate(zip(graph.ops, checks, strict=True))
    ]


def enforce(section: dict[str, Any]) -> None:
    """Do nothing when LiteRT and TFLM gave the same outputs.

    Raises:
        VerificationError: names the first op that differs, if the outputs of ops do.
    """
    if section["passed"]:
        return
    last = section["steps"][-1]
    differing = [op for op in section["ops"] if op["tflm_max_difference_steps"]]
    where = "".join(f"; the first op that differs is number {op['op']}, {op['kind']}" for op in differing[:1])
    raise VerificationError(
        f"LiteRT and TFLM differ on {last['images_that_differ']} of {section['images']} images, by up to "
        f"{last['max_difference']:g} steps{where}",
        "export again with `mcofa export`; if that does not help, report it with the run's manifest.json",
    )


def _step(first: str, second: str, a: npt.NDArray[Any], b: npt.NDArray[Any], unit: str) -> Step:
    return Step(
        first=first,
        second=second,
        max_difference=float(np.abs(a - b).max()),
        unit=unit,
        top1_agreement_percent=round(100 * float((a.argmax(1) == b.argmax(1)).mean()), 2),
        images_that_differ=int((a != b).any(1).sum()),
    )


def _batches(graph: Graph, images: int) -> Iterator[slice]:
    """Yield slices of images whose activations, all of them, fit the memory set aside for them."""
    items = sum(tensor.items for tensor in graph.tensors if not tensor.constant)
    step = max(1, _BATCH_BYTES // (_BYTES_PER_ACTIVATION * items))
    return (slice(start, start + step) for start in range(0, images, step))


def _as_nhwc(values: FloatArray, network: LayerList) -> FloatArray:
    """Lay out what ONNX computed as the .tflite does."""
    nhwc = values.transpose(0, 2, 3, 1)
    return nhwc[:, ::-1, ::-1] if network.rotate_180 else nhwc


class _OpStatistics:
    """Adds up one op's errors over batches."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self.scale, self.zero_point = scale, zero_point
        self.values = 0
        self.signal = self.noise = self.absolute = self.largest = 0.0
        self.tflm_largest = 0

    def add(
        self, expected: FloatArray, litert_values: npt.NDArray[np.int8], tflm_values: npt.NDArray[np.int8]
    ) -> None:
        steps = litert_values.astype(np.float64) - self.zero_point
        errors = np.abs(steps - expected / self.scale)
        self.values += errors.size
        self.signal += float(np.square(expected / self.scale, dtype=np.float64).sum())
        self.noise += float(np.square(errors).sum())
        self.absolute += float(errors.sum())
        self.largest = max(self.largest, float(errors.max()))
        differences = np.abs(litert_values.astype(int) - tflm_values.astype(int))
        self.tflm_largest = max(self.tflm_largest, int(differences.max()))

    def result(self, number: int, kind: str, shape: tuple[int, ...]) -> OpCheck:
        return OpCheck(
            op=number,
            kind=kind,
            shape=shape,
            scale=self.scale,
            mean_error_steps=self.absolute / self.values,
            max_error_steps=self.largest,
            signal_to_noise_db=10 * float(np.log10(max(self.signal, 1e-30) / max(self.noise, 1e-30))),
            tflm_max_difference_steps=self.tflm_largest,
        )

"""The subnet that a run deploys: fine-tuned, if the run has been, otherwise as the supernet holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx

from export.convert.layers import read_layers
from export.convert.quantize import Range
from export.convert.to_tflite import TfliteModel, observed_values, to_tflite, to_tflite_with_ranges
from export.tflite.quantization import FloatArray
from mcofa.runs.manifest import FinetuneSection
from mcofa.runs.run import Run
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.finetune import finetuned
from mcofa.supernet.finetune.searched import Searched, load_searched
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.fake_quantize import Ranges
from mcofa.supernet.network.subnet import Subnet


@dataclass(frozen=True)
class RunSubnet:
    """The subnet, in eval mode, with what it came from and the data set it is for.

    ``activation_ranges`` are those that quantization-aware fine-tuning trained it for, else None.
    """

    searched: Searched
    data: ImageData
    subnet: Subnet
    weights: Literal["supernet", "finetuned"]
    activation_ranges: Ranges | None

    @property
    def range_method(self) -> str:
        """Where the ranges of the int8 activations come from."""
        return "min/max" if self.activation_ranges is None else "quantization-aware fine-tuning"

    def to_tflite(self, model: onnx.ModelProto, calibration_images: FloatArray) -> TfliteModel:
        """Return the int8 .tflite of ``model``, which ``export.convert.to_onnx`` made of this subnet.

        Trained ranges, where there are any, stand for what the calibration images would need.
        The n-th free range of the simulated int8 graph is the n-th one of the graph: both run
        the same ops in the same order.

        Raises:
            UnsupportedOpError: a node that no layer stands for.
            McofaError: the images do not fit the model.
        """
        global_average = self.searched.header.space.global_average
        if self.activation_ranges is None:
            return to_tflite(model, calibration_images, global_average)
        network = read_layers(model, global_average)
        names, ranges = observed_values(network), self.activation_ranges.values()
        return to_tflite_with_ranges(
            network, {name: Range(*found) for name, found in zip(names, ranges, strict=True)}
        )


def load_run_subnet(run: Run, checkpoint: Path) -> RunSubnet:
    """Return the run's subnet.

    Its weights are the fine-tuned ones when the run was fine-tuned for this arch from this
    ``checkpoint``; otherwise those of the supernet, batch norm recalibrated.

    Raises:
        RunError: the run holds no search result.
        FileFormatError: the checkpoint is damaged, of another space, or has not come to the arch yet; or
            the fine-tuned weights are damaged, have changed, or belong to another network.
        MissingFileError: checkpoint, data set or fine-tuned weights missing.
    """
    searched = load_searched(run, checkpoint)
    space, arch = searched.header.space, searched.arch
    data = load_data_for(space, searched.header.data, searched.header.fit).at(arch.resolution)
    section = run.finetune
    if section is None or not _belongs_to(section, searched):
        subnet = calibrate(searched.supernet.extract(arch), data.train, data.preprocessing)
        return RunSubnet(searched, data, subnet, "supernet", None)
    path = run.folder / finetuned.FILE_NAME
    contents = run.read(section.weights, "finetune")
    header, subnet = finetuned.from_bytes(contents, space, arch, str(path))
    return RunSubnet(searched, data, subnet, "finetuned", header.activation_ranges)


def _belongs_to(section: FinetuneSection, searched: Searched) -> bool:
    return (section.arch, section.checkpoint.sha256) == (
        searched.arch.to_json(),
        searched.checkpoint_sha256,
    )

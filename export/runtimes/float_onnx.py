"""Running the float ONNX model with onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime

from export.tflite.quantization import FloatArray

_BATCH = 500


def logits(model: bytes, images: FloatArray) -> FloatArray:
    """Return the logits (n, classes) for normalised ``images`` (n, channels, height, width)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    return np.concatenate([session.run(None, {source.name: np.ascontiguousarray(b)})[0] for b in batches])


class Probe:
    """A model whose outputs are ``values``, names of node outputs."""

    def __init__(self, model: onnx.ModelProto, values: Sequence[str]) -> None:
        probed = onnx.ModelProto()
        probed.CopyFrom(model)
        del probed.graph.output[:]
        probed.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values)
        self._session = onnxruntime.InferenceSession(
            probed.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def run(self, images: FloatArray) -> list[FloatArray]:
        """Return the values, each (n, channels, height, width), for images of the same layout."""
        (source,) = self._session.get_inputs()
        found: list[FloatArray] = self._session.run(None, {source.name: images})
        return found

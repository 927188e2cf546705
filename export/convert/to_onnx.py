"""PyTorch → ONNX: the float model that everything downstream starts from."""

from __future__ import annotations

import warnings

import onnx
import torch

from mcofa.space.resolution import Resolution, size_of
from mcofa.supernet.network.subnet import Subnet

OPSET = 20
_BATCH = "n"


def to_onnx(subnet: Subnet, resolution: Resolution) -> onnx.ModelProto:
    """Return the ONNX model of ``subnet``.

    It maps ``images``, float32 (n, channels, height, width), to logits (n, classes),
    for any n. Batch norm is folded into the convolutions and asymmetric SAME padding into
    their ``pads``; HardSwish and HardSigmoid stay single ops. Traces of the source code
    (file names, line numbers) are removed, so that equal subnets give equal models.

    Raises:
        ValueError: the subnet is in training mode.
    """
    if subnet.training:
        raise ValueError("the subnet is in training mode; calibrate it first")
    channels = next(subnet.parameters()).shape[1]
    images = torch.zeros(2, channels, *size_of(resolution))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            subnet,
            (images,),
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
            dynamic_shapes={"images": {0: torch.export.Dim(_BATCH)}},
        )
    assert program is not None
    model = program.model_proto
    _forget_source(model)
    onnx.checker.check_model(model)
    return model


def _forget_source(model: onnx.ModelProto) -> None:
    """Drop what the exporter noted down about the Python source."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    del graph.value_info[:]

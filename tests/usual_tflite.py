"""What converters usually write for the same network: everything that the exporter leaves out or shares."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def usual_tflite(lean: bytes) -> bytes:
    """Return ``lean`` with names, ranges, quantized biases, a signature and metadata, nothing shared."""
    model = schema.ModelT.InitFromPackedBuf(lean)
    (subgraph,) = model.subgraphs
    model.description, subgraph.name = b"MLIR Converted.", b"main"
    for index, tensor in enumerate(subgraph.tensors):
        tensor.name = f"network/block_{index}/convolution/Conv2D;network/block_{index}/norm".encode()
        tensor.hasRank = True
        if tensor.quantization is not None and tensor.quantization.quantizedDimension == 0:
            tensor.quantization.min = tensor.quantization.scale * -128
            tensor.quantization.max = tensor.quantization.scale * 127
    for op in subgraph.operators:
        if len(op.inputs) == 3:
            _quantize_bias(*(subgraph.tensors[index] for index in op.inputs))
    model.buffers += [_buffer(b"1.14.0" + bytes(10)), _buffer(bytes(64))]
    names = (b"min_runtime_version", b"CONVERSION_METADATA")
    model.metadata = [_metadata(name, len(model.buffers) - 2 + i) for i, name in enumerate(names)]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = [_tensor_map(b"images", subgraph.inputs[0])]
    signature.outputs = [_tensor_map(b"logits", subgraph.outputs[0])]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _quantize_bias(source: Any, filter_: Any, bias: Any) -> None:
    bias.quantization = schema.QuantizationParametersT()
    bias.quantization.scale = source.quantization.scale * filter_.quantization.scale
    bias.quantization.zeroPoint = np.zeros(len(filter_.quantization.scale), np.int64)


def _buffer(data: bytes) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    return buffer


def _metadata(name: bytes, buffer: int) -> Any:
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = name, buffer
    return metadata


def _tensor_map(name: bytes, tensor: int) -> Any:
    found = schema.TensorMapT()
    found.name, found.tensorIndex = name, tensor
    return found

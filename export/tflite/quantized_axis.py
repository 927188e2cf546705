"""Repair of a number that old converters wrote wrongly and that nothing reads."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

_AXIS_FIELD = 16
"""Where the vtable of QuantizationParameters has ``quantized_dimension``.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, the seventh field of the table.
"""


def with_axes_in_range(data: bytes) -> bytes:
    """Return the .tflite file ``data`` with the axis 0 where a tensor is quantized along one that it lacks.

    Converters of 2020 wrote the filter's axis, 3, for the bias of depthwise convolutions, a vector. No kernel
    reads it, TFLM loads such files, and LiteRT refuses them. A file that is damaged may raise anything that
    the flatbuffer library raises.
    """
    repaired = bytearray(data)
    model = schema.Model.GetRootAs(data, 0)
    for subgraph in (model.Subgraphs(number) for number in range(model.SubgraphsLength())):
        for tensor in (subgraph.Tensors(index) for index in range(subgraph.TensorsLength())):
            quantization = tensor.Quantization()
            if quantization is None or quantization.QuantizedDimension() < max(tensor.ShapeLength(), 1):
                continue
            place = quantization._tab.Pos + quantization._tab.Offset(_AXIS_FIELD)
            repaired[place : place + 4] = bytes(4)
    return bytes(repaired)

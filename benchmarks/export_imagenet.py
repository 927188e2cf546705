"""Exporting a network of ImageNet's size: time, memory, and the arena against its prediction.

The smallest subnet of the space ``ofa``, 1,000 classes, random weights, calibrated on 16 images of
noise: the numbers say nothing about accuracy, and everything about the exporter.
"""

from __future__ import annotations

import os
import resource
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.runtimes.tflm import measure
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.model_file import model_file_bytes
from mcofa.lowering import lower
from mcofa.space.search_space import load_space
from mcofa.supernet.network.subnet import Subnet

CALIBRATION_IMAGES = 16


def main() -> None:
    torch.manual_seed(0)
    space = load_space("ofa")
    arch = space.smallest()
    shape = (CALIBRATION_IMAGES, space.input_channels, arch.resolution, arch.resolution)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    subnet = Subnet(space, arch).eval()

    start = time.perf_counter()
    model = to_onnx(subnet, arch.resolution)
    to_onnx_seconds = time.perf_counter() - start
    tflite = to_tflite(model, images)
    seconds = time.perf_counter() - start
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    graph = lower(space, arch)
    predicted, measured = account(graph, target("x86-64", "reference")), measure(tflite.data)
    parameters = sum(tensor.items for tensor in graph.tensors if tensor.constant)
    print(f"{arch} of {space.name}: {parameters / 1e6:.2f} M weights and biases, {len(graph.ops)} ops")
    print(f"PyTorch → ONNX     {to_onnx_seconds:6.1f} s")
    print(f"ONNX → .tflite     {seconds - to_onnx_seconds:6.1f} s, {len(images)} calibration images included")
    print(f"largest memory     {peak_bytes / 1e9:6.2f} GB, PyTorch included")
    print(f"graph as predicted {parse_tflite(tflite.data, 'the file') == graph}")
    print(f"file               predicted {model_file_bytes(graph):,} B, written {len(tflite.data):,} B")
    for part, ours, theirs in (
        ("head", predicted.head_bytes, measured.head_bytes),
        ("tail", predicted.recording_tail_bytes, measured.recording_tail_bytes),
    ):
        print(f"arena {part}         predicted {ours:,} B, TFLM used {theirs:,} B")


if __name__ == "__main__":
    main()

"""Sizes of TFLM's structs and options on a core, by its own compiler, beside those that mcofa computes with.

    TFLM_DIR=... python benchmarks/struct_sizes.py cortex-m7 rv32imac

Needs the core's cross compiler and a TFLM checkout with its downloads (flatbuffers, gemmlowp, ruy).
Nothing is linked or run: the sizes are those of arrays in an object file. Exits with 1 when one
differs. A compiler without headers of the C++ library is given those of arm-none-eabi-g++.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from mcofa.boards import Core, core_named
from mcofa.engines.tflm import structs
from mcofa.graph import OpKind
from mcofa.ops import OPERATORS

STRUCTS = {
    "pointer": "void*",
    "single_arena_allocator": "SingleArenaBufferAllocator",
    "recording_single_arena_allocator": "RecordingSingleArenaBufferAllocator",
    "planner": "GreedyMemoryPlanner",
    "micro_allocator": "MicroAllocator",
    "recording_micro_allocator": "RecordingMicroAllocator",
    "subgraph_allocations": "SubgraphAllocations",
    "eval_tensor": "TfLiteEvalTensor",
    "node_and_registration": "NodeAndRegistration",
    "scratch_handle": "ScratchBufferHandle",
    "tensor": "TfLiteTensor",
    "affine_quantization": "TfLiteAffineQuantization",
    "scratch_request": "internal::ScratchBufferRequest",
    "allocation_info": "AllocationInfo",
    "subgraph_offset": "size_t",
}
OPTIONS = {
    OpKind.CONV_2D: "TfLiteConvParams",
    OpKind.DEPTHWISE_CONV_2D: "TfLiteDepthwiseConvParams",
    OpKind.FULLY_CONNECTED: "TfLiteFullyConnectedParams",
    OpKind.ADD: "TfLiteAddParams",
    OpKind.SUB: "TfLiteSubParams",
    OpKind.MUL: "TfLiteMulParams",
    OpKind.MEAN: "TfLiteReducerParams",
    OpKind.AVERAGE_POOL_2D: "TfLitePoolParams",
    OpKind.RESHAPE: "TfLiteReshapeParams",
    OpKind.SOFTMAX: "TfLiteSoftmaxParams",
    OpKind.LEAKY_RELU: "TfLiteLeakyReluParams",
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: "TfLiteUnidirectionalSequenceLSTMParams",
    OpKind.SVDF: "TfLiteSVDFParams",
}
OP_DATA = {
    OpKind.CONV_2D: "OpDataConv",
    OpKind.FULLY_CONNECTED: "OpDataFullyConnected",
    OpKind.ADD: "OpDataAdd",
    OpKind.SUB: "OpDataSub",
    OpKind.MUL: "OpDataMul",
    OpKind.MEAN: "OpDataReduce",
    OpKind.AVERAGE_POOL_2D: "OpDataPooling",
    OpKind.SOFTMAX: "SoftmaxParams",
    OpKind.LOGISTIC: "OpDataLogistic",
    OpKind.RELU: "ReluOpData",
    OpKind.RELU6: "Relu6OpData",
    OpKind.LEAKY_RELU: "LeakyReluOpData",
    OpKind.HARD_SWISH: "HardSwishParams",
    OpKind.QUANTIZE: "OpDataQuantizeReference",
    OpKind.DEQUANTIZE: "DequantizeOpData",
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: "OpDataLSTM",
    OpKind.SVDF: "OpDataSvdf",
}
KERNELS = (
    *("activations", "add", "conv", "depthwise_conv", "dequantize", "fully_connected", "hard_swish"),
    *(
        "leaky_relu",
        "logistic",
        "lstm_shared",
        "mul",
        "pooling",
        "quantize",
        "reduce",
        "softmax",
        "sub",
        "svdf",
    ),
)
# The library's own headers come first: what follows makes private members visible.
SOURCE = """
#include <algorithm>
#include <functional>
#include <iomanip>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>
#define private public
#define protected public
#include "tensorflow/lite/micro/arena_allocator/recording_single_arena_buffer_allocator.h"
#include "tensorflow/lite/micro/memory_planner/greedy_memory_planner.h"
#include "tensorflow/lite/micro/micro_allocation_info.h"
#include "tensorflow/lite/micro/recording_micro_allocator.h"
KERNEL_HEADERS
using namespace tflite;
#define MEASURE(name, type) \\
  extern "C" { char size_##name[sizeof(type)] = {1}; char align_##name[alignof(type)] = {1}; }
"""
FLAGS = ("-std=c++17", "-Os", "-fno-rtti", "-fno-exceptions", "-fpermissive", "-w")
DEFINES = ("-DTF_LITE_STATIC_MEMORY", "-DNDEBUG", "-DTF_LITE_STRIP_ERROR_STRINGS")


def measured(core: Core, tflm: Path) -> dict[str, int]:
    """Return the sizes and alignments of everything in the tables, by ``size_NAME`` and ``align_NAME``."""
    headers = "".join(f'#include "tensorflow/lite/micro/kernels/{name}.h"\n' for name in KERNELS)
    types = {**STRUCTS, **{f"{k}_options": t for k, t in OPTIONS.items()}}
    types |= {f"{kind}_data": name for kind, name in OP_DATA.items()}
    asked = "".join(f"MEASURE({name}, {kind})\n" for name, kind in types.items())
    downloads = tflm / "tensorflow/lite/micro/tools/make/downloads"
    includes = [tflm, downloads / "flatbuffers/include", downloads / "gemmlowp", downloads / "ruy"]
    prefix = core.family.toolchain
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "sizes.cc").write_text(SOURCE.replace("KERNEL_HEADERS", headers) + asked)
        command = [f"{prefix}-g++", *core.compiler_flags, *FLAGS, *DEFINES, *library_headers(prefix)]
        command += [f"-I{include.absolute()}" for include in includes]
        subprocess.run([*command, "-c", "sizes.cc", "-o", "sizes.o"], cwd=folder, check=True)
        symbols = subprocess.run(
            [f"{prefix}-nm", "-S", "sizes.o"], cwd=folder, capture_output=True, text=True, check=True
        )
    rows = [line.split() for line in symbols.stdout.splitlines()]
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4}


def library_headers(prefix: str) -> list[str]:
    """Return flags for the headers of the C++ library, where the compiler lacks them."""
    source = "#include <vector>\n"
    own = subprocess.run(
        [f"{prefix}-g++", "-x", "c++", "-E", "-"], input=source, text=True, capture_output=True, check=False
    )
    if own.returncode == 0:
        return []
    asked = subprocess.run(
        ["arm-none-eabi-g++", "-mcpu=cortex-m3", "-mthumb", "-x", "c++", "-E", "-v", "-"],
        input=source,
        text=True,
        capture_output=True,
        check=True,
    )
    listed = asked.stderr.partition("<...> search starts here:")[2].partition("End of search list")[0]
    compiler = subprocess.run(
        [f"{prefix}-gcc", "-print-file-name=include"], capture_output=True, text=True, check=True
    )
    found = [folder.resolve() for folder in map(Path, listed.split())]
    library = [folder for folder in found if "gcc" not in folder.parts]
    return ["-nostdinc", *(f"-isystem{folder}" for folder in (*library, compiler.stdout.strip()))]


def differences(core: Core, sizes: dict[str, int]) -> Iterator[str]:
    """Yield a line for each number that is not what mcofa computes with."""
    abi = core.family.struct_sizes
    known = asdict(structs(abi))
    expected = {f"size_{name}": known[name] for name in STRUCTS}
    for kind in OPTIONS:
        expected[f"size_{kind}_options"], expected[f"align_{kind}_options"] = OPERATORS[
            kind
        ].tflm.builtin_data.on(abi)
    expected |= {f"size_{kind}_data": OPERATORS[kind].tflm.op_data.arm32 for kind in OP_DATA}
    for name, number in expected.items():
        if sizes[name] != number:
            yield f"  {name}: {sizes[name]} by the compiler, {number} in mcofa"
    print(f"{core.name}: {len(expected)} numbers compared")


def main() -> None:
    tflm, differ = Path(os.environ["TFLM_DIR"]), False
    for core in map(core_named, sys.argv[1:]):
        for line in differences(core, measured(core, tflm)):
            print(line)
            differ = True
    sys.exit(differ)


if __name__ == "__main__":
    main()

"""Compiling and running generated C on this machine, op by op, with dead memory overwritten."""

from __future__ import annotations

import ctypes
import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

from export.aot.render import GeneratedNetwork, generate
from export.tflite.parse import parse_tflite
from mcofa.engines.aot.executed import executed
from mcofa.engines.tflm import target
from mcofa.graph import Graph

_HARNESS = """
#include <stdint.h>
#include <string.h>
static uint8_t trace[TRACE_BYTES];
static const uint32_t first[OPS] = {FIRST};
static uint32_t used[OPS];
__attribute__((unused)) static void after_op(int op, const void* output, uint32_t bytes) {
  memcpy(trace + first[op] + used[op], output, bytes);
  used[op] += bytes;
}
#define NETWORK_AFTER_OP(op, output, bytes) after_op(op, output, bytes);
#define NETWORK_DEAD(first, bytes) memset(first, 0xA5, bytes);
#include "network.c"
static _Alignas(16) uint8_t arena[NETWORK_ARENA_BYTES + 16];
uint8_t* arena_at(uint32_t offset) { return arena + offset; }
void fill(int pattern) { memset(arena, pattern, sizeof arena); }
const uint8_t* run(void) {
  memset(used, 0, sizeof used);
  network_run(arena);
  return trace;
}
uint32_t written_bytes(int op) { return used[op]; }
static const int8_t* image;
void give(const int8_t* values) { image = values; }
#ifdef NETWORK_INPUT_ROW_BYTES
void network_read_row(int32_t row, int8_t* to) {
  memcpy(to, image + row * NETWORK_INPUT_ROW_BYTES, NETWORK_INPUT_ROW_BYTES);
}
#endif
"""
GUARD = 0x5A
_FLAGS = (
    *("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
    *("-fsanitize=undefined", "-fno-sanitize-recover=undefined"),
)


class GeneratedC:
    """The portable C of a model, compiled with warnings as errors and the undefined-behaviour checks."""

    def __init__(self, data: bytes, folder: Path, streams_input: bool = False) -> None:
        self.graph: Graph = executed(parse_tflite(data, "model")).graph
        self.streams_input = streams_input
        on = target("cortex-m7", "reference")
        self.generated: GeneratedNetwork = generate(data, "model", on, streams_input)
        for name, content in self.generated.files.items():
            (folder / name).write_bytes(content)
        source = self.generated.files["network.c"].decode()
        self.ops = sorted(int(op) for op in re.findall(r"NETWORK_AFTER_OP\((\d+),", source))
        sizes = [self.graph.tensors[op.outputs[0]].bytes for op in self.graph.ops]
        self.first = [0, *itertools.accumulate(sizes)]
        values = {
            "TRACE_BYTES": self.first[-1] or 1,
            "FIRST": ", ".join(map(str, self.first)),
            "OPS": len(self.first),
        }
        defines = "".join(f"#define {name} {value}\n" for name, value in values.items())
        (folder / "harness.c").write_text(defines + _HARNESS)
        sources = ["harness.c", *(n for n in self.generated.files if n.endswith(".c") and n != "network.c")]
        subprocess.run(
            ["gcc", *_FLAGS, "-o", "network.so", *sources],
            cwd=folder,
            check=True,
        )
        self._library = ctypes.CDLL(str(folder / "network.so"))
        self._library.run.restype = ctypes.c_void_p
        self._library.arena_at.restype = ctypes.c_void_p
        self.offsets = {
            name: int(value)
            for name, value in re.findall(
                r"#define NETWORK_(\w+)_OFFSET (\d+)", self.generated.files["network.h"].decode()
            )
        }

    def run(self, inputs: list[Any]) -> tuple[dict[int, Any], list[Any]]:
        """Return what each op wrote, by op, and what each output holds in the end."""
        self._library.fill(GUARD)
        names = _numbered("INPUT", len(inputs))
        image = inputs[0].tobytes()
        if self.streams_input:
            self._library.give(image)
        else:
            for name, values in zip(names, inputs, strict=True):
                ctypes.memmove(self._library.arena_at(self.offsets[name]), values.tobytes(), values.nbytes)
        trace, written = self._library.run(), {}
        for op in self.ops:
            size = self._library.written_bytes(op)
            dtype = self.graph.tensors[self.graph.ops[op].outputs[0]].dtype.value
            written[op] = np.frombuffer(ctypes.string_at(trace + self.first[op], size), dtype)
        outputs = [
            self._read(self._library.arena_at(self.offsets[name]), index)
            for name, index in zip(
                _numbered("OUTPUT", len(self.graph.outputs)), self.graph.outputs, strict=True
            )
        ]
        guard = ctypes.string_at(self._library.arena_at(self.generated.plan.arena_bytes), 16)
        assert set(guard) == {GUARD}, "written behind the arena"
        return written, outputs

    def _read(self, address: int, index: int) -> Any:
        tensor = self.graph.tensors[index]
        values = np.frombuffer(ctypes.string_at(address, tensor.bytes), tensor.dtype.value)
        return values.reshape(tensor.shape)


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]


def assert_equals_litert(
    data: bytes, folder: Path, seed: int = 0, images: int = 2, streams_input: bool = False
) -> GeneratedC:
    """Compare every op's output with LiteRT's reference kernels on random inputs.

    Of a tensor inside a span the last rows may not have been needed, and so not made.
    """
    compiled = GeneratedC(data, folder, streams_input)
    graph = compiled.graph
    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    rng = np.random.default_rng(seed)
    for _ in range(images):
        sources = [graph.tensors[index] for index in graph.inputs]
        inputs = [_random(rng, source.shape, source.dtype) for source in sources]
        for index, values in zip(graph.inputs, inputs, strict=True):
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        written, outputs = compiled.run(inputs)
        for op, values in written.items():
            expected = interpreter.get_tensor(graph.ops[op].outputs[0]).ravel()[: len(values)]
            assert len(values) > 0
            np.testing.assert_array_equal(values, expected, f"op {op} ({graph.ops[op].kind})")
        for index, output in zip(graph.outputs, outputs, strict=True):
            expected = interpreter.get_tensor(index).reshape(output.shape)
            np.testing.assert_array_equal(output, expected, f"output {index} after the run")
    return compiled


def assert_equals_tflm(data: bytes, folder: Path, seed: int) -> None:
    """Compare the output with TFLM's on random inputs."""
    compiled = GeneratedC(data, folder)
    interpreter = runtime.Interpreter.from_bytes(data)
    source = compiled.graph.tensors[compiled.graph.inputs[0]]
    values = _random(np.random.default_rng(seed), source.shape, source.dtype)
    interpreter.set_input(values, 0)
    interpreter.invoke()
    _, (output,) = compiled.run([values])
    np.testing.assert_array_equal(output, interpreter.get_output(0).reshape(output.shape))


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    if dtype == "float32":
        return rng.normal(0, 20, shape).astype(np.float32)
    low = 0 if dtype == "uint8" else -128
    return rng.integers(low, low + 256, shape, dtype)

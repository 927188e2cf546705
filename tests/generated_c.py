"""Compiling and running generated C on this machine, op by op, with dead memory overwritten."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

from export.aot.render import GeneratedNetwork, generate
from export.tflite.parse import parse_tflite
from mcofa.engines.tflm import target
from mcofa.graph import Graph

_HARNESS = """
#include <stdint.h>
#include <string.h>
static uint8_t trace[TRACE_BYTES];
static uint32_t used;
static void after_op(const void* output, uint32_t bytes) {
  memcpy(trace + used, output, bytes);
  used += bytes;
}
#define NETWORK_AFTER_OP(op, output, bytes) after_op(output, bytes);
#define NETWORK_DEAD(first, bytes) memset(first, 0xA5, bytes);
#include "network.c"
static _Alignas(16) uint8_t arena[NETWORK_ARENA_BYTES + 16];
uint8_t* arena_at(uint32_t offset) { return arena + offset; }
void fill(int pattern) { memset(arena, pattern, sizeof arena); }
const uint8_t* run(void) {
  used = 0;
  network_run(arena);
  return trace;
}
"""
GUARD = 0x5A
_FLAGS = (
    *("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
    *("-fsanitize=undefined", "-fno-sanitize-recover=undefined"),
)


class GeneratedC:
    """The portable C of a model, compiled with warnings as errors and the undefined-behaviour checks."""

    def __init__(self, data: bytes, folder: Path) -> None:
        self.graph: Graph = parse_tflite(data, "model")
        self.generated: GeneratedNetwork = generate(data, "model", target("cortex-m7", "reference"))
        for name, content in self.generated.files.items():
            (folder / name).write_bytes(content)
        source = self.generated.files["network.c"].decode()
        self.ops = [int(op) for op in re.findall(r"NETWORK_AFTER_OP\((\d+),", source)]
        outputs = [self.graph.tensors[self.graph.ops[op].outputs[0]] for op in self.ops]
        trace_bytes = max(1, sum(tensor.bytes for tensor in outputs))
        (folder / "harness.c").write_text(_HARNESS.replace("TRACE_BYTES", str(trace_bytes)))
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

    def run(self, inputs: list[Any]) -> tuple[dict[int, Any], Any]:
        """Return what each op wrote, by op, and what the first output holds in the end."""
        self._library.fill(GUARD)
        names = ["INPUT"] if len(inputs) == 1 else [f"INPUT_{i}" for i in range(len(inputs))]
        for name, values in zip(names, inputs, strict=True):
            ctypes.memmove(self._library.arena_at(self.offsets[name]), values.tobytes(), values.nbytes)
        trace, position, written = self._library.run(), 0, {}
        for op in self.ops:
            written[op] = self._read(trace + position, self.graph.ops[op].outputs[0])
            position += written[op].nbytes
        output = self._read(self._library.arena_at(self.offsets["OUTPUT"]), self.graph.outputs[0])
        guard = ctypes.string_at(self._library.arena_at(self.generated.arena_bytes), 16)
        assert set(guard) == {GUARD}, "written behind the arena"
        return written, output

    def _read(self, address: int, index: int) -> Any:
        tensor = self.graph.tensors[index]
        values = np.frombuffer(ctypes.string_at(address, tensor.bytes), tensor.dtype.value)
        return values.reshape(tensor.shape)


def assert_equals_litert(data: bytes, folder: Path, seed: int = 0, images: int = 2) -> GeneratedC:
    """Compare every op's output with LiteRT's reference kernels on random inputs."""
    compiled = GeneratedC(data, folder)
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
        written, output = compiled.run(inputs)
        for op, values in written.items():
            expected = interpreter.get_tensor(graph.ops[op].outputs[0]).reshape(values.shape)
            np.testing.assert_array_equal(values, expected, f"op {op} ({graph.ops[op].kind})")
        expected = interpreter.get_tensor(graph.outputs[0]).reshape(output.shape)
        np.testing.assert_array_equal(output, expected, "the output after the run")
    return compiled


def assert_equals_tflm(data: bytes, folder: Path, seed: int) -> None:
    """Compare the output with TFLM's on random inputs."""
    compiled = GeneratedC(data, folder)
    interpreter = runtime.Interpreter.from_bytes(data)
    source = compiled.graph.tensors[compiled.graph.inputs[0]]
    values = _random(np.random.default_rng(seed), source.shape, source.dtype)
    interpreter.set_input(values, 0)
    interpreter.invoke()
    _, output = compiled.run([values])
    np.testing.assert_array_equal(output, interpreter.get_output(0).reshape(output.shape))


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    if dtype == "float32":
        return rng.normal(0, 20, shape).astype(np.float32)
    return rng.integers(-128, 128, shape, np.int8)

"""The kernels of engine aot compiled for this machine and called one by one, their structs read from nn.h."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.aot.render import kernel_sources

_FLAGS = (
    *("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
    *("-fsanitize=undefined", "-fno-sanitize-recover=undefined"),
)
_NUMBERS = {"int16_t": ctypes.c_int16, "int32_t": ctypes.c_int32}


class NativeKernels:
    """A library of some kernels."""

    def __init__(self, kernels: tuple[str, ...], folder: Path) -> None:
        sources = kernel_sources(kernels)
        for name, content in sources.items():
            (folder / name).write_bytes(content)
        c_files = [name for name in sources if name.endswith(".c")]
        subprocess.run(["gcc", *_FLAGS, "-o", "kernels.so", *c_files], cwd=folder, check=True)
        self._library = ctypes.CDLL(str(folder / "kernels.so"))
        self._header = sources["nn.h"].decode()

    def call(self, function: str, struct: str, fields: Mapping[str, Any], *arguments: Any) -> None:
        """Call ``function`` with a struct of ``fields``; arrays are passed by address."""
        kept, values = [], {}
        for name, kind in self._members(struct):
            value = fields.get(name, 0)
            if kind is ctypes.c_void_p:
                kept.append(np.ascontiguousarray(value))
                value = kept[-1].ctypes.data
            elif issubclass(kind, ctypes.Array):
                value = kind(*value)
            values[name] = value
        layout = type(struct, (ctypes.Structure,), {"_fields_": self._members(struct)})
        passed = [
            ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else ctypes.c_int32(value)
            for value in arguments
        ]
        getattr(self._library, function)(ctypes.byref(layout(**values)), *passed)

    def _members(self, struct: str) -> list[tuple[str, Any]]:
        (body,) = re.findall(rf"typedef struct \{{([^}}]*)\}} {struct};", self._header)
        found: list[tuple[str, Any]] = []
        for kind, names in re.findall(r"^  (const \w+\*|\w+) ([^;]+);", body, re.MULTILINE):
            for name in names.split(", "):
                plain, rank = re.fullmatch(r"(\w+)(?:\[(\w+)\])?", name).groups()
                number = ctypes.c_void_p if "*" in kind else _NUMBERS[kind]
                found.append((plain, number * self._rank(rank) if rank else number))
        return found

    def _rank(self, name: str) -> int:
        return int(re.search(rf"{name} = (\d+)", self._header).group(1))

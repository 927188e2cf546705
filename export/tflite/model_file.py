"""A .tflite file and its graph, which is read from it once."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from export.tflite.parse import parse_tflite
from mcofa.graph import Graph


@dataclass(frozen=True)
class ModelFile:
    """The bytes of a .tflite file; messages call it ``name``."""

    data: bytes
    name: str = "network.tflite"

    @functools.cached_property
    def graph(self) -> Graph:
        """The graph, read when it is first asked for.

        Raises:
            FileFormatError: not a .tflite file that can be read.
            UnsupportedOpError: names the ops that there is no record of.
        """
        return parse_tflite(self.data, self.name)

    @functools.cached_property
    def sha256(self) -> str:
        """The hash by which a firmware names its model."""
        return hashlib.sha256(self.data).hexdigest()

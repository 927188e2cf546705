"""What building and checking ask of an engine, and the engines by name.

An engine is a folder beside this module whose ``engine.py`` holds an object ``ENGINE`` that is a
``DeviceEngine``; its name stands in ``mcofa.engines.engine.ENGINES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol

from export.convert.to_c import DeployedModel
from export.engines.comparison import Comparison
from export.firmware.engine_part import EnginePart
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.engines.engine import load_engine


class DeviceEngine(Protocol):
    """An engine as firmware projects and the arena check take it."""

    def firmware(self, board: Board, model: DeployedModel) -> EnginePart:
        """Return what the engine adds to a project that runs ``model`` on ``board``.

        Raises:
            UnsupportedOpError: the engine has no kernel for an op of the model.
            FileFormatError: the model is not a .tflite file.
        """

    def measure(self, model: ModelFile, board: Board, *, streams_input: bool = False) -> Sequence[Comparison]:
        """Return what was predicted of ``model`` beside what is measured, where it can be.

        Raises:
            FileFormatError: not a model that the engine can load.
            UnsupportedOpError: the engine has no kernel for an op of the model.
            UnstreamableInputError: the engine cannot take the input row by row.
        """


def device_engine(name: str) -> DeviceEngine:
    """Return the engine ``name``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = load_engine(name).name
    found: DeviceEngine = importlib.import_module(f"export.engines.{known}.engine").ENGINE
    return found
